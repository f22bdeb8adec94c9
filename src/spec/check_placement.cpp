// Where a container's memory, caches and processes are placed: linux.memoryPolicy, linux.intelRdt,
// process.execCPUAffinity.
#include <array>

#include "spec/checks.h"
#include "spec/numbers.h"

namespace cloche::spec {
namespace {

Check check_list(const std::string& text, uint32_t limit, const std::string& path) {
  if (parse_number_list(text, limit)) return {};
  return wrong(
      path, fmt::format("\"{}\" is no list such as \"0-3,7\" of numbers below {}", printable(text), limit));
}

Check one_line(const std::string& text, const std::string& path) {
  if (text.find('\n') == std::string::npos) return {};
  return wrong(path, "must be one line");
}

}  // namespace

Check check_affinity(const ExecCPUAffinity& affinity, const std::string& path) {
  CLOCHE_TRY(check_list(affinity.initial, kMostCpus, path + ".initial"));
  return check_list(affinity.final_, kMostCpus, path + ".final");
}

Check check_memory_policy(const MemoryPolicy& policy, const std::string& path) {
  constexpr std::array<std::string_view, 2> alone{"MPOL_DEFAULT", "MPOL_LOCAL"};
  if (policy.mode.empty()) return wrong(path + ".mode", "a memory policy needs one");
  if (!is_one_of(policy.mode, kMemoryPolicyModes))
    return wrong(path + ".mode", fmt::format("\"{}\" is none of {}", printable(policy.mode),
                                             fmt::join(kMemoryPolicyModes, ", ")));
  CLOCHE_TRY(check_list(policy.nodes, kMostNodes, path + ".nodes"));
  if (is_one_of(policy.mode, alone) && !policy.nodes.empty())
    return wrong(path + ".nodes", policy.mode + " takes no nodes (set_mempolicy(2))");
  if (!is_one_of(policy.mode, alone) && policy.mode != "MPOL_PREFERRED" && policy.nodes.empty())
    return wrong(path + ".nodes", policy.mode + " needs at least one node (set_mempolicy(2))");
  for (size_t i = 0; i < policy.flags.size(); ++i)
    if (!is_one_of(policy.flags[i], kMemoryPolicyFlags))
      return wrong(fmt::format("{}.flags[{}]", path, i),
                   fmt::format("\"{}\" is none of {}", printable(policy.flags[i]),
                               fmt::join(kMemoryPolicyFlags, ", ")));
  const auto has = [&](std::string_view flag) {
    return std::ranges::find(policy.flags, flag) != policy.flags.end();
  };
  if (has("MPOL_F_STATIC_NODES") && has("MPOL_F_RELATIVE_NODES"))
    return wrong(path + ".flags", "MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES exclude each other");
  if (has("MPOL_F_NUMA_BALANCING") && policy.mode != "MPOL_BIND" && policy.mode != "MPOL_PREFERRED_MANY")
    return wrong(path + ".flags", "MPOL_F_NUMA_BALANCING goes with MPOL_BIND or MPOL_PREFERRED_MANY only");
  return {};
}

Check check_intel_rdt(const IntelRdt& rdt, const std::string& path, Warnings& warnings) {
  // The directories of resctrl that are no group's: Documentation/filesystems/resctrl.rst.
  constexpr std::array<std::string_view, 5> taken{".", "..", "info", "mon_groups", "mon_data"};
  if (rdt.closID != "/" &&
      (rdt.closID.find_first_of("/\n") != std::string::npos || is_one_of(rdt.closID, taken)))
    return wrong(path + ".closID",
                 fmt::format("\"{}\" is no name of a group: one word without '/', or \"/\" itself",
                             printable(rdt.closID)));
  CLOCHE_TRY(one_line(rdt.l3CacheSchema, path + ".l3CacheSchema"));
  CLOCHE_TRY(one_line(rdt.memBwSchema, path + ".memBwSchema"));
  if (!rdt.memBwSchema.empty() && !rdt.memBwSchema.starts_with("MB:"))
    return wrong(path + ".memBwSchema",
                 fmt::format("\"{}\" must start with \"MB:\"", printable(rdt.memBwSchema)));
  if (!rdt.l3CacheSchema.empty() && !rdt.l3CacheSchema.starts_with("L3"))
    warnings.push_back({path + ".l3CacheSchema", "should start with \"L3:\""});
  for (size_t i = 0; i < rdt.schemata.size(); ++i) {
    const auto at = fmt::format("{}.schemata[{}]", path, i);
    CLOCHE_TRY(one_line(rdt.schemata[i], at));
    if (rdt.schemata[i].find(':') == std::string::npos)
      return wrong(at,
                   fmt::format("\"{}\" is no line such as \"L3:0=7f0;1=1f\"", printable(rdt.schemata[i])));
  }
  if (rdt.enableCMT || rdt.enableMBM)
    warnings.push_back(
        {path, "enableCMT and enableMBM are taken as enableMonitoring, which replaced them in 1.3"});
  return {};
}

}  // namespace cloche::spec
