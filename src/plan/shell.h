// Writing shell text that means exactly what was meant.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace cloche::plan {

// One word of POSIX sh with the value `text`, whatever bytes it holds (but 0): as it is where every character is
// harmless, else within single quotes.
[[nodiscard]] std::string shell_word(std::string_view text);
[[nodiscard]] std::string shell_words(std::span<const std::string> words);

// `path` of the container below the variable "$root": "$root"/proc.
[[nodiscard]] std::string below_root(std::string_view path);

// `name=$(cat <<'END' ... )` with an END that no line of `text` is.
[[nodiscard]] std::string here_document(std::string_view name, std::string_view text);

}  // namespace cloche::plan
