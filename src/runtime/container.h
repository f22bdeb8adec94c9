// A container that is on disk, and what it is doing now.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "runtime/state.h"
#include "spec/runtime.h"

namespace cloche::runtime {

struct Container {
  ContainerDirectory directory;
  SavedState state;
  std::optional<ProcessMark> init;
  Status status = Status::stopped;
  bool being_made = false;  // its maker is still at it, whatever its process does already

  // As the callers want it (runtime-spec, "State"): pid is 0 unless created, running or paused. One line, without
  // its end. `pretty` is for people.
  [[nodiscard]] std::string oci_state(bool pretty = false) const;
  [[nodiscard]] bool has_process() const {
    return status == Status::created || status == Status::running || status == Status::paused;
  }
};

// Errors: "container does not exist", a broken state file.
sys::Result<Container> load(const StateRoot& root, const std::string& id);
sys::Result<Container> load(ContainerDirectory directory);
// An ENOENT in the words that callers look for; any other error as it is.
[[nodiscard]] sys::Failure not_found(sys::Error error);
// The config that it was made from, as it was saved.
sys::Result<spec::Spec> config_of(const Container& container);
// Those that could be read; what could not is said in `problems`.
sys::Result<std::vector<Container>> load_all(const StateRoot& root, std::vector<std::string>& problems);

// The state for hooks: "@PID@" and "@STATUS@" stand for what is only known when they run.
[[nodiscard]] std::string hook_state(const SavedState& state);

// Host pids of its processes: those in its cgroup; without one, those in its pid namespace; without that, its init.
sys::Result<std::vector<int>> processes_of(const Container& container);

}  // namespace cloche::runtime
