// The one door to the kernel. Every system call of Cloche goes through `raw_call`, so that a test can record the
// calls of a run or make any one of them fail.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <type_traits>

namespace cloche::sys {

struct CallRecord {
  long number = 0;
  std::array<long, 6> args{};
  long result = 0;  // -errno on failure
};

// Watches, or stands in for, the kernel. Not for production use: there the pointer below is null.
class Interceptor {
 public:
  virtual ~Interceptor() = default;
  // A value here is returned instead of making the call (a negative one is -errno).
  virtual std::optional<long> instead(long number, const std::array<long, 6>& args) = 0;
  virtual void made(const CallRecord& record) = 0;
};
// Inherited by a forked child, as all memory is. Cloche's own processes are single-threaded.
inline Interceptor* interceptor = nullptr;

// The kernel's own convention: the result, or -errno.
long raw_syscall(long number, const std::array<long, 6>& args);
long intercepted_syscall(long number, const std::array<long, 6>& args);

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
  const std::array<long, 6> words{as_argument(args)...};
  if (interceptor != nullptr) [[unlikely]]
    return intercepted_syscall(number, words);
  return raw_syscall(number, words);
}

}  // namespace cloche::sys
