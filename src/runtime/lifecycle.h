// What can be done with a container that is there. Errors are sentences in the words callers look for.
#pragma once

#include <string>
#include <vector>

#include "runtime/container.h"
#include "runtime/launch.h"
#include "spec/runtime.h"
#include "sys/error.h"

namespace cloche::runtime {

// The command runs when this returns. An exec that fails is reported here, by the container's own process.
sys::Result<> start(const StateRoot& root, const std::string& id, Report& report);

// "TERM", "SIGTERM", "15", "RTMIN+3".
sys::Result<int> parse_signal(std::string_view text);
// To the first process, or to every process of the container. "container not running" when there is none.
sys::Result<> kill(const StateRoot& root, const std::string& id, int signal, bool all);

// What is left of it goes: processes, cgroup, state. Without `force` a running one is refused, and a missing one
// is an error. What cannot be taken away is an error, and the state stays, so that it can be tried again.
sys::Result<> remove(const StateRoot& root, const std::string& id, bool force, Report& report);
// The same for a container whose processes have ended, by whoever holds the lock on its directory.
sys::Result<> clean_up(const Container& container, Report& report);
// With the status "stopped". One that fails is a warning.
void run_poststop(const std::vector<spec::Hook>& hooks, const SavedState& state, Report& report);

sys::Result<> pause(const StateRoot& root, const std::string& id);
sys::Result<> resume(const StateRoot& root, const std::string& id);

}  // namespace cloche::runtime
