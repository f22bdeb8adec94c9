// The flags that limit: --memory and its kin, as fields of linux.resources.
#pragma once

#include <expected>
#include <string>

#include "engine/process_options.h"
#include "engine/run_options.h"
#include "plan/facts.h"
#include "spec/runtime.h"

namespace cloche::engine {

// The bound on processes that a container gets unasked, where the pids controller is on cgroup v2.
inline constexpr int64_t kDefaultPidsLimit = 2048;

std::expected<void, std::string> apply_resource_options(const RunOptions& options,
                                                        const plan::HostFacts& facts, spec::Spec& spec,
                                                        const FieldSources& sources);

// Whether the default bound on processes can be given here.
[[nodiscard]] bool can_bound_processes(const plan::HostFacts& facts);

}  // namespace cloche::engine
