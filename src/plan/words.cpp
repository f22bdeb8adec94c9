#include "plan/words.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

namespace cloche::plan {
namespace {

struct CodePoint {
  uint32_t value = 0;
  size_t length = 0;  // 0: no valid UTF-8 here
};

CodePoint decode(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return {first, 1};
  const size_t length = first >= 0xf0 && first < 0xf5   ? 4
                        : first >= 0xe0 && first < 0xf0 ? 3
                        : first >= 0xc2 && first < 0xe0 ? 2
                                                        : 0;
  if (length == 0 || text.size() < length) return {};
  uint32_t value = first & (0xffU >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {};
    value = value << 6 | (byte(i) & 0x3fU);
  }
  constexpr std::array<uint32_t, 5> least = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = value >= 0xd800 && value < 0xe000;
  return value < least[length] || value > 0x10ffff || surrogate ? CodePoint{} : CodePoint{value, length};
}

bool misleading(uint32_t c) {
  return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x202a && c <= 0x202e) ||
         (c >= 0x2066 && c <= 0x2069) || c == 0x200e || c == 0x200f || c == 0x2028 || c == 0x2029;
}

std::string escape(uint32_t c) {
  switch (c) {
    case '\n':
      return "\\n";
    case '\t':
      return "\\t";
    case '\r':
      return "\\r";
    default:
      return c < 0x80 ? fmt::format("\\x{:02x}", c) : fmt::format("\\u{:04x}", c);
  }
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const CodePoint c = decode(text);
    if (c.length == 0) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[0]));
    } else if (misleading(c.value)) {
      out += escape(c.value);
    } else {
      out += text.substr(0, c.length);
    }
    text.remove_prefix(std::max<size_t>(c.length, 1));
  }
  return out;
}

std::string shown(std::string_view text) {
  std::string safe = printable(text);
  return safe.empty() || safe.find(' ') != std::string::npos ? '"' + safe + '"' : safe;
}

std::string bytes_in_words(uint64_t bytes) {
  constexpr std::array<std::string_view, 7> units = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  size_t unit = 0;
  while (bytes != 0 && bytes % 1024 == 0 && unit + 1 < units.size()) {
    bytes /= 1024;
    ++unit;
  }
  return unit == 0 ? counted(bytes, "byte") : fmt::format("{} {}", bytes, units[unit]);
}

std::string listed(std::span<const std::string> words) {
  std::string out;
  for (size_t i = 0; i < words.size(); ++i) {
    if (i > 0) out += i + 1 == words.size() ? " and " : ", ";
    out += printable(words[i]);
  }
  return out;
}

std::string comma_list(std::span<const std::string> words) {
  std::string out;
  for (const std::string& word : words) {
    if (!out.empty()) out += ", ";
    out += printable(word);
  }
  return out;
}

std::string counted(uint64_t number, std::string_view noun) {
  const bool sibilant = noun.ends_with("s");
  return fmt::format("{} {}{}", number, noun, number == 1 ? "" : sibilant ? "es" : "s");
}

std::string capability_word(std::string_view name) {
  std::string word = printable(name);
  std::ranges::transform(word, word.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c; });
  return word.starts_with("cap_") ? word.substr(4) : word;
}

size_t columns(std::string_view text) {
  return static_cast<size_t>(std::ranges::count_if(text, [](char c) { return (c & 0xc0) != 0x80; }));
}

}  // namespace cloche::plan
