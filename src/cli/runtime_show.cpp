#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "cli/runtime_commands.h"
#include "runtime/container.h"
#include "runtime/process_mark.h"
#include "spec/default_spec.h"
#include "spec/write.h"
#include "sys/files.h"

namespace cloche::cli {
namespace {

using Row = std::vector<std::string>;

// Columns as wide as their widest cell, two blanks between them.
std::string table(const std::vector<Row>& rows) {
  std::vector<size_t> widths;
  for (const Row& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string out;
  for (const Row& row : rows) {
    for (size_t i = 0; i + 1 < row.size(); ++i) out += fmt::format("{:<{}}  ", row[i], widths[i]);
    out += row.back() + "\n";
  }
  return out;
}

// "json" or "table"; the error is a sentence.
std::expected<bool, std::string> wants_json(const Invocation& invocation) {
  const std::string format = invocation.flags.text("format");
  if (format == "json") return true;
  if (format.empty() || format == "table") return false;
  return std::unexpected(fmt::format("--format: \"{}\" is neither table nor json", format));
}

std::string pid_of(const runtime::Container& container) {
  return fmt::format("{}", container.has_process() && container.init ? container.init->pid : 0);
}

// The command line as one line; a kernel thread or a zombie has none.
std::string command_of(int pid) {
  std::string text = sys::read_file(AT_FDCWD, fmt::format("/proc/{}/cmdline", pid)).value_or("");
  while (text.ends_with('\0')) text.pop_back();
  if (text.empty()) {
    text = sys::read_file(AT_FDCWD, fmt::format("/proc/{}/comm", pid)).value_or("");
    text = fmt::format("[{}]", text.substr(0, text.find('\n')));
  }
  std::ranges::replace_if(text, [](unsigned char c) { return c < 0x20 || c == 0x7f; }, ' ');
  return text;
}

Row process_row(int pid) {
  const auto stat = runtime::stat_of(pid);
  const auto owner = sys::stat_at(AT_FDCWD, fmt::format("/proc/{}", pid));
  return {fmt::format("{}", pid), stat ? fmt::format("{}", stat->parent) : "-",
          owner ? fmt::format("{}", owner->st_uid) : "-", stat ? std::string(1, stat->state) : "-",
          command_of(pid)};
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
    out = table(rows);
  }
  write_text(STDOUT_FILENO, out);
  log.succeeded(report);
  return 0;
}

int perform_ps(const Invocation& invocation, RuntimeLog& log) {
  const std::string& id = invocation.arguments[0];
  const auto json = wants_json(invocation);
  if (!json) return log.error(json.error()), 1;
  const auto container = runtime::load(state_root(invocation), id);
  if (!container) return fail(log, "list the processes of", id, container.error());
  const auto pids = runtime::processes_of(*container);
  if (!pids) return fail(log, "list the processes of", id, pids.error());
  if (*json) {
    write_text(STDOUT_FILENO, fmt::format("[{}]\n", fmt::join(*pids, ",")));
    return 0;
  }
  std::vector<Row> rows{{"PID", "PPID", "UID", "STATE", "COMMAND"}};
  for (const int pid : *pids) rows.push_back(process_row(pid));
  write_text(STDOUT_FILENO, table(rows));
  return 0;
}

int perform_spec(const Invocation& invocation, RuntimeLog& log) {
  const std::string bundle = invocation.flags.text("bundle");
  const std::string path = (bundle.empty() ? "" : bundle + "/") + "config.json";
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
