// What happens in a container, told as it happens, and what it has used.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "runtime/state.h"
#include "sys/error.h"

namespace cloche::runtime {

// One event as one line of JSON without its end. False: nobody listens any more.
using TellEvent = std::function<bool(const std::string& json)>;

// {"type":"stats","id":ID,"data":{...}}, once. "container not running" when it has stopped.
sys::Result<> tell_statistics(const StateRoot& root, const std::string& id, const TellEvent& tell);

// Until the container ends: "stats" at each interval; "oom" whenever the kernel has killed for want of memory (oom_kill
// of memory.events); "pressure" with {"resource":"memory",...} when tasks have waited for memory or io for a tenth, or
// for a CPU for half, of two seconds (PSI triggers, Documentation/accounting/psi.rst; absent where the kernel keeps no
// PSI).
sys::Result<> tell_events(const StateRoot& root, const std::string& id, std::chrono::nanoseconds interval,
                          const TellEvent& tell);

}  // namespace cloche::runtime
