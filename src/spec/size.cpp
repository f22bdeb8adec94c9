#include "spec/size.h"

#include <fmt/format.h>

#include <cctype>
#include <charconv>
#include <cmath>

namespace cloche::spec {

std::expected<int64_t, std::string> parse_size(std::string_view text) {
  if (text == "max" || text == "-1") return -1;
  const auto bad = [&] {
    return std::unexpected(
        fmt::format("\"{}\" is no size: write a number and b, k, m, g or t, as in 512M", text));
  };
  size_t digits = 0;
  while (digits < text.size() &&
         (std::isdigit(static_cast<unsigned char>(text[digits])) != 0 || text[digits] == '.'))
    ++digits;
  double number = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + digits, number);
  if (failed != std::errc() || end != text.data() + digits) return bad();
  std::string suffix;
  for (const char c : text.substr(digits))
    suffix += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  const std::string_view units = "bkmgt";
  int power = 0;
  if (!suffix.empty()) {
    const size_t unit = units.find(suffix[0]);
    const std::string_view rest = std::string_view(suffix).substr(1);
    if (unit == std::string_view::npos ||
        (!rest.empty() && (unit == 0 || (rest != "b" && rest != "ib" && rest != "i"))))
      return bad();
    power = static_cast<int>(unit);
  }
  const double bytes = number * std::pow(1024.0, power);
  if (!(bytes < 9.2e18)) return std::unexpected(fmt::format("\"{}\" is larger than any memory", text));
  return static_cast<int64_t>(bytes);
}

}  // namespace cloche::spec
