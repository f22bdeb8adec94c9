// What a program had to say: the end of its output, as an error of ours repeats it.
#pragma once

#include <string>
#include <string_view>

namespace cloche::runtime {

// Of ASCII's printable characters only, since it may end up on a terminal, and cut to 300; "" when nothing was said.
std::string last_line(std::string_view output);

}  // namespace cloche::runtime
