// Everything that must exist before the clone, because afterwards it could not be had: descriptors of paths that
// the mapped root cannot reach, namespaces to join, filters to load. Inherited by the container side as it is.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "kernel/seccomp.h"
#include "plan/plan.h"
#include "sys/error.h"
#include "sys/fd.h"

namespace cloche::runtime {

struct Prepared {
  std::map<std::string, sys::Fd> trees;  // slot -> mount tree (OpenTree)
  std::map<std::string, sys::Fd> namespaces;  // OCI type -> namespace to join
  std::optional<kernel::SeccompProgram> filter;
  sys::Fd cgroup;  // the container's cgroup directory
  sys::Fd init;  // cloche-init, as a sealed memory file
  sys::Fd proc;  // the host's /proc: a namespace that is joined may have another, or none
  sys::Fd agent;  // where the filter's listener is sent (ConnectListener)
  sys::Fd init_mark;  // where the container's first process writes who it is; invalid: nowhere
  sys::Fd start_listener;  // where `start` will call
  std::string oci_state;  // the state that hooks and an agent are given; "@PID@" and "@STATUS@" are filled in
};

// A failure that belongs to a step: the index in the plan and what the kernel said.
struct StepFailure {
  size_t step = 0;
  sys::Error error;
};

}  // namespace cloche::runtime
