// What the result of raw_call() means to a caller that wants no number: that it was done, or the error.
#pragma once

#include "sys/error.h"
#include "sys/fd.h"

namespace cloche::sys {

// `describe` says the call, "mkdirat(5, \"a\", 0755)", and is asked only when it failed.
Result<> outcome(long result, auto&& describe) {
  if (result < 0) return fail(static_cast<int>(-result), describe());
  return {};
}

// The same of a call that gives a new descriptor.
Result<Fd> owned(long result, auto&& describe) {
  if (result < 0) return fail(static_cast<int>(-result), describe());
  return Fd(static_cast<int>(result));
}

}  // namespace cloche::sys
