// What a plan leaves on the host, and how to take it away. Mounts are in the container's own mount namespace
// and go with it; the state directory belongs to the runtime. What is left is cgroups, and scopes of systemd's.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plan/plan.h"

namespace cloche::plan {

struct UndoAction {
  enum class Kind {
    kill_cgroup,  // end every process in `path` and below, and wait until it is empty: cgroup.kill,
    // Linux 5.14
    remove_cgroup,  // rmdir `path`, and the cgroups below it first
    stop_scope,  // have systemd stop the scope whose cgroup `path` is, and forget it when it has failed
    stop_user_scope,  // the same of the caller's own manager
    remove_resctrl,  // rmdir `path`, a group of a resctrl file system
    return_caller  // the calling process, if it is in the leaf `path`, goes back to the cgroup above, which hands
    // nothing down any more; then rmdir `path`. Left as it is while others are below that cgroup
  };
  Kind kind = Kind::remove_cgroup;
  std::string path;  // absolute
  std::string text;  // "remove the cgroup /sys/fs/cgroup/cloche/web"
};

// "kill-cgroup", "remove-cgroup", "stop-scope": as they are written down for whoever comes after a kill -9.
[[nodiscard]] std::string_view name(UndoAction::Kind kind);
[[nodiscard]] std::optional<UndoAction::Kind> undo_kind(std::string_view name);

// In the order in which to do them: the reverse of the plan's. Doing them twice, or after a plan that failed
// half-way, is no error: what is not there is gone already.
[[nodiscard]] std::vector<UndoAction> undo_of(const Plan& plan);

}  // namespace cloche::plan
