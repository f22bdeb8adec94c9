// Other limits for a container that is there.
#pragma once

#include <map>
#include <string>

#include "plan/step.h"
#include "runtime/launch.h"
#include "spec/runtime.h"
#include "sys/error.h"

namespace cloche::runtime {

// What `resources` does not name stays as it is; all of it holds afterwards, or nothing of it does. `sources` says for
// "linux.resources.memory.limit" which flag it came from. "container not running" when it has stopped.
sys::Result<> update(const StateRoot& root, const std::string& id, const spec::Resources& resources,
                     const std::map<std::string, plan::Why>& sources, Report& report);

}  // namespace cloche::runtime
