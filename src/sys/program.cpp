#include "sys/program.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>

#include "sys/call.h"
#include "sys/files.h"

namespace cloche::sys {
namespace {

constexpr int kNotExecuted = 127;

[[noreturn]] void become(const Program& program, const Fd& output) {
  const auto executed = [&]() -> Error {
    if (auto unblocked = unblock_signals(); !unblocked) return unblocked.error();
    if (auto standard = default_signals(); !standard) return standard.error();
    for (const int fd : program.captured)
      if (auto given = duplicate_to(output, fd); !given) return given.error();
    if (auto closed = close_range_from(3, true); !closed) return closed.error();
    return execute({}, program.path, program.args, program.env);
  }();
  const std::string why = executed.message() + "\n";
  raw_call(SYS_write, output.get(), why.data(), why.size());
  _exit(kNotExecuted);
}

}  // namespace

bool executable(const std::string& path) {
  return raw_call(SYS_faccessat, AT_FDCWD, path.c_str(), X_OK) == 0;
}

Result<std::string> find_program(const std::string& name) {
  const char* path = ::getenv("PATH");
  std::string_view rest =
      path != nullptr && *path != 0 ? path : "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  while (!rest.empty()) {
    const std::string_view directory = rest.substr(0, rest.find(':'));
    rest.remove_prefix(std::min(rest.size(), directory.size() + 1));
    if (!directory.starts_with('/')) continue;
    if (std::string file = fmt::format("{}/{}", directory, name); executable(file)) return file;
  }
  return fail_because(fmt::format("the program {} is not in $PATH", name));
}

Result<Outcome> run_program(const Program& program) {
  int ends[2];
  if (const long raw = raw_call(SYS_pipe2, ends, O_CLOEXEC); raw < 0)
    return fail(static_cast<int>(-raw), "pipe2()");
  Fd output(ends[0]);
  Fd input(ends[1]);
  auto cloned = clone_process({});
  if (!cloned) return std::unexpected(std::move(cloned).error());
  if (std::holds_alternative<Child>(*cloned)) become(program, input);
  input.reset();
  auto text = read_all(output, program.path, program.longest);
  output.reset();  // one that writes on must not wait for a reader
  CLOCHE_TRY_ASSIGN(ending, wait_for(std::get<Parent>(*cloned).child));
  if (!text) return std::unexpected(std::move(text).error());
  return Outcome{ending, *std::move(text)};
}

}  // namespace cloche::sys
