// JSON as text, for the few documents the runtime writes: no value tree is built.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace cloche::runtime {

// `text` as a JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD.
[[nodiscard]] std::string json_string(std::string_view text);
// {"key":"value",...}
[[nodiscard]] std::string json_object(const std::map<std::string, std::string>& members);

}  // namespace cloche::runtime
