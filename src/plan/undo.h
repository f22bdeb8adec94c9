// What a plan leaves on the host, and how to take it away. Mounts are in the container's own mount namespace
// and go with it; the state directory belongs to the runtime. What is left is cgroups.
#pragma once

#include <string>
#include <vector>

#include "plan/plan.h"

namespace cloche::plan {

struct UndoAction {
  enum class Kind {
    kill_cgroup,   // end every process in `path` and below, and wait until it is empty: cgroup.kill,
                   // Linux 5.14
    remove_cgroup  // rmdir `path`, and the cgroups below it first
  };
  Kind kind = Kind::remove_cgroup;
  std::string path;  // absolute
  std::string text;  // "remove the cgroup /sys/fs/cgroup/cloche/web"
};

// In the order in which to do them: the reverse of the plan's. Doing them twice, or after a plan that failed
// half-way, is no error: what is not there is gone already.
[[nodiscard]] std::vector<UndoAction> undo_of(const Plan& plan);

}  // namespace cloche::plan
