#include <fcntl.h>
#include <fmt/format.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "cli/runtime_commands.h"
#include "cli/text_table.h"
#include "runtime/container.h"
#include "spec/default_spec.h"
#include "spec/write.h"
#include "sys/files.h"

namespace cloche::cli {
namespace {

std::string pid_of(const runtime::Container& container) {
  return fmt::format("{}", container.has_process() && container.init ? container.init->pid : 0);
}

}  // namespace

int perform_state(const Invocation& invocation, RuntimeLog& log) {
  const std::string& id = invocation.arguments[0];
  const auto container = runtime::load(state_root(invocation), id);
  if (!container) return fail(log, "show the state of", id, container.error());
  write_text(STDOUT_FILENO, container->oci_state(true) + "\n");
  return 0;
}

int perform_list(const Invocation& invocation, RuntimeLog& log) {
  const auto json = wants_json(invocation);
  if (!json) return log.error(json.error()), 1;
  runtime::Report report;
  const auto all = runtime::load_all(state_root(invocation), report.warnings);
  if (!all) return log.error(fmt::format("cannot list containers: {}", all.error().message())), 1;
  std::string out;
  if (invocation.flags.on("quiet")) {
    for (const runtime::Container& container : *all) out += container.state.id + "\n";
  } else if (*json) {
    for (const runtime::Container& container : *all) out += (out.empty() ? "" : ",") + container.oci_state();
    out = "[" + out + "]\n";
  } else {
    std::vector<Row> rows{{"ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"}};
    for (const runtime::Container& container : *all)
      rows.push_back({container.state.id, pid_of(container), std::string(runtime::name(container.status)),
                      container.state.bundle, container.state.created, container.state.owner});
    out = text_table(rows);
  }
  write_text(STDOUT_FILENO, out);
  log.succeeded(report);
  return 0;
}

int perform_spec(const Invocation& invocation, RuntimeLog& log) {
  const std::string bundle = invocation.flags.text("bundle");
  const std::string file_name =
      invocation.flags.given("file") ? invocation.flags.text("file") : "config.json";
  const std::string path = (bundle.empty() || file_name.starts_with('/') ? "" : bundle + "/") + file_name;
  const spec::Spec made = invocation.flags.on("rootless")
                              ? spec::default_rootless_spec(::geteuid(), ::getegid())
                              : spec::default_spec();
  const auto file = sys::open_at(AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL, 0644);
  if (!file && file.error().code == EEXIST)
    return log.error(fmt::format("{} is there already: remove it first", path)), 1;
  if (!file) return log.error(fmt::format("cannot write {}: {}", path, file.error().message())), 1;
  if (const auto written = sys::write_once(*file, spec::to_json(made), path); !written)
    return log.error(fmt::format("cannot write {}: {}", path, written.error().message())), 1;
  return 0;
}

}  // namespace cloche::cli
