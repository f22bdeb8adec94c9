#include "runtime/last_line.h"

#include <algorithm>

namespace cloche::runtime {

std::string last_line(std::string_view output) {
  constexpr size_t kLongest = 300;
  output = output.substr(0, output.find_last_not_of(" \t\r\n") + 1);
  if (const size_t line = output.rfind('\n'); line != std::string_view::npos) output.remove_prefix(line + 1);
  std::string printable(output.substr(0, kLongest));
  std::ranges::replace_if(printable, [](unsigned char c) { return c < ' ' || c >= 0x7f; }, '?');
  return printable;
}

}  // namespace cloche::runtime
