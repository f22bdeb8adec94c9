// Where a failing call is not reported as the failure of its step: each case with the reason why that is right.
#pragma once

#include <string>
#include <string_view>

#include "faults/tracer.h"

namespace cloche::faults {

struct Exception {
  enum class Kind {
    goes_on,  // the container is made all the same, and is the same
    lies,  // the error says something of the machine that is not so, and that is believed: EEXIST for what is not there
    reworded  // it fails, in words that are better than the call's
  };
  Kind kind{};
  std::string_view call, step;  // the step's id or its beginning with '*'; "-": in no step; "*": wherever
  std::string_view codes;  // "EEXIST ENOENT"; empty: every one
  std::string_view words;  // with `reworded`
  std::string_view why;
};

// nullptr where the rule holds: the run fails and names step, call and errno.
const Exception* exception_for(std::string_view call, std::string_view step, int code, bool failed);

}  // namespace cloche::faults
