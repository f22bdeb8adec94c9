// `cloche run`: plan, execute, stand by, take away.
#pragma once

#include <expected>
#include <functional>
#include <optional>
#include <string>

#include "engine/run_options.h"
#include "plan/facts.h"
#include "plan/plan.h"
#include "plan/record.h"

namespace cloche::engine {

// Exit codes of the engine itself, as Docker and Podman have them; else the command's own, 128+n on a signal.
inline constexpr int kEngineFailed = 125, kNotExecutable = 126, kNotFound = 127;

struct Planned {
  plan::Plan plan;
  plan::HostFacts facts;
};
// What would be done. The error is one sentence; nothing was changed.
std::expected<Planned, std::string> plan_run(const RunOptions& options);

struct RunReport {
  int exit_code = 0;
  plan::RunRecord record;
  // When a step failed: its record and why.
  std::optional<plan::StepRecord> failed;
  plan::Diagnosis diagnosis;
  // When the engine failed outside any step.
  std::string failure;
};
// `started` is called when the command runs: what was recorded up to there.
RunReport run_planned(const Planned& planned, const RunOptions& options,
                      const std::function<void(const plan::RunRecord&)>& started);

// Takes away what engine processes that were killed left behind: the runs whose process is gone.
void sweep(const std::string& runtime_dir);

}  // namespace cloche::engine
