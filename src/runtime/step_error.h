// Steps in words for the caller: a failed one as an error that names it, each one with what it took.
#pragma once

#include <string>
#include <vector>

#include "plan/facts.h"
#include "plan/plan.h"
#include "plan/record.h"
#include "runtime/prepared.h"
#include "sys/error.h"

namespace cloche::runtime {

// The failed step's record: what the explainer reads.
[[nodiscard]] plan::StepRecord failed_record(const StepFailure& failure);
// With the cause on this host and what to do, where they are known.
[[nodiscard]] sys::Error step_error(const plan::Plan& plan, const StepFailure& failure,
                                    const plan::HostFacts& facts);
[[nodiscard]] sys::Error refusal_error(const plan::Refusal& refusal);
// "step 4 of 80, clone, host: 1312 us", and the fallback where one was taken: for --debug.
[[nodiscard]] std::vector<std::string> step_lines(const plan::Plan& plan, const plan::RunRecord& record);

}  // namespace cloche::runtime
