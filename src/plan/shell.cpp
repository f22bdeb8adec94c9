#include "plan/shell.h"

#include <fmt/format.h>

namespace cloche::plan {

std::string shell_word(std::string_view text) {
  constexpr std::string_view harmless =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:,@%+=-";
  if (!text.empty() && text.find_first_not_of(harmless) == std::string_view::npos) return std::string(text);
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') {
      out += "'\\''";
    } else {
      out += c;
    }
  }
  return out + "'";
}

std::string shell_words(std::span<const std::string> words) {
  std::string out;
  for (const std::string& word : words) {
    if (!out.empty()) out += ' ';
    out += shell_word(word);
  }
  return out;
}

std::string below_root(std::string_view path) {
  while (path.starts_with('/')) path.remove_prefix(1);
  if (path.empty()) return "\"$root\"";
  return "\"$root\"" + shell_word(fmt::format("/{}", path));
}

std::string here_document(std::string_view name, std::string_view text) {
  std::string end = "END";
  while (text.find(end) != std::string_view::npos) end += '_';
  return fmt::format("{}=$(cat <<'{}'\n{}{}{}\n)\n", name, end, text, text.ends_with('\n') ? "" : "\n", end);
}

}  // namespace cloche::plan
