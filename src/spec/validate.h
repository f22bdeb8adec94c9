// Whether a config that could be read also makes sense, as far as that can be told without a host. What depends on the
// host (which controllers there are, whether ids are delegated) is the planner's to say.
#pragma once

#include <expected>
#include <string>
#include <vector>

#include "spec/problem.h"
#include "spec/runtime.h"

namespace cloche::spec {

// The versions of the specification that are known: a later 1.x is read with a warning.
inline constexpr unsigned kMajorVersion = 1, kNewestMinorVersion = 3;

// The warnings, or the first thing that is wrong.
using Validation = std::expected<std::vector<Problem>, Problem>;

Validation validate(const Spec& spec);
// The parts that come alone: of `exec` and `update`. `path` is the field's name in front of each problem's path.
Validation validate_process(const Process& process, const std::string& path = {});
Validation validate_resources(const Resources& resources, const std::string& path = {});

}  // namespace cloche::spec
