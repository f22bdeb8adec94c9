// Sizes as people write them on a command line.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

namespace cloche::spec {

// Bytes: "512M", "1.5g", "1073741824"; the suffixes b k m g t, with or without "i" and "b", are powers of 1024.
// "max" and "-1" are unlimited (-1). The error is one sentence that shows what was typed.
std::expected<int64_t, std::string> parse_size(std::string_view text);

}  // namespace cloche::spec
