// `checkpoint` and `restore`.
#include <fmt/format.h>

#include <expected>
#include <optional>

#include "cli/runtime_commands.h"
#include "runtime/checkpoint.h"

namespace cloche::cli {
namespace {

std::expected<plan::CriuFlags, std::string> criu_flags(const FlagValues& flags) {
  plan::CriuFlags wanted{.tcp_established = flags.on("tcp-established"),
                         .ext_unix_sk = flags.on("ext-unix-sk"),
                         .shell_job = flags.on("shell-job"),
                         .file_locks = flags.on("file-locks"),
                         .auto_dedup = flags.on("auto-dedup"),
                         .lazy_pages = flags.on("lazy-pages"),
                         .link_remap = flags.on("link-remap"),
                         .skip_in_flight = flags.on("tcp-skip-in-flight")};
  for (const std::string& type : flags.all("empty-ns")) {
    if (type != "network")
      return std::unexpected(fmt::format("--empty-ns: \"{}\" is not network, the only one it can be", type));
    wanted.empty_network = true;
  }
  if (!flags.text("manage-cgroups-mode").empty()) wanted.manage_cgroups = flags.text("manage-cgroups-mode");
  return wanted;
}

std::optional<std::string> set_status_fd(const FlagValues& flags, runtime::CheckpointOptions& options) {
  const std::string text = flags.text("status-fd");
  if (text.empty() || text == "-1") return {};
  const auto number = number_of("--status-fd", text);
  if (!number) return number.error();
  options.status_fd = static_cast<int>(*number);
  return {};
}

}  // namespace

int perform_checkpoint(const Invocation& invocation, RuntimeLog& log) {
  const FlagValues& flags = invocation.flags;
  const auto criu = criu_flags(flags);
  if (!criu) return log.error(criu.error()), 1;
  runtime::CheckpointOptions options{.id = invocation.arguments[0],
                                     .criu = invocation.globals.text("criu"),
                                     .image_path = flags.text("image-path"),
                                     .work_path = flags.text("work-path"),
                                     .parent_path = flags.text("parent-path"),
                                     .flags = *criu,
                                     .leave_running = flags.on("leave-running"),
                                     .pre_dump = flags.on("pre-dump"),
                                     .page_server = flags.text("page-server")};
  if (const auto wrong = set_status_fd(flags, options)) return log.error(*wrong), 1;
  runtime::Report report;
  if (const auto done = runtime::checkpoint(state_root(invocation), options, report); !done)
    return fail(log, "checkpoint", options.id, done.error());
  log.succeeded(report);
  return 0;
}

int perform_restore(const Invocation& invocation, RuntimeLog& log) {
  const FlagValues& flags = invocation.flags;
  const auto criu = criu_flags(flags);
  if (!criu) return log.error(criu.error()), 1;
  auto options = launch_options(invocation);
  if (!options) return log.error(options.error()), 1;
  options->restore = runtime::RestoreOptions{.criu = invocation.globals.text("criu"),
                                             .image_path = flags.text("image-path"),
                                             .work_path = flags.text("work-path"),
                                             .place = state_root(invocation).criu_place(options->id),
                                             .flags = *criu,
                                             .lsm_profile = flags.text("lsm-profile"),
                                             .lsm_mount_context = flags.text("lsm-mount-context")};
  runtime::Report report;
  const auto status = runtime::run(state_root(invocation), *options, report);
  if (!status) return fail(log, "restore", options->id, status.error());
  log.succeeded(report);
  return *status;
}

}  // namespace cloche::cli
