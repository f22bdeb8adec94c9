// How the plan's readers put values into words: one place, so that the explainer, the script's comments and
// the errors say the same thing the same way.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "spec/runtime.h"

namespace cloche::plan {

// Text that is safe on a terminal and on one line: control characters, bytes that are not UTF-8 and
// characters that reorder their neighbours (U+202A-E, U+2066-9, U+200E-F) are written as C escapes. A config
// may hold any bytes.
[[nodiscard]] std::string printable(std::string_view text);

// printable(), within double quotes when it is empty or has a space, so that its ends are seen.
[[nodiscard]] std::string shown(std::string_view text);

// "512 MiB" where the number is a whole multiple, else "1000000 bytes".
[[nodiscard]] std::string bytes_in_words(uint64_t bytes);

// "a, b and c"; each passed through printable().
[[nodiscard]] std::string listed(std::span<const std::string> words);
// "a, b, c".
[[nodiscard]] std::string comma_list(std::span<const std::string> words);

// "1 step", "2 steps".
[[nodiscard]] std::string counted(uint64_t number, std::string_view noun);

// "CAP_NET_ADMIN" as "net_admin".
[[nodiscard]] std::string capability_word(std::string_view name);

// What a value means in a file of a cgroup: "limit memory to 512 MiB"; empty for what is not known.
// Source: Documentation/admin-guide/cgroup-v2.rst.
[[nodiscard]] std::string describe_cgroup_value(std::string_view file, std::string_view value);
// The device policy as one sentence, well-known devices by name.
[[nodiscard]] std::string describe_device_rules(std::span<const spec::DeviceCgroup> rules);

// Characters of printable text as a terminal counts them: one per code point.
[[nodiscard]] size_t columns(std::string_view text);

}  // namespace cloche::plan
