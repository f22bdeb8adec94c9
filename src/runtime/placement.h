// Where the calling process runs and where its memory comes from, in the words of a config.
#pragma once

#include <string>

#include "spec/runtime.h"
#include "sys/error.h"

namespace cloche::runtime {

// `cpus` as in cpuset(7), "List format".
sys::Result<> set_affinity(const std::string& cpus);
sys::Result<> set_memory_policy(const spec::MemoryPolicy& policy);

}  // namespace cloche::runtime
