// Where a failing call is not reported as the failure of its step: each case with the reason why that is right.
#pragma once

#include <string>
#include <string_view>

#include "faults/tracer.h"

namespace cloche::faults {

struct Exception {
  enum class Kind {
    goes_on,  // the container is made all the same, and is the same
    lies,  // it goes on, and what is made is another one: the error says what is not so, and that is believed
    reworded  // it fails, in words that are better than the call's
  };
  Kind kind{};
  std::string_view call, step;  // the step's id or its beginning with '*'; "-": in no step; "*": wherever
  std::string_view codes;  // "EEXIST ENOENT"; empty: every one
  std::string_view words;  // with `reworded`
  std::string_view why;
  std::string_view about{};  // what Call::about has somewhere in it; empty: anything
};

// nullptr where the rule holds: the run fails and names step, call and errno. `said`: what a run that failed wrote.
const Exception* exception_for(std::string_view call, std::string_view step, std::string_view about, int code,
                               const std::string* said = nullptr);

}  // namespace cloche::faults
