#include "runtime/undo.h"

#include "kernel/cgroup.h"
#include "kernel/resctrl.h"
#include "runtime/systemd.h"
#include "sys/files.h"

namespace cloche::runtime {
namespace {

sys::Result<> undo_one(const plan::UndoAction& action) {
  if (action.kind == plan::UndoAction::Kind::remove_cgroup) return kernel::remove_cgroup(action.path);
  if (action.kind == plan::UndoAction::Kind::remove_resctrl) return kernel::remove_resctrl_group(action.path);
  if (action.kind == plan::UndoAction::Kind::return_caller) return kernel::return_from_leaf(action.path);
  if (action.kind == plan::UndoAction::Kind::stop_scope) return stop_scope(action.path, false);
  if (action.kind == plan::UndoAction::Kind::stop_user_scope) return stop_scope(action.path, true);
  // Usually its last process has ended and was waited for: then it can go at once.
  if (sys::remove_at(AT_FDCWD, action.path, AT_REMOVEDIR)) return {};
  auto killed = kernel::kill_all(action.path);
  if (!killed && killed.error().code == ENOENT) return {};
  return killed;
}

}  // namespace

sys::Result<> undo(const std::vector<plan::UndoAction>& actions) {
  sys::Result<> first;
  for (const plan::UndoAction& action : actions)
    if (auto done = undo_one(action); !done && first) first = sys::wrap(std::move(done).error(), action.text);
  return first;
}

sys::Result<> undo(const plan::Plan& plan) { return undo(plan::undo_of(plan)); }

}  // namespace cloche::runtime
