// What the two programs know of the terminal they print to.
#pragma once

#include <string_view>

#include "plan/explain.h"

namespace cloche::cli {

// Colours only on a terminal and without NO_COLOR (https://no-color.org); the width of that terminal, else 110.
[[nodiscard]] plan::TextStyle style_for(int descriptor);

// Writes all of `text`; a closed pipe is no error.
void print(int descriptor, std::string_view text);

}  // namespace cloche::cli
