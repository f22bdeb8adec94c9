// Lists of processors and memory nodes as configs write them: "0-3,7", cpuset(7) "List format".
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace cloche::spec {

// The numbers in rising order, each once; nothing where the text is no such list, or names one of `limit` or more. An
// empty text is an empty list.
std::optional<std::vector<uint32_t>> parse_number_list(std::string_view text, uint32_t limit);

// More than a kernel can be built for (NR_CPUS, MAX_NUMNODES).
inline constexpr uint32_t kMostCpus = 8192, kMostNodes = 1024;

// linux/mempolicy.h: the place in the array is the mode's number.
inline constexpr std::array<std::string_view, 7> kMemoryPolicyModes = {
    "MPOL_DEFAULT",        "MPOL_PREFERRED",          "MPOL_BIND", "MPOL_INTERLEAVE", "MPOL_LOCAL",
    "MPOL_PREFERRED_MANY", "MPOL_WEIGHTED_INTERLEAVE"};
// The same: the place from bit 13 on.
inline constexpr std::array<std::string_view, 3> kMemoryPolicyFlags = {
    "MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"};
inline constexpr unsigned kFirstMemoryPolicyFlag = 13;

}  // namespace cloche::spec
