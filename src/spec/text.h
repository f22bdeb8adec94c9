// Internal to the readers: words for what a document holds.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "spec/read_described.h"

namespace cloche::spec {

// Shortened, and without control characters or bytes that are not UTF-8: a config must not write to a
// terminal.
std::string printable(std::string_view text, size_t limit = 64);
// Appends ".key", or "[\"odd key\"]" where the key is not a plain word.
void append_key(std::string& path, std::string_view key);
// The member whose name is nearest to `key`, if one is near enough to have been meant.
std::optional<std::string_view> nearest(std::string_view key, std::span<const described::Member> members);
// "line 3, column 7" of the byte at `offset`; both count from 1, columns in bytes.
std::string line_and_column(std::string_view json, size_t offset);
// The length of the UTF-8 sequence that starts at `text`, 0 where none does. Source: RFC 3629 section 4.
size_t utf8_length(std::string_view text);

}  // namespace cloche::spec
