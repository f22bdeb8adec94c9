#include <fmt/format.h>

#include "plan/words.h"
#include "sys/number.h"

namespace cloche::plan {
namespace {

bool number(std::string_view text, uint64_t& value) {
  const auto whole = sys::whole_number<uint64_t>(text);
  value = whole.value_or(0);
  return whole.has_value();
}

struct CgroupWords {
  std::string_view file, limited, unlimited;
  bool bytes = false;
};

// "{}" is the value. Documentation/admin-guide/cgroup-v2.rst.
constexpr CgroupWords kCgroupWords[] = {
    {"memory.max", "limit memory to {}", "do not limit memory", true},
    {"memory.high", "slow the container down above {} of memory", "no memory throttling", true},
    {"memory.low", "keep {} of memory from being reclaimed while others have some", "", true},
    {"memory.min", "never reclaim {} of memory", "", true},
    {"memory.swap.max", "limit swap to {}", "do not limit swap", true},
    {"memory.oom.group", "", "", false},
    {"cpu.weight", "give a CPU share of weight {} (100 is usual)", "", false},
    {"cpu.weight.nice", "give a CPU share as of nice {}", "", false},
    {"cpu.max.burst", "allow bursts of {} us of CPU time", "", false},
    {"cpuset.cpus", "run on CPUs {} only", "", false},
    {"cpuset.mems", "take memory of NUMA nodes {} only", "", false},
    {"pids.max", "allow at most {} processes and threads", "do not limit processes", false},
    {"io.max", "limit disk transfers to {}", "", false},
    {"io.latency", "keep disk latency at {}", "", false},
};

std::string cpu_time(std::string_view value) {
  const size_t space = value.find(' ');
  uint64_t quota = 0, period = 100000;
  if (value.starts_with("max")) return "do not limit CPU time";
  if (!number(value.substr(0, space), quota)) return "";
  if (space != std::string_view::npos && !number(value.substr(space + 1), period)) return "";
  if (period == 0) return "";
  const double cpus = static_cast<double>(quota) / static_cast<double>(period);
  return fmt::format("limit CPU time to {:.6g} CPU{}: {} of every {} us", cpus, cpus == 1 ? "" : "s", quota,
                     period);
}

// "default 50" or "8:0 50".
std::string disk_share(std::string_view value) {
  const size_t space = value.find(' ');
  if (space == std::string_view::npos) return "";
  const std::string_view disk = value.substr(0, space);
  return fmt::format("give a share of weight {} (100 is usual) of {}", printable(value.substr(space + 1)),
                     disk == "default" ? "each disk" : "disk " + printable(disk));
}

struct KnownDevice {
  char type;
  int64_t major, minor;
  std::string_view name;
};
// Documentation/admin-guide/devices.txt; minor -1 is any.
constexpr KnownDevice kKnownDevices[] = {
    {'c', 1, 3, "null"},     {'c', 1, 5, "zero"},       {'c', 1, 7, "full"},    {'c', 1, 8, "random"},
    {'c', 1, 9, "urandom"},  {'c', 5, 0, "tty"},        {'c', 5, 1, "console"}, {'c', 5, 2, "ptmx"},
    {'c', 136, -1, "pts/*"}, {'c', 10, 200, "net/tun"}, {'c', 10, 229, "fuse"},
};

std::string describe_rule(const spec::DeviceCgroup& rule) {
  const char type = rule.type.empty() ? 'a' : rule.type[0];
  const int64_t major = rule.major.value_or(-1), minor = rule.minor.value_or(-1);
  const std::string access = rule.access.empty() ? "rwm" : printable(rule.access);
  for (const KnownDevice& known : kKnownDevices) {
    if (known.type == type && known.major == major && known.minor == minor)
      return fmt::format("{} {}", known.name, access);
  }
  const auto part = [](int64_t n) { return n < 0 ? std::string("*") : fmt::to_string(n); };
  if (major < 0 && minor < 0) {
    return fmt::format("every {} {}",
                       type == 'c'   ? "character device"
                       : type == 'b' ? "block device"
                                     : "device",
                       access);
  }
  return fmt::format("{} {}:{} {}", printable(rule.type.empty() ? "a" : rule.type), part(major), part(minor),
                     access);
}

}  // namespace

std::string describe_cgroup_value(std::string_view file, std::string_view value) {
  if (file == "cpu.max") return cpu_time(value);
  if (file == "io.weight" || file == "io.bfq.weight") return disk_share(value);
  if (file == "memory.oom.group" && value == "1") return "kill all of the container when memory runs out";
  if (file == "cpu.idle" && value == "1") return "run only when no other cgroup wants the CPU";
  if (file == "memory.swap.max" && value == "0") return "allow no swap";
  for (const CgroupWords& words : kCgroupWords) {
    if (words.file != file) continue;
    if (value == "max") return std::string(words.unlimited);
    uint64_t bytes = 0;
    const bool size = words.bytes && number(value, bytes);
    return words.limited.empty()
               ? ""
               : fmt::format(fmt::runtime(words.limited), size ? bytes_in_words(bytes) : printable(value));
  }
  if (file.starts_with("hugetlb.") && file.ends_with(".max")) {
    uint64_t bytes = 0;
    if (number(value, bytes))
      return fmt::format("limit {} huge pages {}to {}", file.substr(8, file.find('.', 8) - 8),
                         file.ends_with(".rsvd.max") ? "reserved " : "", bytes_in_words(bytes));
  }
  return "";
}

std::string describe_device_rules(std::span<const spec::DeviceCgroup> rules) {
  if (rules.empty()) return "deny the use of every device, by a BPF program on the cgroup";
  std::string text = "decide the use of devices by a BPF program on the cgroup:";
  bool first = true, allow = false;
  for (const spec::DeviceCgroup& rule : rules) {
    if (first || rule.allow != allow)
      text += fmt::format("{} {} ", first ? "" : ";", rule.allow ? "allow" : "deny");
    else
      text += ", ";
    text += describe_rule(rule);
    first = false;
    allow = rule.allow;
  }
  return text;
}

}  // namespace cloche::plan
