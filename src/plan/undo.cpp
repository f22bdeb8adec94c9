#include "plan/undo.h"

#include <ranges>

#include "plan/words.h"

namespace cloche::plan {

std::vector<UndoAction> undo_of(const Plan& plan) {
  std::vector<UndoAction> actions;
  for (const Step& step : plan.steps | std::views::reverse) {
    const auto* made = std::get_if<CreateCgroup>(&step.action);
    if (made == nullptr) continue;
    const std::string path = shown(made->path);
    actions.push_back({UndoAction::Kind::kill_cgroup, made->path, "end every process in the cgroup " + path});
    actions.push_back({UndoAction::Kind::remove_cgroup, made->path, "remove the cgroup " + path});
  }
  return actions;
}

}  // namespace cloche::plan
