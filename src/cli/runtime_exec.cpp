#include <fmt/format.h>

#include <algorithm>

#include "cli/runtime_commands.h"
#include "runtime/exec.h"
#include "runtime/own_program.h"
#include "spec/read.h"

namespace cloche::cli {
namespace {

// runc's, which its callers know.
constexpr int kExecFailed = 255;

std::optional<std::string> set_user(const std::string& text, runtime::ExecOptions& options) {
  const size_t colon = text.find(':');
  const auto uid = number_of("--user", std::string_view(text).substr(0, colon));
  if (!uid) return uid.error();
  options.uid = *uid;
  if (colon == std::string::npos) return {};
  const auto gid = number_of("--user", std::string_view(text).substr(colon + 1));
  if (!gid) return gid.error();
  options.gid = *gid;
  return {};
}

std::optional<std::string> set_process(const Invocation& invocation, runtime::ExecOptions& options,
                                       runtime::Report& report) {
  const FlagValues& flags = invocation.flags;
  options.args.assign(invocation.arguments.begin() + 1, invocation.arguments.end());
  if (flags.given("process")) {
    if (!options.args.empty()) return "exec: --process names the command, so there is no place for another";
    auto read = spec::read_process_file(flags.text("process"));
    if (!read) return fmt::format("{}: {}", flags.text("process"), read.error().message());
    for (const spec::Problem& odd : read->warnings)
      report.warnings.push_back(fmt::format("{}: {}", flags.text("process"), odd.message()));
    options.process = std::move(read->value);
    options.process->terminal = options.process->terminal || flags.on("tty");
    return {};
  }
  if (options.args.empty())
    return "exec: which command? cloche-runtime exec [FLAGS] ID COMMAND [ARGUMENT...]";
  return {};
}

std::optional<std::string> set_options(const Invocation& invocation, runtime::ExecOptions& options) {
  const FlagValues& flags = invocation.flags;
  options.record = invocation.globals.on("debug");
  options.env = flags.all("env");
  options.cwd = flags.text("cwd");
  options.capabilities = flags.all("cap");
  if (flags.given("no-new-privs")) options.no_new_privileges = flags.on("no-new-privs");
  options.apparmor = flags.text("apparmor");
  options.label = flags.text("process-label");
  options.terminal = flags.on("tty");
  options.cgroup = flags.text("cgroup");
  options.detach = flags.on("detach");
  options.ignore_paused = flags.on("ignore-paused");
  options.console_socket = flags.text("console-socket");
  options.pidfd_socket = flags.text("pidfd-socket");
  options.pid_file = flags.text("pid-file");
  if (flags.given("user"))
    if (auto wrong = set_user(flags.text("user"), options)) return wrong;
  for (const std::string& text : flags.all("additional-gids")) {
    const auto gid = number_of("--additional-gids", text);
    if (!gid) return gid.error();
    options.additional_gids.push_back(*gid);
  }
  if (flags.given("preserve-fds")) {
    const auto count = number_of("--preserve-fds", flags.text("preserve-fds"));
    if (!count) return count.error();
    options.preserve_fds = *count;
  }
  return {};
}

}  // namespace

int perform_exec(const Invocation& invocation, RuntimeLog& log) {
  runtime::ExecOptions options{.id = invocation.arguments[0]};
  // Processes of the container see this one as soon as it has joined, and may be allowed to trace it.
  if (auto sealed = runtime::run_sealed(); !sealed)
    return fail(log, "exec in", options.id, sealed.error(), kExecFailed);
  runtime::Report report;
  auto wrong = set_options(invocation, options);
  if (!wrong) wrong = set_process(invocation, options, report);
  if (wrong) return log.error(*wrong), kExecFailed;
  if (const auto closed = close_callers_descriptors(options.preserve_fds); !closed)
    return fail(log, "exec in", options.id, closed.error(), kExecFailed);
  const auto status = runtime::exec(state_root(invocation), options, report);
  if (!status) return fail(log, "exec in", options.id, status.error(), kExecFailed);
  log.succeeded(report);
  return *status;
}

}  // namespace cloche::cli
