// What the calling process is given of the machine: processors, memory, its own streams.
#pragma once

#include <sys/types.h>

#include <string>

#include "spec/runtime.h"
#include "sys/error.h"

namespace cloche::runtime {

// `cpus` as in cpuset(7), "List format".
sys::Result<> set_affinity(const std::string& cpus);
sys::Result<> set_memory_policy(const spec::MemoryPolicy& policy);

// Descriptors 0 to 2 that are pipes or terminals become this user's. False: one of them kept its owner.
bool give_streams(uid_t uid);

}  // namespace cloche::runtime
