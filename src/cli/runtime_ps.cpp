// `ps`: the processes of a container, by their pids on the host.
#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <sstream>

#include "cli/runtime_commands.h"
#include "cli/text_table.h"
#include "runtime/container.h"
#include "runtime/process_mark.h"
#include "sys/files.h"
#include "sys/number.h"
#include "sys/program.h"

namespace cloche::cli {
namespace {

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

std::vector<std::string> words_of(const std::string& line) {
  std::istringstream in(line);
  return {std::istream_iterator<std::string>(in), {}};
}

// The table of ps(1) without the rows of others. What ps prints is not told apart by its columns' widths but by its
// blanks, so PID has to stand before a column with blanks in it, as it does in all forms of ps's own.
sys::Result<std::string> rows_of(const std::string& text, const std::vector<int>& pids) {
  std::istringstream lines(text);
  std::string line, out;
  std::getline(lines, line);
  const std::vector<std::string> header = words_of(line);
  const auto column = std::ranges::find(header, "PID") - header.begin();
  if (column == std::ssize(header)) return sys::fail_because("ps prints no column PID with these options");
  out = line + "\n";
  const std::set<int> wanted(pids.begin(), pids.end());
  while (std::getline(lines, line)) {
    const std::vector<std::string> words = words_of(line);
    if (column >= std::ssize(words)) continue;
    const std::string& word = words[static_cast<size_t>(column)];
    if (const auto pid = sys::whole_number<int>(word); pid && wanted.contains(*pid)) out += line + "\n";
  }
  return out;
}

sys::Result<std::string> by_ps(const std::vector<std::string>& options, const std::vector<int>& pids) {
  CLOCHE_TRY_ASSIGN(path, sys::find_program("ps"));
  sys::Program ps{.path = path, .args = {"ps"}, .longest = size_t{64} << 20};
  ps.args.insert(ps.args.end(), options.begin(), options.end());
  for (char** entry = environ; *entry != nullptr; ++entry) ps.env.emplace_back(*entry);
  CLOCHE_TRY_ASSIGN(ended, sys::run_program(ps));
  if (const int status = ended.ending.exit_code(); status != 0) {
    std::string said = fmt::format("{}", fmt::join(words_of(ended.text), " "));  // its usage is many lines
    if (said.size() > 200) said.replace(200, std::string::npos, "...");
    return sys::fail_because(said.empty() ? fmt::format("ps ended with {}", status) : "ps: " + said);
  }
  return rows_of(ended.text, pids);
}

std::string own_table(const std::vector<int>& pids) {
  std::vector<Row> rows{{"PID", "PPID", "UID", "STATE", "COMMAND"}};
  for (const int pid : pids) rows.push_back(process_row(pid));
  return text_table(rows);
}

}  // namespace

int perform_ps(const Invocation& invocation, RuntimeLog& log) {
  const std::string& id = invocation.arguments[0];
  const std::vector<std::string> options(invocation.arguments.begin() + 1, invocation.arguments.end());
  const auto json = wants_json(invocation);
  if (!json) return log.error(json.error()), 1;
  if (*json && !options.empty()) return log.error("--format json: options of ps are for a table"), 1;
  const auto container = runtime::load(state_root(invocation), id);
  if (!container) return fail(log, "list the processes of", id, container.error());
  const auto pids = runtime::processes_of(*container);
  if (!pids) return fail(log, "list the processes of", id, pids.error());
  if (*json) {
    write_text(STDOUT_FILENO, fmt::format("[{}]\n", fmt::join(*pids, ",")));
    return 0;
  }
  const auto table = options.empty() ? own_table(*pids) : by_ps(options, *pids);
  if (!table) return fail(log, "list the processes of", id, table.error());
  write_text(STDOUT_FILENO, *table);
  return 0;
}

}  // namespace cloche::cli
