// Takes away what a plan left on the host.
#pragma once

#include <vector>

#include "plan/plan.h"
#include "plan/undo.h"
#include "sys/error.h"

namespace cloche::runtime {

// Does every action, also after one has failed; the first failure is returned. Repeating it is no error.
sys::Result<> undo(const std::vector<plan::UndoAction>& actions);
sys::Result<> undo(const plan::Plan& plan);

}  // namespace cloche::runtime
