// Resource limits of a process: getrlimit(2), prlimit(2).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "sys/error.h"

namespace cloche::kernel {

inline constexpr uint64_t kUnlimited = ~uint64_t{0};  // RLIM_INFINITY

// The units are those of getrlimit(2): bytes, seconds, counts.
struct ResourceLimit {
  uint64_t soft = kUnlimited, hard = kUnlimited;
  bool operator==(const ResourceLimit&) const = default;
};

// RLIMIT_NOFILE for "RLIMIT_NOFILE", "NOFILE" or "nofile".
[[nodiscard]] std::optional<int> find_rlimit(std::string_view name);
// "RLIMIT_NOFILE"; "RLIMIT_99" for a number without a name.
[[nodiscard]] std::string rlimit_name(int resource);

sys::Result<ResourceLimit> get_rlimit(int resource);
// Of the calling process. EPERM: raising the hard limit needs CAP_SYS_RESOURCE in the first user namespace.
// EINVAL: soft > hard.
sys::Result<> set_rlimit(int resource, ResourceLimit limit);

}  // namespace cloche::kernel
