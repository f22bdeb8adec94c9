// What a container leaves behind where neither a pid namespace nor a cgroup holds it together.
#pragma once

#include "sys/error.h"

namespace cloche::runtime {

// From now on descendants whose parent ends become this process's children: PR_SET_CHILD_SUBREAPER(2const), Linux 3.4.
sys::Result<> adopt_orphans();
// Kills and reaps every child of this process until there is none.
void end_orphans();

}  // namespace cloche::runtime
