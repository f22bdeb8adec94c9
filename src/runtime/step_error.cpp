#include "runtime/step_error.h"

#include <fmt/format.h>

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

std::vector<std::string> step_lines(const plan::Plan& plan, const plan::RunRecord& record) {
  std::vector<std::string> lines;
  for (const plan::StepRecord& step : record.steps) {
    const plan::Step& planned = plan.steps[step.index];
    lines.push_back(fmt::format("step {} of {}, {}, {}: {} us{}{}", step.index + 1, plan.steps.size(),
                                planned.id, planned.side == plan::Side::host ? "host" : "container",
                                step.microseconds, step.fallback.empty() ? "" : ", ", step.fallback));
  }
  return lines;
}

}  // namespace cloche::runtime
