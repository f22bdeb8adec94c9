#include "runtime/process_mark.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <charconv>

#include "sys/files.h"
#include "sys/process.h"

namespace cloche::runtime {
namespace {

// Takes one number off the front, and one blank before it.
template <class T>
bool take_number(std::string_view& text, T& number) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failed != std::errc()) return false;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return true;
}

bool skip_numbers(std::string_view& text, int count) {
  for (; count > 0; --count) {
    int64_t skipped = 0;
    uint64_t large = 0;
    if (!take_number(text, skipped) && !take_number(text, large)) return false;
  }
  return true;
}

}  // namespace

std::optional<ProcessStat> parse_stat(std::string_view line) {
  const size_t close = line.rfind(')');
  if (close == std::string_view::npos || line.size() < close + 4) return {};
  ProcessStat stat;
  stat.state = line[close + 2];
  std::string_view rest = line.substr(close + 3);
  if (!take_number(rest, stat.parent)) return {};
  if (!skip_numbers(rest, 4) || !take_number(rest, stat.flags) || !skip_numbers(rest, 12)) return {};
  if (!take_number(rest, stat.start)) return {};
  return stat;
}

sys::Result<ProcessStat> stat_of(pid_t pid) {
  const std::string path = fmt::format("/proc/{}/stat", pid);
  CLOCHE_TRY_ASSIGN(text, sys::read_file(AT_FDCWD, path, 4096));
  if (const auto stat = parse_stat(text)) return *stat;
  return sys::fail_because(fmt::format("{} is not as proc_pid_stat(5) has it", path));
}

sys::Result<ProcessMark> mark_of(pid_t pid) {
  CLOCHE_TRY_ASSIGN(stat, stat_of(pid));
  return ProcessMark{.pid = pid, .start = stat.start};
}

bool is_alive(const ProcessMark& mark) {
  const auto stat = stat_of(static_cast<pid_t>(mark.pid));
  return stat && stat->start == mark.start && stat->state != 'Z' && stat->state != 'X';
}

bool is_ending(const ProcessMark& mark) {
  constexpr uint32_t kExiting = 0x4;  // PF_EXITING, include/linux/sched.h
  const auto stat = stat_of(static_cast<pid_t>(mark.pid));
  return stat && stat->start == mark.start && (stat->flags & kExiting) != 0;
}

sys::Result<sys::Fd> open_marked(const ProcessMark& mark) {
  CLOCHE_TRY_ASSIGN(pidfd, sys::open_pidfd(static_cast<pid_t>(mark.pid)));
  // Looked at once the descriptor holds it: what has this number now keeps it.
  if (!is_alive(mark)) return sys::fail(ESRCH, fmt::format("pidfd_open({})", mark.pid));
  return pidfd;
}

std::string to_line(const ProcessMark& mark) { return fmt::format("{} {}\n", mark.pid, mark.start); }

std::optional<ProcessMark> parse_mark(std::string_view line) {
  ProcessMark mark;
  if (!take_number(line, mark.pid) || !take_number(line, mark.start) || mark.pid <= 0) return {};
  return mark;
}

}  // namespace cloche::runtime
