// What each system call can fail with, and how Cloche's errors write the call.
#pragma once

#include <span>
#include <string_view>

namespace cloche::faults {

struct CallErrors {
  long number;
  std::string_view name;   // the system call's
  std::string_view shown;  // as the error has it, where that is another word: "fstatat" for newfstatat
  std::span<const int> errors;
};

// nullptr: a call that is not made to fail. These are close(2), after whose error there is nothing to do, calls that
// cannot fail (getpid, umask), and what the C library does for itself (brk, mprotect).
const CallErrors* errors_of(long number);

}  // namespace cloche::faults
