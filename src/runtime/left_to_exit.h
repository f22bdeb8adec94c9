// What a command has made up to its last line is left to the end of the process: to take it apart would write to its pages
// once more after the fork, a page fault each.
#pragma once

#include <memory>

namespace cloche::runtime {

// NOLINTBEGIN(clang-analyzer-cplusplus.NewDeleteLeaks)
template <class T>
void leave_to_exit(std::unique_ptr<T> large) {
  (void)large.release();
}
// NOLINTEND(clang-analyzer-cplusplus.NewDeleteLeaks)

}  // namespace cloche::runtime
