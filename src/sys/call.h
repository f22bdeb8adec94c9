// The one door to the kernel: every system call of Cloche's own goes through `raw_call`, but for those made before the C
// library has begun (sys/kernel_calls.h). Nothing here is for tests: they watch the finished program's calls from outside
// and make any one of them fail (tests/faults).
#pragma once

#include <array>
#include <type_traits>

namespace cloche::sys {

// The kernel's own convention: the result, or -errno.
long raw_syscall(long number, const std::array<long, 6>& args);

template <class T>
long as_argument(T value) {
  if constexpr (std::is_pointer_v<T>)
    return reinterpret_cast<long>(value);  // NOLINT(performance-no-int-to-ptr)
  else if constexpr (std::is_null_pointer_v<T>)
    return 0;
  else
    return static_cast<long>(value);
}

template <class... Args>
long raw_call(long number, Args... args) {
  static_assert(sizeof...(Args) <= 6);
  return raw_syscall(number, {as_argument(args)...});
}

}  // namespace cloche::sys
