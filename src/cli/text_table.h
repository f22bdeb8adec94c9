// What is printed as columns, or as JSON.
#pragma once

#include <expected>
#include <string>
#include <vector>

#include "cli/runtime_options.h"

namespace cloche::cli {

using Row = std::vector<std::string>;

// Columns as wide as their widest cell, two blanks between them.
[[nodiscard]] std::string text_table(const std::vector<Row>& rows);

// Whether --format is json or table, which it is by default; the error is a sentence.
[[nodiscard]] std::expected<bool, std::string> wants_json(const Invocation& invocation);

}  // namespace cloche::cli
