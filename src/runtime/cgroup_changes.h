// What a running cgroup held before it was changed, so that a change that fails half-way leaves nothing behind.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sys/error.h"
#include "sys/fd.h"

namespace cloche::runtime {

// What to write into `file` so that it holds `before` again after `written` was written. Files with a line for each
// device (plan/device_lines.h) get back the line that was changed; a device that had none gets the kernel's default.
[[nodiscard]] std::string earlier_value(std::string_view file, std::string_view before,
                                        std::string_view written);

class CgroupChanges {
 public:
  // `cgroup`: its directory, for as long as this lives.
  explicit CgroupChanges(const sys::Fd& cgroup) : cgroup_(cgroup) {}

  // Before `value` goes into `file`. What cannot be read has no value to go back to (memory.reclaim).
  void remember(const std::string& file, const std::string& value);
  // The last write did not happen after all.
  void forget_last();
  // In reverse. The error names the first file that kept its new value; the others are tried all the same.
  sys::Result<> restore() const;

 private:
  struct Change {
    std::string file, earlier;
    bool readable = false;
  };
  const sys::Fd& cgroup_;
  std::vector<Change> changes_;
};

}  // namespace cloche::runtime
