// Internal to the readers: one pass over a JSON text, straight into the described types. No document is built
// in between; what is not known is skipped and takes no memory.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "spec/problem.h"
#include "spec/read_described.h"

namespace cloche::spec {

// Reads `json` into `place`, which holds a default-made value of `type`. Returns the first thing that is
// wrong; appends to `warnings` (a bounded number of them).
std::optional<Problem> read_into(std::string_view json, const described::Type& type, void* place,
                                 std::vector<Problem>& warnings);

template <class T>
ReadResult<T> read_described(std::string_view json) {
  Reading<T> reading;
  if (auto problem = read_into(json, described::type_of<T>, &reading.value, reading.warnings))
    return std::unexpected(*std::move(problem));
  return reading;
}

}  // namespace cloche::spec
