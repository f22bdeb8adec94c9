#include <array>

#include "spec/checks.h"

namespace cloche::spec {
namespace {

// Callers write 0 for "not asked for", as Go's zero value.
template <class T>
Check range(const std::optional<T>& value, T least, T most, const std::string& path) {
  if (!value || *value == 0 || (*value >= least && *value <= most)) return {};
  return wrong(path, fmt::format("{} is not in {} to {}", *value, least, most));
}

Check not_below(const std::optional<int64_t>& value, int64_t least, const std::string& path) {
  if (!value || *value >= least) return {};
  return wrong(path, fmt::format("{} is no limit: -1 is unlimited, less means nothing", *value));
}

Check check_memory(const Memory& memory, const std::string& path, bool change) {
  CLOCHE_TRY(not_below(memory.limit, -1, path + ".limit"));
  CLOCHE_TRY(not_below(memory.reservation, -1, path + ".reservation"));
  CLOCHE_TRY(not_below(memory.swap, -1, path + ".swap"));
  CLOCHE_TRY(not_below(memory.kernel, -1, path + ".kernel"));
  CLOCHE_TRY(not_below(memory.kernelTCP, -1, path + ".kernelTCP"));
  const int64_t limit = memory.limit.value_or(0), swap = memory.swap.value_or(0);
  const int64_t reservation = memory.reservation.value_or(0);
  if (limit > 0 && swap > 0 && swap < limit)
    return wrong(path + ".swap",
                 fmt::format("{} is below the memory limit ({}): it counts memory and swap", swap, limit));
  if (swap > 0 && (limit < 0 || (limit == 0 && !change)))
    return wrong(path + ".swap", "a limit of memory and swap needs a memory limit");
  if (limit > 0 && reservation > limit)
    return wrong(path + ".reservation", fmt::format("{} is above the limit ({})", reservation, limit));
  if (memory.swappiness && *memory.swappiness > 100)
    return wrong(path + ".swappiness", fmt::format("{} is not in 0 to 100", *memory.swappiness));
  return {};
}

// "0-3,7": cpuset(7), list format.
bool is_cpu_list(std::string_view text) {
  return text.find_first_not_of("0123456789-, \n") == std::string_view::npos;
}

Check check_cpu(const Cpu& cpu, const std::string& path) {
  CLOCHE_TRY(range<uint64_t>(cpu.shares, 2, 262144, path + ".shares"));
  CLOCHE_TRY(not_below(cpu.quota, -1, path + ".quota"));
  // kernel/sched/core.c: a period is 1 ms to 1 s, and a quota at least 1 ms.
  CLOCHE_TRY(range<uint64_t>(cpu.period, 1000, 1'000'000, path + ".period"));
  if (cpu.quota.value_or(0) > 0 && *cpu.quota < 1000)
    return wrong(path + ".quota",
                 fmt::format("{} is below the kernel's least, 1000 microseconds", *cpu.quota));
  CLOCHE_TRY(range<int64_t>(cpu.idle, 0, 1, path + ".idle"));
  if (!is_cpu_list(cpu.cpus))
    return wrong(path + ".cpus", fmt::format("\"{}\" is no list such as \"0-3,7\"", printable(cpu.cpus)));
  if (!is_cpu_list(cpu.mems))
    return wrong(path + ".mems", fmt::format("\"{}\" is no list such as \"0-1\"", printable(cpu.mems)));
  return {};
}

Check check_block_io(const BlockIO& io, const std::string& path) {
  CLOCHE_TRY(range<uint16_t>(io.weight, 10, 1000, path + ".weight"));
  CLOCHE_TRY(range<uint16_t>(io.leafWeight, 10, 1000, path + ".leafWeight"));
  for (size_t i = 0; i < io.weightDevice.size(); ++i)
    CLOCHE_TRY(range<uint16_t>(io.weightDevice[i].weight, 10, 1000,
                               fmt::format("{}.weightDevice[{}].weight", path, i)));
  for (const auto& [name, devices] : {std::pair{"throttleReadBpsDevice", &io.throttleReadBpsDevice},
                                      {"throttleWriteBpsDevice", &io.throttleWriteBpsDevice},
                                      {"throttleReadIOPSDevice", &io.throttleReadIOPSDevice},
                                      {"throttleWriteIOPSDevice", &io.throttleWriteIOPSDevice}})
    for (size_t i = 0; i < devices->size(); ++i)
      if ((*devices)[i].major < 0 || (*devices)[i].minor < 0)
        return wrong(fmt::format("{}.{}[{}]", path, name, i), "a device's numbers are not negative");
  return {};
}

Check check_device_rules(const std::vector<DeviceCgroup>& rules, const std::string& path) {
  constexpr std::array<std::string_view, 4> types{"", "a", "b", "c"};
  for (size_t i = 0; i < rules.size(); ++i) {
    const auto at = fmt::format("{}[{}]", path, i);
    if (!is_one_of(rules[i].type, types))
      return wrong(at + ".type", fmt::format("\"{}\" is none of a, b and c", printable(rules[i].type)));
    if (rules[i].access.find_first_not_of("rwm") != std::string::npos)
      return wrong(at + ".access",
                   fmt::format("\"{}\" holds more than r, w and m", printable(rules[i].access)));
    for (const auto& [name, number] : {std::pair{".major", rules[i].major}, {".minor", rules[i].minor}})
      if (number && *number < -1)
        return wrong(at + name, fmt::format("{} is no device number: -1 is any", *number));
  }
  return {};
}

// "64KB", "2MB", "1GB": the words of hugetlb.<size>.max.
bool is_page_size(std::string_view text) {
  const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const auto unit = text.substr(digits);
  return digits > 0 && text[0] != '0' && (unit == "KB" || unit == "MB" || unit == "GB");
}

Check check_unified(const std::map<std::string, std::string>& files, const std::string& path) {
  for (const auto& [file, value] : files) {
    if (file.empty() || file.find('/') != std::string::npos || file == "." || file == "..")
      return wrong(entry(path, file), "is not the name of a file of a cgroup: it must have no '/'");
    if (file.starts_with("cgroup."))
      // cgroup.procs or cgroup.subtree_control would change what the container's cgroup is, not what it may use.
      return wrong(entry(path, file), "is the runtime's to write, not a limit");
  }
  return {};
}

}  // namespace

Check check_resources(const Resources& resources, const std::string& path, Warnings& warnings, bool change) {
  if (resources.memory) CLOCHE_TRY(check_memory(*resources.memory, field(path, "memory"), change));
  if (resources.cpu) CLOCHE_TRY(check_cpu(*resources.cpu, field(path, "cpu")));
  if (resources.pids) CLOCHE_TRY(not_below(resources.pids->limit, -1, field(path, "pids.limit")));
  if (resources.blockIO) CLOCHE_TRY(check_block_io(*resources.blockIO, field(path, "blockIO")));
  CLOCHE_TRY(check_device_rules(resources.devices, field(path, "devices")));
  for (size_t i = 0; i < resources.hugepageLimits.size(); ++i)
    if (!is_page_size(resources.hugepageLimits[i].pageSize))
      return wrong(
          field(path, fmt::format("hugepageLimits[{}].pageSize", i)),
          fmt::format("\"{}\" is no size such as \"2MB\"", printable(resources.hugepageLimits[i].pageSize)));
  if (resources.memory &&
      (resources.memory->kernel || resources.memory->kernelTCP || resources.memory->swappiness))
    warnings.push_back(
        {field(path, "memory"), "kernel, kernelTCP and swappiness exist in cgroup v1 only; ignored"});
  if (resources.network) warnings.push_back({field(path, "network"), "exists in cgroup v1 only; ignored"});
  return check_unified(resources.unified, field(path, "unified"));
}

}  // namespace cloche::spec
