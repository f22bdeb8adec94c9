// Paths as texts: nothing here looks at a file.
#pragma once

#include <string_view>

namespace cloche::sys {

// It is the directory or lies in it. Both are absolute and end in no slash, but for "/".
[[nodiscard]] constexpr bool is_below(std::string_view path, std::string_view directory) {
  if (directory == "/") return path.starts_with('/');
  return path.starts_with(directory) && (path.size() == directory.size() || path[directory.size()] == '/');
}

}  // namespace cloche::sys
