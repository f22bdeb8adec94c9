#include "runtime/step_error.h"

#include "plan/explain.h"
#include "runtime/diagnose.h"

namespace cloche::runtime {

sys::Error step_error(const plan::Plan& plan, const StepFailure& failure, const plan::HostFacts& facts) {
  const plan::StepRecord record{.index = static_cast<uint32_t>(failure.step),
                                .state = plan::StepRecord::State::failed,
                                .error = failure.error.code,
                                .detail = failure.error.message()};
  return {
      .code = 0, .call = {}, .context = {plan::failure_line(plan, record, diagnose(plan, failure, facts))}};
}

sys::Error refusal_error(const plan::Refusal& refusal) {
  return {.code = 0,
          .call = {},
          .context = {refusal.field.empty() ? refusal.sentence : refusal.field + ": " + refusal.sentence}};
}

}  // namespace cloche::runtime
