// What was done of a plan: one record per step, filled in by the executor, read by the explainer. Plain data.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace cloche::plan {

struct StepRecord {
  // `skipped`: there was nothing to do on this host (a path to mask that is not there).
  enum class State { not_run, ok, failed, skipped };

  uint32_t index = 0;  // into Plan::steps
  State state = State::not_run;
  int32_t error = 0;  // errno, of a failed step; 0 where no system call failed
  uint32_t microseconds = 0;  // of this step alone
  std::string fallback;  // another way than the usual one, in words; empty: the usual one
  std::string detail;  // failed: the call with its arguments decoded; skipped: why; ok: may be empty
};
[[nodiscard]] std::string_view name(StepRecord::State state);

struct RunRecord {
  std::vector<StepRecord> steps;  // in any order; a step without a record was not run
  int64_t pid = 0;  // of the container's first process, as the caller sees it; 0: none
  uint64_t microseconds = 0;  // from the first step to the command's start
};

// Why a step failed on this host, and what to do; both may be empty.
struct Diagnosis {
  std::string cause, remedy;  // one sentence each
};

}  // namespace cloche::plan
