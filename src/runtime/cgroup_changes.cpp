#include "runtime/cgroup_changes.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <cerrno>
#include <ranges>

#include "plan/device_lines.h"
#include "sys/files.h"

namespace cloche::runtime {
namespace {

std::string_view first_word(std::string_view line) { return line.substr(0, line.find(' ')); }

}  // namespace

std::string earlier_value(std::string_view file, std::string_view before, std::string_view written) {
  while (before.ends_with('\n')) before.remove_suffix(1);
  const plan::DeviceLines* lines = plan::device_lines(file);
  if (lines == nullptr) return before.empty() ? "\n" : std::string(before);
  const std::string_view key = first_word(written);
  for (const auto part : before | std::views::split('\n')) {
    const std::string_view line(part.begin(), part.end());
    if (first_word(line) == key) return std::string(line);
  }
  return fmt::format("{} {}", key, lines->unset);
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
    if (written) continue;
    // A disk that the file takes no weight for was given none.
    if (written.error().code == EOPNOTSUPP && plan::device_lines(change.file) != nullptr) continue;
    if (first)
      first = sys::wrap(std::move(written).error(),
                        fmt::format("{} could not be set back to {}", change.file, change.earlier));
  }
  return first;
}

}  // namespace cloche::runtime
