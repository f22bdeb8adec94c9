// A process by number and birth: a number alone may belong to somebody else later.
#pragma once

#include <sys/types.h>

#include <boost/describe.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "sys/error.h"
#include "sys/fd.h"

namespace cloche::runtime {

// `start` is field 22 of /proc/PID/stat: clock ticks between boot and the process's start (proc_pid_stat(5)).
struct ProcessMark {
  int64_t pid = 0;
  uint64_t start = 0;
  bool operator==(const ProcessMark&) const = default;
};
BOOST_DESCRIBE_STRUCT(ProcessMark, (), (pid, start))

struct ProcessStat {
  char state = '?';  // 'Z' and 'X' are dead
  int64_t parent = 0;
  uint32_t flags = 0;  // field 9, the kernel's PF_*
  uint64_t start = 0;
};
// One line of /proc/PID/stat; nothing when it is not one. The command's name may hold anything, also ") R 1".
[[nodiscard]] std::optional<ProcessStat> parse_stat(std::string_view line);
// ENOENT or ESRCH when there is no such process.
sys::Result<ProcessStat> stat_of(pid_t pid);

sys::Result<ProcessMark> mark_of(pid_t pid);
// The very process is there and is no zombie.
[[nodiscard]] bool is_alive(const ProcessMark& mark);
// The very process is in its exit: its descriptors may be closed, though it may be no zombie yet.
[[nodiscard]] bool is_ending(const ProcessMark& mark);
// A pidfd of the very process; ESRCH when it is gone or dead.
sys::Result<sys::Fd> open_marked(const ProcessMark& mark);

// "PID START\n" and back.
[[nodiscard]] std::string to_line(const ProcessMark& mark);
[[nodiscard]] std::optional<ProcessMark> parse_mark(std::string_view line);

}  // namespace cloche::runtime
