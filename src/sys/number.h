// A number that is the whole of a text.
#pragma once

#include <charconv>
#include <optional>
#include <string_view>

namespace cloche::sys {

// Decimal, without a sign for unsigned types, within the type's range; nothing where anything else is in the text.
template <class Number>
std::optional<Number> whole_number(std::string_view text) {
  Number number{};
  const char* const last = text.data() + text.size();
  const auto [end, failed] = std::from_chars(text.data(), last, number);
  if (failed != std::errc() || end != last) return {};
  return number;
}

}  // namespace cloche::sys
