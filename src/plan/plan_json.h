// A plan as JSON, schema "cloche.plan/1":
//
//   {"schema": "cloche.plan/1", "container": ID, "rootless": bool,
//    "steps": [{"id", "side", "kind", "primitive", "call", "manual", "since", "privilege",
//                "why": {"kind", "from"}, "text", "args"}],
//    "notes": [{"subject", "text"}]}
//
// `side` is "host" or "container"; `kind` to `privilege` are those of catalog.h; `why.kind` is
// "config", "flag", "image" or "default"; `text` is describe(step), for people, and may change between versions;
// `args` are the members of the action in step.h. In `args` an absent value is an absent key; everything else is
// always there. Within a version of the schema keys are added, never renamed or removed.
#pragma once

#include <boost/json/fwd.hpp>
#include <string>

#include "plan/plan.h"
#include "plan/record.h"

namespace cloche::plan {

[[nodiscard]] boost::json::object to_json(const Plan& plan);
[[nodiscard]] boost::json::object to_json(const Step& step);
// The plan with what was done of it: "result" in each step, and "pid" and "microseconds" (docs/explain.md).
[[nodiscard]] boost::json::object to_json(const Plan& plan, const RunRecord& record);
[[nodiscard]] boost::json::object to_json(const Refusal& refusal);  // {"field", "sentence"}

// Indented by two spaces; what fits into `width` columns stays on one line. Strings that are not UTF-8 are escaped
// as printable() does. Ends with a newline.
[[nodiscard]] std::string pretty(const boost::json::value& value, size_t width = 110);

}  // namespace cloche::plan
