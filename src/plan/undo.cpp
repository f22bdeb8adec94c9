#include "plan/undo.h"

#include <algorithm>
#include <iterator>
#include <ranges>

#include "plan/words.h"

namespace cloche::plan {

namespace {

struct KindName {
  UndoAction::Kind kind;
  std::string_view name;
};
constexpr KindName kKinds[] = {{UndoAction::Kind::kill_cgroup, "kill-cgroup"},
                               {UndoAction::Kind::remove_cgroup, "remove-cgroup"},
                               {UndoAction::Kind::stop_scope, "stop-scope"},
                               {UndoAction::Kind::stop_user_scope, "stop-user-scope"},
                               {UndoAction::Kind::remove_resctrl, "remove-resctrl"},
                               {UndoAction::Kind::return_caller, "return-caller"}};

}  // namespace

std::string_view name(UndoAction::Kind kind) {
  return std::ranges::find(kKinds, kind, &KindName::kind)->name;
}

std::optional<UndoAction::Kind> undo_kind(std::string_view name) {
  const auto* found = std::ranges::find(kKinds, name, &KindName::name);
  if (found == std::end(kKinds)) return {};
  return found->kind;
}

std::vector<UndoAction> undo_of(const Plan& plan) {
  std::vector<UndoAction> actions;
  for (const Step& step : plan.steps | std::views::reverse) {
    if (const auto* left = std::get_if<LeaveCgroup>(&step.action))
      actions.push_back({UndoAction::Kind::return_caller, left->leaf,
                         "bring the caller back out of the cgroup " + shown(left->leaf) + " and remove it"});
    if (const auto* scope = std::get_if<StartScope>(&step.action)) {
      const std::string path = shown(scope->cgroup);
      actions.push_back(
          {UndoAction::Kind::kill_cgroup, scope->cgroup, "end every process in the cgroup " + path});
      actions.push_back({scope->user ? UndoAction::Kind::stop_user_scope : UndoAction::Kind::stop_scope,
                         scope->cgroup, "have systemd stop " + shown(scope->unit)});
    }
    if (const auto* group = std::get_if<MakeResctrlGroup>(&step.action);
        group != nullptr && group->how == "new")
      actions.push_back(
          {UndoAction::Kind::remove_resctrl, group->path, "remove the resctrl group " + shown(group->path)});
    const auto* made = std::get_if<CreateCgroup>(&step.action);
    if (made == nullptr) continue;
    const std::string path = shown(made->path);
    actions.push_back({UndoAction::Kind::kill_cgroup, made->path, "end every process in the cgroup " + path});
    actions.push_back({UndoAction::Kind::remove_cgroup, made->path, "remove the cgroup " + path});
  }
  return actions;
}

}  // namespace cloche::plan
