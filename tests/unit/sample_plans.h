// Plans written by hand, for the tests of the plan's readers.
#pragma once

#include <string>
#include <utility>

#include "plan/plan.h"

namespace cloche::plan::test {

inline Step step(std::string id, Action action, Side side = Side::container,
                 Why why = {Why::Kind::standard, ""}) {
  return {.id = std::move(id), .action = std::move(action), .why = std::move(why), .side = side};
}

// One step of every kind there is, each without a value.
Plan every_action();

// A small container of the kind that root makes from a directory, with real values.
Plan small_plan();

}  // namespace cloche::plan::test
