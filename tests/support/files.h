// What a file holds.
#pragma once

#include <fstream>
#include <iterator>
#include <string>

namespace cloche::test {

// "" where it cannot be read.
inline std::string text_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace cloche::test
