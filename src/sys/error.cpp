#include "sys/error.h"

#include <fmt/format.h>

#include <cstring>

namespace cloche::sys {

std::string errno_name(int code) {
  if (const char* name = strerrorname_np(code)) return name;
  return fmt::format("errno {}", code);
}

std::string errno_text(int code) {
  if (const char* text = strerrordesc_np(code)) return text;
  return fmt::format("unknown error {}", code);
}

std::string Error::message() const {
  std::string text;
  for (auto it = context.rbegin(); it != context.rend(); ++it) {
    if (!text.empty()) text += ": ";
    text += *it;
  }
  if (!call.empty()) {
    if (!text.empty()) text += ": ";
    text += call;
  }
  if (code != 0) {
    if (!call.empty())
      text += fmt::format(" = -{} ({})", errno_name(code), errno_text(code));
    else
      text += fmt::format("{}{} ({})", text.empty() ? "" : ": ", errno_text(code), errno_name(code));
  }
  return text;
}

}  // namespace cloche::sys
