#include <fmt/format.h>
#include <fmt/ranges.h>
#include <signal.h>

#include <charconv>
#include <optional>
#include <utility>

#include "cli/runtime_commands.h"
#include "runtime/launch.h"
#include "runtime/lifecycle.h"
#include "runtime/pattern.h"

namespace cloche::cli {
namespace {

// One container, one verb, nothing to print.
template <class Perform>
int perform_on(const Invocation& invocation, RuntimeLog& log, std::string_view verb, Perform&& perform) {
  runtime::Report report;
  const std::string& id = invocation.arguments[0];
  if (const auto done = std::forward<Perform>(perform)(state_root(invocation), id, report); !done)
    return fail(log, verb, id, done.error());
  log.succeeded(report);
  return 0;
}

// The same for every container that the pattern fits. Each is tried, and what fails is one sentence for all; none at
// all is an error, as an id that is not there is, unless it is forced.
template <class Perform>
int perform_on_many(const Invocation& invocation, RuntimeLog& log, std::string_view verb,
                    const Perform& perform) {
  runtime::Report report;
  const std::string& pattern = invocation.arguments[0];
  const auto refuse = [&](const std::string& why) {
    return log.error(fmt::format("cannot {} the containers of a pattern: {}", verb, why)), 1;
  };
  const runtime::StateRoot root = state_root(invocation);
  const auto fitting = runtime::containers_that_fit(root, pattern, report.warnings);
  if (!fitting) return refuse(fitting.error().message());
  if (fitting->empty() && !invocation.flags.on("force"))
    return refuse(fmt::format("no container's id fits \"{}\"", pattern));
  std::vector<std::string> failed;
  for (const runtime::Container& container : *fitting)
    if (const auto done = perform(root, container, report); !done)
      failed.push_back(fmt::format("\"{}\": {}", container.state.id, done.error().message()));
  if (!failed.empty())
    return refuse(
        fmt::format("{} of {} failed: {}", failed.size(), fitting->size(), fmt::join(failed, "; ")));
  log.succeeded(report);
  return 0;
}

}  // namespace

bool wants_systemd(const Invocation& invocation) {
  const std::string manager = invocation.globals.text("cgroup-manager");
  return manager.empty() ? invocation.globals.on("systemd-cgroup") : manager == "systemd";
}

std::expected<runtime::LaunchOptions, std::string> launch_options(const Invocation& invocation) {
  const FlagValues& flags = invocation.flags;
  runtime::LaunchOptions options{.id = invocation.arguments[0],
                                 .bundle = flags.text("bundle"),
                                 .config = flags.text("config"),
                                 .console_socket = flags.text("console-socket"),
                                 .pidfd_socket = flags.text("pidfd-socket"),
                                 .pid_file = flags.text("pid-file"),
                                 .new_keyring = !flags.on("no-new-keyring"),
                                 .own_cgroup = invocation.globals.text("cgroup-manager") != "disabled",
                                 .systemd_cgroup = wants_systemd(invocation),
                                 .detach = flags.on("detach"),
                                 .record = invocation.globals.on("debug"),
                                 .keep = flags.on("keep")};
  if (flags.given("preserve-fds")) {
    const auto count = number_of("--preserve-fds", flags.text("preserve-fds"));
    if (!count) return std::unexpected(count.error());
    options.preserve_fds = *count;
  }
  if (const auto closed = close_callers_descriptors(options.preserve_fds); !closed)
    return std::unexpected(closed.error().message());
  return options;
}

int perform_create(const Invocation& invocation, RuntimeLog& log) {
  const auto options = launch_options(invocation);
  if (!options) return log.error(options.error()), 1;
  return perform_on(invocation, log, "create", [&](const auto& root, const auto&, auto& report) {
    return runtime::create(root, *options, report);
  });
}

int perform_run(const Invocation& invocation, RuntimeLog& log) {
  const auto options = launch_options(invocation);
  if (!options) return log.error(options.error()), 1;
  int status = 0;
  const int failed = perform_on(invocation, log, "run", [&](const auto& root, const auto&, auto& report) {
    auto ran = runtime::run(root, *options, report);
    status = ran.value_or(1);
    return ran;
  });
  return failed != 0 ? failed : status;
}

int perform_start(const Invocation& invocation, RuntimeLog& log) {
  return perform_on(invocation, log, "start", [](const auto& root, const auto& id, auto& report) {
    return runtime::start(root, id, report);
  });
}

int perform_kill(const Invocation& invocation, RuntimeLog& log) {
  const std::string text = invocation.arguments.size() > 1 ? invocation.arguments[1] : "TERM";
  const auto send = [&](const auto& root, const auto& id, auto&) -> sys::Result<> {
    CLOCHE_TRY_ASSIGN(signal, runtime::parse_signal(text));
    return runtime::kill(root, id, signal, invocation.flags.on("all"));
  };
  if (!invocation.flags.on("regex")) return perform_on(invocation, log, "kill", send);
  return perform_on_many(
      invocation, log, "kill",
      [&](const auto& root, const runtime::Container& container, auto& report) -> sys::Result<> {
        if (container.status == runtime::Status::stopped) return {};
        return send(root, container.state.id, report);
      });
}

int perform_delete(const Invocation& invocation, RuntimeLog& log) {
  const auto remove = [&](const auto& root, const auto& id, auto& report) {
    return runtime::remove(root, id, invocation.flags.on("force"), report);
  };
  if (!invocation.flags.on("regex")) return perform_on(invocation, log, "delete", remove);
  return perform_on_many(invocation, log, "delete",
                         [&](const auto& root, const runtime::Container& container, auto& report) {
                           return remove(root, container.state.id, report);
                         });
}

int perform_pause(const Invocation& invocation, RuntimeLog& log) {
  return perform_on(invocation, log, "pause",
                    [](const auto& root, const auto& id, auto&) { return runtime::pause(root, id); });
}

int perform_resume(const Invocation& invocation, RuntimeLog& log) {
  return perform_on(invocation, log, "resume",
                    [](const auto& root, const auto& id, auto&) { return runtime::resume(root, id); });
}

}  // namespace cloche::cli
