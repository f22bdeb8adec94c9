// The container's cgroup as a scope of systemd's: its name and place, and limits as properties of a unit.
// Source: systemd.scope(5), systemd.slice(5), systemd.resource-control(5), org.freedesktop.systemd1(5).
#pragma once

#include <expected>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "plan/builder.h"
#include "plan/resources.h"

namespace cloche::plan {

struct ScopeName {
  std::string unit;   // "libpod-0123.scope"
  std::string slice;  // "machine.slice"
};
// linux.cgroupsPath as callers send it to the systemd driver, "slice:prefix:name". Parts that are empty: the slice is
// system.slice (user.slice of the caller's own manager), the unit is NAME.scope without a prefix, the name is the
// container's id. An empty path: "cloche-ID.scope".
[[nodiscard]] std::expected<ScopeName, Refusal> scope_name(const std::string& cgroups_path,
                                                           const std::string& id, bool user);

// "a-b.slice" lies in "a.slice": "/a.slice/a-b.slice". "-.slice" is the root: "".
[[nodiscard]] std::string slice_path(std::string_view slice);

// What these writes into the cgroup's files are as properties, so that systemd, which writes the files of all its units
// anew on a daemon-reload, writes the same. A file that systemd has no property for is not touched by it.
// CPUQuotaPerSecUSec is rounded up to whole percents, as systemd keeps it.
[[nodiscard]] std::vector<UnitProperty> unit_properties(const std::vector<CgroupWrite>& writes,
                                                        int systemd_version);

// Annotations "org.systemd.property.NAME" = a value in GVariant's text form ("uint64 5000000", "'inactive'", "true").
// A name ending in Sec is the same in seconds. Only names that change how systemd ends, keeps and describes the scope
// are taken; any other is refused.
[[nodiscard]] std::expected<std::vector<UnitProperty>, Refusal> annotated_properties(
    const std::map<std::string, std::string>& annotations);

// Whether systemd enables the controller itself in a unit with Delegate=yes.
[[nodiscard]] bool enabled_by_systemd(std::string_view controller);

[[nodiscard]] std::expected<StartScope, Refusal> scope_for(const Builder& b,
                                                           const std::vector<CgroupWrite>& writes);

}  // namespace cloche::plan
