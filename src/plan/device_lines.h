// Files of a cgroup that hold a line for each device ("8:0 rbps=max", "mlx4_0 hca_handle=2"), and take one at a time.
// Source: Documentation/admin-guide/cgroup-v2.rst.
#pragma once

#include <algorithm>
#include <array>
#include <string_view>

namespace cloche::plan {

struct DeviceLines {
  std::string_view file;
  std::string_view unset;  // what is as good as no line of a device
};

inline constexpr std::array<DeviceLines, 5> kDeviceLines{{{"io.max", "rbps=max wbps=max riops=max wiops=max"},
                                                          {"io.weight", "default"},
                                                          {"io.bfq.weight", "default"},
                                                          {"io.latency", "target=0"},
                                                          {"rdma.max", "hca_handle=max hca_object=max"}}};

// Null: a file of another kind.
[[nodiscard]] constexpr const DeviceLines* device_lines(std::string_view file) {
  const auto* const found = std::ranges::find(kDeviceLines, file, &DeviceLines::file);
  return found == kDeviceLines.end() ? nullptr : found;
}

}  // namespace cloche::plan
