// linux.resources, written for cgroup v1, as values of cgroup v2's files.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "plan/builder.h"

namespace cloche::plan {

struct CgroupWrite {
  std::string controller;  // empty: a core file, "cgroup.*"
  std::string file, value;
  std::string field;  // of the spec
  std::optional<std::string> bfq{};  // as WriteCgroup's
};

// In the order to write. A restriction that v2 cannot hold is a refusal; what only tunes is a note. `now`: what the
// cgroup holds already, for a change; null for a new one.
[[nodiscard]] std::expected<std::vector<CgroupWrite>, Refusal> convert_resources(
    Builder& b, const CgroupNow* now = nullptr);

// A number of a cgroup's file; nothing for "max" and for what is no number.
[[nodiscard]] std::optional<int64_t> cgroup_number(std::string_view text);
// Changes so ordered that none is refused, and no memory missed, for what another one changes: more swap before less
// memory, a smaller burst before a smaller quota.
void order_changes(std::vector<CgroupWrite>& writes, const CgroupNow& now);

// shares [2, 262144] -> weight [1, 10000], so that the defaults meet, 1024 and 100: 10 to the power of
// (l * l + 125 * l) / 612 - 7 / 34, where l = log2(shares), rounded up. crun has it so since 1.23 and runc since 1.3.2;
// before, both drew a straight line, on which 1024 was 39.
[[nodiscard]] uint64_t weight_from_shares(uint64_t shares);
// blkio weight [10, 1000] -> io.weight [1, 10000], on a straight line, as in crun and runc.
[[nodiscard]] uint64_t weight_from_blkio(uint16_t weight);

}  // namespace cloche::plan
