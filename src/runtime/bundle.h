// A bundle as it was read, and what is asked of the planner for it.
#pragma once

#include <string>

#include "plan/planner.h"
#include "runtime/launch.h"
#include "spec/runtime.h"
#include "sys/error.h"

namespace cloche::runtime {

struct Bundle {
  std::string path, config;  // absolute; the text of config.json
  spec::Spec spec;

  // The config's root.path, absolute; empty where there is none.
  [[nodiscard]] std::string rootfs() const;
};

// `path` holds config.json, unless `config` names another file; empty is the working directory. Unknown keys become
// warnings of the report. Errors: not there, no JSON, a field that is wrong, each by its name.
sys::Result<Bundle> read_bundle(const std::string& path, const std::string& config, Report& report);

// Moves the configuration out of the bundle. Errors: no root.path.
sys::Result<plan::Request> request_for(Bundle& bundle, const LaunchOptions& options, bool await_start);
// What the planner is told of this host; nothing of cgroups where the container is to have none of its own.
sys::Result<plan::HostFacts> facts_for(const spec::Spec& spec, const LaunchOptions& options);

}  // namespace cloche::runtime
