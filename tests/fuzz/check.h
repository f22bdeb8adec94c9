// What every fuzz target holds a parser to.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "spec/problem.h"
#include "sys/error.h"

namespace cloche::fuzz {

inline void require(bool holds, const char* what, std::string_view found) {
  if (holds) return;
  std::fprintf(stderr, "%s: %.*s\n", what, static_cast<int>(found.size()), found.data());
  std::abort();
}

// One printable line of a bounded length.
inline void check_sentence(std::string_view message) {
  require(!message.empty(), "an error without words", message);
  require(message.size() < 4096, "a sentence without end", message);
  for (const char c : message) require(static_cast<unsigned char>(c) >= 0x20, "a control character", message);
}

inline std::string_view text_of(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

}  // namespace cloche::fuzz
