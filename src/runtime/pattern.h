// Containers by a pattern instead of an id.
#pragma once

#include <string>
#include <vector>

#include "runtime/container.h"

namespace cloche::runtime {

// Those whose id the extended regular expression (regex(7)) fits somewhere: "^web-" for a beginning, "^web$" for one
// id. In the order of their ids. What could not be read is said in `problems`. Errors: no regular expression.
sys::Result<std::vector<Container>> containers_that_fit(const StateRoot& root, const std::string& pattern,
                                                        std::vector<std::string>& problems);

}  // namespace cloche::runtime
