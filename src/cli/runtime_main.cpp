// cloche-runtime: parsing and printing; what is done is in src/runtime/.
#include <fcntl.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <unistd.h>

#include <csignal>
#include <exception>

#include "cli/runtime_commands.h"
#include "runtime/facts.h"
#include "runtime/own_program.h"
#include "sys/files.h"
#include "sys/number.h"
#include "sys/prefault.h"

namespace cloche::cli {

namespace {

bool in_user_namespace() {
  const auto map = sys::read_file(AT_FDCWD, "/proc/self/uid_map");
  return map && !runtime::is_identity_map(*map);
}

}  // namespace

runtime::StateRoot state_root(const Invocation& invocation) {
  std::string path = invocation.globals.text("root");
  if (path.empty()) {
    const char* named = ::getenv("XDG_RUNTIME_DIR");
    path = runtime::StateRoot::default_path(::geteuid(), named != nullptr && in_user_namespace(), named);
  }
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return runtime::StateRoot(std::move(path));
}

std::expected<uint32_t, std::string> number_of(std::string_view flag, std::string_view text) {
  if (const auto number = sys::whole_number<uint32_t>(text)) return *number;
  return std::unexpected(fmt::format("{}: \"{}\" is not a number", flag, text));
}

sys::Result<> close_callers_descriptors(uint32_t preserve) {
  auto closed = sys::close_range_from(3 + preserve);
  if (closed) return {};
  return sys::wrap(std::move(closed).error(), "closing what the caller left open");
}

int fail(RuntimeLog& log, std::string_view verb, std::string_view id, const sys::Error& error, int status) {
  // An id that was refused may hold anything.
  const bool speakable = !runtime::id_problem(id);
  log.error(speakable ? fmt::format("cannot {} container \"{}\": {}", verb, id, error.message())
                      : fmt::format("cannot {} the container: {}", verb, error.message()));
  return status;
}

namespace {

int main_of(std::span<char* const> words) {
  Invocation invocation;
  RuntimeLog log;
  const auto wrong = parse_runtime(words, invocation);
  const std::string format = invocation.globals.text("log-format");
  log.configure(invocation.globals.text("log"), format == "json", invocation.globals.on("debug"));
  if (wrong) return log.error(*wrong), 1;
  if (invocation.version) return write_text(STDOUT_FILENO, version_text()), 0;
  if (invocation.help || invocation.command == nullptr) {
    write_text(STDOUT_FILENO,
               invocation.command != nullptr ? command_help(*invocation.command) : runtime_help());
    return 0;
  }
  if (!format.empty() && format != "json" && format != "text")
    return log.error(fmt::format("--log-format: \"{}\" is neither text nor json", format)), 1;
  const std::string manager = invocation.globals.text("cgroup-manager");
  if (!manager.empty() && manager != "cgroupfs" && manager != "disabled" && manager != "systemd")
    return log.error(
               fmt::format("--cgroup-manager: \"{}\" is none of cgroupfs, disabled and systemd", manager)),
           1;
  sys::prefault_heap();
  return invocation.command->perform(invocation, log);
}

}  // namespace
}  // namespace cloche::cli

int main(int argc, char** argv) {
  // A reader that goes away must not kill a command half-way.
  std::signal(SIGPIPE, SIG_IGN);
  // A caller that ignores it would have the kernel reap our children, and how they ended would be lost (wait(2)).
  std::signal(SIGCHLD, SIG_DFL);
  (void)cloche::sys::fill_standard_descriptors();
  cloche::runtime::remember_arguments(argv);
  const std::span<char* const> words(argv + 1, static_cast<size_t>(argc > 0 ? argc - 1 : 0));
  // Nothing is buffered, and what static objects would do at the end costs every start its pages.
  try {
    ::_exit(cloche::cli::main_of(words));
  } catch (const std::exception& error) {  // out of memory, if anything
    cloche::cli::write_text(STDERR_FILENO, fmt::format("cloche-runtime: {}\n", error.what()));
    ::_exit(1);
  }
}
