#include "spec/numbers.h"

#include <algorithm>
#include <charconv>

namespace cloche::spec {
namespace {

bool take_number(std::string_view& text, uint32_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{}) return false;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return true;
}

}  // namespace

std::optional<std::vector<uint32_t>> parse_number_list(std::string_view text, uint32_t limit) {
  std::vector<bool> chosen(limit);
  while (!text.empty()) {
    uint32_t first = 0, last = 0;
    if (!take_number(text, first)) return {};
    last = first;
    if (text.starts_with('-') && (text.remove_prefix(1), !take_number(text, last))) return {};
    if (first > last || last >= limit) return {};
    std::fill(chosen.begin() + first, chosen.begin() + last + 1, true);
    if (text.empty()) break;
    if (text[0] != ',' || text.size() == 1) return {};
    text.remove_prefix(1);
  }
  std::vector<uint32_t> numbers;
  for (uint32_t i = 0; i < limit; ++i)
    if (chosen[i]) numbers.push_back(i);
  return numbers;
}

}  // namespace cloche::spec
