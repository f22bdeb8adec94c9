// cgroup v2 directories: made, given controllers, frozen, killed, removed. Source: Documentation/admin-guide/
// cgroup-v2.rst. Limits themselves are steps of a plan.
#pragma once

#include <string>
#include <vector>

#include "sys/error.h"
#include "sys/fd.h"

namespace cloche::kernel {

struct MadeCgroup {
  sys::Fd directory;  // open for reading: bpf(2) takes no O_PATH descriptor
  bool existed = false;  // it was there, without processes
};
// Makes the cgroup and its missing parents. EBUSY when it is there and has processes.
sys::Result<MadeCgroup> make_cgroup(const std::string& path);

// "+memory +pids" into cgroup.subtree_control of `from` and every cgroup between it and the parent of `cgroup`.
sys::Result<> enable_controllers(const std::string& from, const std::string& cgroup,
                                 const std::vector<std::string>& controllers);

// The calling process goes into `leaf`, which is made where it is missing.
sys::Result<> move_to_leaf(const std::string& leaf);
// If the calling process is in `leaf` and no other cgroup is beside it: the cgroup above hands nothing down any more,
// the process goes back there, and `leaf` is removed. One that is empty is removed in any case; a missing one is no
// error.
sys::Result<> return_from_leaf(const std::string& leaf);

// The processes in the cgroup and in all below it, host pids.
sys::Result<std::vector<int>> processes_in(const std::string& cgroup);
// cgroup.freeze := 1 or 0, and waits (bounded) until cgroup.events says so.
sys::Result<> freeze(const std::string& cgroup, bool frozen);
sys::Result<bool> is_frozen(const std::string& cgroup);
// cgroup.kill (Linux 5.14): SIGKILL to everything in it and below.
sys::Result<> kill_all(const std::string& cgroup);
// Removes the cgroup and all below it; waits (bounded) for killed processes to leave. A missing one is no error.
sys::Result<> remove_cgroup(const std::string& path);

}  // namespace cloche::kernel
