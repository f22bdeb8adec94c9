// What a run may come to after one of its calls failed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "faults/tracer.h"

namespace cloche::faults {

struct PlannedStep {
  std::string id, fallback;
  bool host = false;
};
// The lines of --debug: "step 3 of 58, clone, host: 696 us, FALLBACK". Of those that were not run the id is empty.
std::vector<PlannedStep> steps_of(const std::string& err);

// The run without a fault, with which the others are compared.
struct Usual {
  std::vector<PlannedStep> steps;
  bool says_steps = false;  // its own errors name the step
  int failed = 1;  // its status when it fails
  std::string portrait;
};

struct Verdict {
  std::string_view outcome;  // "refused" "recovered" "warned" "tolerated"
  std::vector<std::string> problems;
};

// The step that the call belongs to. A process has at most one under way, of its own side; what it does before its first
// step and between steps belongs to none.
std::optional<size_t> step_of(const Call& call, const std::vector<PlannedStep>& steps);

// `portrait`: of what was made; only of a run that succeeded.
Verdict judge(const Usual& usual, const Call& call, int code, const Watched& watched,
              const std::string& portrait);

}  // namespace cloche::faults
