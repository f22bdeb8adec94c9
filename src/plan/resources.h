// linux.resources, written for cgroup v1, as values of cgroup v2's files.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <vector>

#include "plan/builder.h"

namespace cloche::plan {

struct CgroupWrite {
  std::string controller;  // empty: a core file, "cgroup.*"
  std::string file, value;
  std::string field;  // of the spec
};

// In the order to write. A restriction that v2 cannot hold is a refusal; what only tunes is a note.
[[nodiscard]] std::expected<std::vector<CgroupWrite>, Refusal> convert_resources(Builder& b);

// shares [2, 262144] -> weight [1, 10000]: 1 + (shares - 2) * 9999 / 262142, the formula that
// config-linux.md's implementers agreed on first. Newer runc and crun bend it so that 1024 becomes 100; the
// straight one keeps the ratio between two containers what their shares say.
[[nodiscard]] uint64_t weight_from_shares(uint64_t shares);
// blkio weight [10, 1000] -> io.weight [1, 10000].
[[nodiscard]] uint64_t weight_from_blkio(uint16_t weight);

}  // namespace cloche::plan
