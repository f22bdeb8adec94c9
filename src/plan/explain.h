// A plan for people: what will be done, what was done, and what went wrong. Text for a terminal or a file.
#pragma once

#include <cstdint>
#include <string>

#include "plan/plan.h"
#include "plan/record.h"

namespace cloche::plan {

struct TextStyle {
  bool colour = false;   // the caller looks at NO_COLOR and the terminal
  uint32_t width = 110;  // columns; less than 72 is taken as 72
};

// `cloche explain`: every step with number, id, description and why, in the order of the plan, under headings
// for the side that does it and what it is about; then the notes, and what has to be removed afterwards.
[[nodiscard]] std::string explain_text(const Plan& plan, const TextStyle& style);

// `cloche run --explain`: the same steps, each with its result and microseconds instead of the why.
[[nodiscard]] std::string record_text(const Plan& plan, const RunRecord& record, const TextStyle& style);

// A failed step: first the cause on this host as one sentence, then the step's number, id and what it was to do,
// why it is there, the call with errno by name, the remedy: docs/errors.md. `program` is the name in front ("cloche"). Ends with a newline.
[[nodiscard]] std::string failure_text(std::string_view program, const Plan& plan, const StepRecord& failed,
                                       const Diagnosis& diagnosis, const TextStyle& style);

// The same on one line, for logs: no newline, no colours.
[[nodiscard]] std::string failure_line(const Plan& plan, const StepRecord& failed,
                                       const Diagnosis& diagnosis);

}  // namespace cloche::plan
