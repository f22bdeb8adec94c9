#include "runtime/own_program.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/memfd.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "sys/call.h"
#include "sys/files.h"
#include "sys/mounts.h"

namespace cloche::runtime {
namespace {

constexpr const char* kSelf = "/proc/self/exe";
constexpr size_t kLargestProgram = size_t{64} << 20;

char** arguments = nullptr;

// By an overlay without an upper layer, attached nowhere. Through a read-only mount of the file itself it could not be
// written either, but each attempt to open it for that would count as a writer for a moment, and whoever executes the
// file just then would get ETXTBSY. An overlay without an upper layer has at least two lower ones: the second only has
// to be there, and be none of the first.
sys::Result<sys::Fd> overlaid() {
  CLOCHE_TRY_ASSIGN(path, sys::read_link(AT_FDCWD, kSelf));
  const size_t slash = path.rfind('/');
  if (slash == 0 || slash == std::string::npos || path.find_first_of(":\\") != std::string::npos)
    return sys::fail_because("no layer of an overlay can be named so");
  CLOCHE_TRY_ASSIGN(context, sys::FsContext::open("overlay"));
  CLOCHE_TRY(context.set_string("lowerdir", path.substr(0, slash) + ":/sys"));
  CLOCHE_TRY(context.create());
  CLOCHE_TRY_ASSIGN(mount, context.mount(MOUNT_ATTR_RDONLY));
  CLOCHE_TRY_ASSIGN(program, sys::open_at(mount.get(), path.substr(slash + 1), O_RDONLY | O_NOFOLLOW));
  CLOCHE_TRY_ASSIGN(own, sys::open_at(AT_FDCWD, kSelf, O_RDONLY));
  CLOCHE_TRY_ASSIGN(is, sys::stat_fd(program));
  CLOCHE_TRY_ASSIGN(was, sys::stat_fd(own));
  // Not what has its name now, if it was replaced meanwhile.
  if (is.st_size == was.st_size && is.st_mtim.tv_sec == was.st_mtim.tv_sec &&
      is.st_mtim.tv_nsec == was.st_mtim.tv_nsec)
    return program;
  return sys::fail_because("this program's file was replaced");
}

sys::Result<sys::Fd> sealed_copy() {
  if (auto program = overlaid()) return program;
  CLOCHE_TRY_ASSIGN(program, sys::read_file(AT_FDCWD, kSelf, kLargestProgram));
  return sys::sealed_memory_file("cloche", program);
}

}  // namespace

void remember_arguments(char** argv) { arguments = argv; }

bool runs_sealed() {
  struct statfs fs{};
  if (sys::raw_call(SYS_statfs, kSelf, &fs) != 0) return false;
  if (fs.f_type == OVERLAYFS_SUPER_MAGIC && (fs.f_flags & ST_RDONLY) != 0) return true;
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
