#include "runtime/step_error.h"

#include "plan/explain.h"
#include "runtime/diagnose.h"

namespace cloche::runtime {

plan::StepRecord failed_record(const StepFailure& failure) {
  return {.index = static_cast<uint32_t>(failure.step),
          .state = plan::StepRecord::State::failed,
          .error = failure.error.code,
          .detail = failure.error.message()};
}

sys::Error step_error(const plan::Plan& plan, const StepFailure& failure, const plan::HostFacts& facts) {
  return {.code = 0,
          .call = {},
          .context = {plan::failure_line(plan, failed_record(failure), diagnose(plan, failure, facts))}};
}

sys::Error refusal_error(const plan::Refusal& refusal) {
  return {.code = 0,
          .call = {},
          .context = {refusal.field.empty() ? refusal.sentence : refusal.field + ": " + refusal.sentence}};
}

}  // namespace cloche::runtime
