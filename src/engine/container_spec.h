// From what a person asked for to an OCI config, with a note for every field of where it came from.
#pragma once

#include <expected>
#include <string>

#include "engine/run_options.h"
#include "plan/facts.h"
#include "plan/planner.h"

namespace cloche::engine {

// The request for the planner: spec, root, provenance. Reads the files that options name (--env-file, --seccomp,
// devices) and nothing else. The error is one sentence that names the flag.
std::expected<plan::Request, std::string> make_request(const RunOptions& options, const std::string& id,
                                                       const plan::HostFacts& facts);

}  // namespace cloche::engine
