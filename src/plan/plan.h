// A plan: everything that will be done to make one container, in order, before any of it is done.
#pragma once

#include <string>
#include <vector>

#include "plan/step.h"

namespace cloche::plan {

// Something asked for, or wanted by default, that is not in the plan, and why. Never a restriction that was asked
// for: that is a refusal.
struct Note {
  std::string subject;  // "pids limit"
  std::string text;  // one sentence
};

struct Plan {
  std::string container;  // the container's id
  bool rootless = false;
  std::vector<Step> steps;
  std::vector<Note> notes;

  // Index of the step, or steps.size().
  [[nodiscard]] size_t find(std::string_view id) const {
    size_t at = 0;
    while (at < steps.size() && steps[at].id != id) ++at;
    return at;
  }
};

// Why there is no plan: the field of the config (may be empty) and one sentence with what to do about it.
struct Refusal {
  std::string field;
  std::string sentence;
};

}  // namespace cloche::plan
