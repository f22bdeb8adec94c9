// What went wrong in one kernel call, kept as data until somebody shows it to a person.
#pragma once

#include <cerrno>
#include <expected>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cloche::sys {

// One failure. `call` is the system call with its arguments decoded as strace would print them; `code` is the
// errno it returned (0 where no call failed but an answer was unusable). `context` grows outwards: the first
// entry is the innermost thing that was being attempted.
struct Error {
  int code = 0;
  std::string call;
  std::vector<std::string> context;

  // "openat2(3, \"proc\", ...) = -ENOENT (No such file or directory)", contexts in front, outermost first.
  [[nodiscard]] std::string message() const;
};

template <class T = void>
using Result = std::expected<T, Error>;
using Failure = std::unexpected<Error>;

// Builds the unexpected value that every wrapper returns: fail(errno, "mkdirat(...)").
[[nodiscard]] inline Failure fail(int code, std::string call) {
  return Failure(Error{.code = code, .call = std::move(call), .context = {}});
}

// A failure that is no errno: the sentence says it all.
[[nodiscard]] inline Failure fail_because(std::string sentence) {
  return Failure(Error{.code = 0, .call = {}, .context = {std::move(sentence)}});
}

// Hands an error on, one context richer.
[[nodiscard]] inline Failure wrap(Error error, std::string context) {
  error.context.push_back(std::move(context));
  return Failure(std::move(error));
}

// "ENOENT" for 2; "errno 4242" for a number without a name. Source: errno(3), glibc's strerrorname_np.
[[nodiscard]] std::string errno_name(int code);
// "No such file or directory" for 2.
[[nodiscard]] std::string errno_text(int code);

}  // namespace cloche::sys

// CLOCHE_TRY(expr) returns the error of a Result<void> to the caller;
// CLOCHE_TRY_ASSIGN(name, expr) declares `name` with the value of a Result<T> or returns its error.
#define CLOCHE_CONCAT_(a, b) a##b
#define CLOCHE_CONCAT(a, b) CLOCHE_CONCAT_(a, b)
#define CLOCHE_TRY(expr)                                            \
  do {                                                              \
    if (auto cloche_result_ = (expr); !cloche_result_) [[unlikely]] \
      return std::unexpected(std::move(cloche_result_).error());    \
  } while (false)
#define CLOCHE_TRY_ASSIGN_(tmp, name, expr)         \
  auto tmp = (expr);                                \
  if (!tmp) [[unlikely]]                            \
    return std::unexpected(std::move(tmp).error()); \
  auto name = *std::move(tmp)
#define CLOCHE_TRY_ASSIGN(name, expr) CLOCHE_TRY_ASSIGN_(CLOCHE_CONCAT(cloche_tmp_, __LINE__), name, expr)
