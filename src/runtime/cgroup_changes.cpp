#include "runtime/cgroup_changes.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ranges>

#include "sys/files.h"

namespace cloche::runtime {
namespace {

// What a file of one line for each device says of a device that has none.
struct PerDevice {
  std::string_view file, unset;
};
constexpr std::array<PerDevice, 5> kPerDevice{{{"io.max", "rbps=max wbps=max riops=max wiops=max"},
                                               {"io.weight", "default"},
                                               {"io.bfq.weight", "default"},
                                               {"io.latency", "target=0"},
                                               {"rdma.max", "hca_handle=max hca_object=max"}}};

std::string_view first_word(std::string_view line) { return line.substr(0, line.find(' ')); }

}  // namespace

std::string earlier_value(std::string_view file, std::string_view before, std::string_view written) {
  while (before.ends_with('\n')) before.remove_suffix(1);
  const auto* per_device = std::ranges::find(kPerDevice, file, &PerDevice::file);
  if (per_device == kPerDevice.end()) return before.empty() ? "\n" : std::string(before);
  const std::string_view key = first_word(written);
  for (const auto part : before | std::views::split('\n')) {
    const std::string_view line(part.begin(), part.end());
    if (first_word(line) == key) return std::string(line);
  }
  return fmt::format("{} {}", key, per_device->unset);
}

void CgroupChanges::remember(const std::string& file, const std::string& value) {
  Change change{.file = file};
  if (const auto held = sys::read_file(cgroup_.get(), file)) {
    change.earlier = earlier_value(file, *held, value);
    change.readable = true;
  }
  // A cgroup with processes takes no empty list back: what was in effect is the same by name.
  if (change.earlier == "\n" && file.starts_with("cpuset."))
    change.earlier = sys::read_file(cgroup_.get(), file + ".effective").value_or("\n");
  changes_.push_back(std::move(change));
}

void CgroupChanges::forget_last() {
  if (!changes_.empty()) changes_.pop_back();
}

sys::Result<> CgroupChanges::restore() const {
  sys::Result<> first;
  for (const Change& change : changes_ | std::views::reverse) {
    if (!change.readable) continue;
    auto written = sys::write_file(cgroup_.get(), change.file, change.earlier);
    // A disk that the file takes no weight for was given none.
    if (!written && first && written.error().code != EOPNOTSUPP)
      first = sys::wrap(std::move(written).error(),
                        fmt::format("{} could not be set back to {}", change.file, change.earlier));
  }
  return first;
}

}  // namespace cloche::runtime
