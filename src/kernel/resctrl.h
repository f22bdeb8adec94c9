// Groups of a resctrl file system, which share a processor's caches and memory bandwidth (Intel RDT, AMD QoS). Source:
// Documentation/filesystems/resctrl.rst; the rules of runtime-spec's config-linux.md, "IntelRdt".
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "sys/error.h"

namespace cloche::kernel {

// False: it was there. ENOSPC: the processor has no class of service, or monitor, left.
sys::Result<bool> make_resctrl_group(const std::string& path);
// Each line into `schemata`. What the kernel wrote into info/last_cmd_status is part of an error.
sys::Result<> write_schemata(const std::string& group, const std::vector<std::string>& lines);
// Whether `schemata` has these values: "L3:0=07f" is "L3:0=7f", and what a line does not name may be anything.
sys::Result<> compare_schemata(const std::string& group, const std::vector<std::string>& lines);
// The process, and what it starts from then on.
sys::Result<> join_resctrl_group(const std::string& group, pid_t process);
// What is in it goes back to the group above. A missing one is no error.
sys::Result<> remove_resctrl_group(const std::string& path);

}  // namespace cloche::kernel
