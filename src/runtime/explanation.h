// What is told at length: the plan of a container, and of a failure the plan, the step, and what was undone.
// A caller's log has room for one sentence; the rest is kept here for `cloche-runtime explain ID`.
#pragma once

#include <string>

#include "plan/facts.h"
#include "plan/plan.h"
#include "plan/record.h"
#include "runtime/launch.h"
#include "runtime/prepared.h"
#include "runtime/state.h"

namespace cloche::runtime {

// A run that ended at a step.
struct FailedRun {
  std::string what;  // "create container \"box\""
  const plan::Plan& plan;
  const StepFailure& failure;
  const plan::HostFacts& facts;
  plan::RunRecord record;
  std::vector<std::string> undone;  // in words, in the order it was done
};

// Writes it as a file of the id into `@failed` beside the states (mode 0600), instead of an older one of this id. Of
// the others the newest are kept, some thirty. A failure to write is passed over: the sentence is enough then.
void keep_explanation(const StateRoot& root, const std::string& id, const FailedRun& run);
// Errors: ENOENT, nothing is kept.
sys::Result<std::string> kept_explanation(const StateRoot& root, const std::string& id);

enum class ExplanationFormat { text, json, script };
// What `create` would do with the bundle; nothing is done. Errors: those of `create` up to its first step.
sys::Result<std::string> explain_bundle(const LaunchOptions& options, ExplanationFormat format,
                                        Report& report);
// The same of a container that is there, by the config it was made from; as text, with what is kept of its last failure
// behind it. Where there is no such container, what is kept. Errors: neither.
sys::Result<std::string> explain(const StateRoot& root, const LaunchOptions& options,
                                 ExplanationFormat format);

}  // namespace cloche::runtime
