#include "cli/text_table.h"

#include <fmt/format.h>

#include <algorithm>

namespace cloche::cli {

std::string text_table(const std::vector<Row>& rows) {
  std::vector<size_t> widths;
  for (const Row& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string out;
  for (const Row& row : rows) {
    for (size_t i = 0; i + 1 < row.size(); ++i) out += fmt::format("{:<{}}  ", row[i], widths[i]);
    out += row.back() + "\n";
  }
  return out;
}

std::expected<bool, std::string> wants_json(const Invocation& invocation) {
  const std::string format = invocation.flags.text("format");
  if (format == "json") return true;
  if (format.empty() || format == "table") return false;
  return std::unexpected(fmt::format("--format: \"{}\" is neither table nor json", format));
}

}  // namespace cloche::cli
