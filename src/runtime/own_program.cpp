#include "runtime/own_program.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/memfd.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "runtime/overlaid_program.h"
#include "sys/call.h"
#include "sys/files.h"

namespace cloche::runtime {
namespace {

constexpr const char* kSelf = "/proc/self/exe";
constexpr size_t kLargestProgram = size_t{64} << 20;

char** arguments = nullptr;

sys::Result<sys::Fd> sealed_copy() {
  if (const long program = cloche_open_overlaid_program(); program >= 0)
    return sys::Fd(static_cast<int>(program));
  CLOCHE_TRY_ASSIGN(program, sys::read_file(AT_FDCWD, kSelf, kLargestProgram));
  return sys::sealed_memory_file("cloche", program);
}

}  // namespace

void remember_arguments(char** argv) { arguments = argv; }

bool runs_sealed() {
  if (cloche_runs_overlaid()) return true;
  struct statfs fs{};
  if (sys::raw_call(SYS_statfs, kSelf, &fs) != 0) return false;
  if (fs.f_type != TMPFS_MAGIC) return false;  // of which memory files are
  const auto file = sys::open_at(AT_FDCWD, kSelf, O_RDONLY);
  return file && (sys::raw_call(SYS_fcntl, file->get(), F_GET_SEALS) & F_SEAL_WRITE) != 0 &&
         sys::raw_call(SYS_fcntl, file->get(), F_GET_SEALS) > 0;
}

sys::Result<> run_sealed() {
  if (runs_sealed()) return {};
  if (arguments == nullptr) return sys::fail_because("the program's arguments are not known");
  CLOCHE_TRY_ASSIGN(copy, sealed_copy());
  const long raw = sys::raw_call(SYS_execveat, copy.get(), "", arguments, environ, AT_EMPTY_PATH);
  return sys::wrap(sys::fail(static_cast<int>(-raw), "execveat(a sealed copy of this program)").error(),
                   "the runtime has to run from a copy that a container cannot write");
}

}  // namespace cloche::runtime
