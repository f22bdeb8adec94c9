// A plan as a POSIX shell script that makes the same container without Cloche, with the programs of Debian 12:
// util-linux 2.38, coreutils, findutils, iproute2, hostname, uidmap. For reading, learning and checking.
#pragma once

#include <string>

#include "plan/facts.h"
#include "plan/plan.h"

namespace cloche::plan {

// One passage per step: a comment with its number, id, description and why, then the commands. What a shell cannot do
// is marked "# NOT DONE HERE: reason" at its place and listed at the top; the script is therefore weaker than the
// container that Cloche makes. No value of the plan can become a command: each is quoted.
//
// Steps of the process that come after pivot-root but touch neither mounts nor rights (host name, limits) are done
// just before it, while the host's programs can still be found.
[[nodiscard]] std::string to_script(const Plan& plan, const HostFacts& facts);

}  // namespace cloche::plan
