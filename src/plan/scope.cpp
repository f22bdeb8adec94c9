#include "plan/scope.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "plan/words.h"

namespace cloche::plan {
namespace {

constexpr const char* kPath = "linux.cgroupsPath";
constexpr size_t kLongestUnit = 255;  // UNIT_NAME_MAX of systemd, without its end

// systemd.unit(5): "ASCII letters, digits, ':', '-', '_', '.' and '\'".
bool fits_unit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == ':' || c == '-' ||
         c == '_' || c == '.' || c == '\\';
}

Planned check_unit(const std::string& unit, const std::string& what) {
  if (const auto odd = std::ranges::find_if_not(unit, fits_unit); odd != unit.end())
    return refuse(
        kPath, fmt::format("{} {} is no name of a unit: \"{}\" is not allowed in one (systemd.unit(5))", what,
                           shown(unit), printable(std::string(1, *odd))));
  if (unit.size() > kLongestUnit)
    return refuse(kPath, fmt::format("{} {} has {} characters, a unit's name at most {}", what, shown(unit),
                                     unit.size(), kLongestUnit));
  return {};
}

Planned check_slice(const std::string& slice) {
  CLOCHE_PLAN(check_unit(slice, "the slice"));
  if (slice == "-.slice") return {};
  const std::string_view stem =
      slice.ends_with(".slice") ? std::string_view(slice).substr(0, slice.size() - 6) : std::string_view();
  if (stem.empty())
    return refuse(kPath,
                  fmt::format("the slice {} does not end in .slice (\"slice:prefix:name\")", shown(slice)));
  if (stem.starts_with('-') || stem.ends_with('-') || stem.find("--") != std::string_view::npos)
    return refuse(kPath, fmt::format("the slice {} has an empty part: \"a-b.slice\" is in \"a.slice\" "
                                     "(systemd.slice(5))",
                                     shown(slice)));
  return {};
}

bool is_scope_part(const std::string& part) { return !part.ends_with(".slice"); }

}  // namespace

std::expected<ScopeName, Refusal> scope_name(const std::string& cgroups_path, const std::string& id,
                                             bool user) {
  ScopeName name{.unit = "cloche-" + id + ".scope", .slice = user ? "user.slice" : "system.slice"};
  if (!cgroups_path.empty()) {
    const size_t first = cgroups_path.find(':');
    const size_t second = first == std::string::npos ? first : cgroups_path.find(':', first + 1);
    if (second == std::string::npos || cgroups_path.find(':', second + 1) != std::string::npos)
      return refuse(kPath, fmt::format("{} is not of the form \"slice:prefix:name\", which systemd's cgroup "
                                       "driver takes: a path is for the cgroupfs driver",
                                       shown(cgroups_path)));
    const std::string prefix = cgroups_path.substr(first + 1, second - first - 1);
    std::string own = cgroups_path.substr(second + 1);
    if (own.empty()) own = id;
    if (!is_scope_part(own))
      return refuse(kPath, fmt::format("{} names a slice: a container is put into a scope", shown(own)));
    if (first > 0) name.slice = cgroups_path.substr(0, first);
    name.unit = prefix.empty() ? own + ".scope" : fmt::format("{}-{}.scope", prefix, own);
  }
  CLOCHE_PLAN(check_unit(name.unit, "the scope"));
  CLOCHE_PLAN(check_slice(name.slice));
  return name;
}

std::string slice_path(std::string_view slice) {
  std::string path;
  if (slice == "-.slice") return path;
  const std::string_view stem = slice.substr(0, slice.size() - std::string_view(".slice").size());
  for (size_t dash = stem.find('-');; dash = stem.find('-', dash + 1)) {
    path += fmt::format("/{}.slice", stem.substr(0, dash));
    if (dash == std::string_view::npos) return path;
  }
}

bool enabled_by_systemd(std::string_view controller) {
  // CGROUP_MASK_V2 of systemd 252.
  constexpr std::array known{"cpu", "cpuset", "io", "memory", "pids"};
  return std::ranges::find(known, controller) != known.end();
}

std::expected<StartScope, Refusal> scope_for(const Builder& b, const std::vector<CgroupWrite>& writes) {
  const auto& systemd = b.facts.systemd;
  auto name = scope_name(b.os.cgroupsPath, b.request.id, systemd.user);
  if (!name) return std::unexpected(std::move(name).error());
  auto annotated = annotated_properties(b.spec.annotations);
  if (!annotated) return std::unexpected(std::move(annotated).error());

  StartScope scope{.unit = name->unit, .slice = name->slice, .user = systemd.user};
  const std::string above = systemd.control_group == "/" ? "" : systemd.control_group;
  scope.cgroup = b.facts.cgroup.mount + above + slice_path(scope.slice) + "/" + scope.unit;
  scope.properties = {{"Description", "string", "container " + b.request.id},
                      {"Slice", "string", scope.slice},
                      {"Delegate", "bool", "true"},
                      {"DefaultDependencies", "bool", "false"}};
  for (const char* accounting : {"CPUAccounting", "MemoryAccounting", "IOAccounting", "TasksAccounting"})
    scope.properties.push_back({accounting, "bool", "true"});
  for (auto& property : unit_properties(writes, systemd.version))
    scope.properties.push_back(std::move(property));
  for (auto& property : *annotated) {
    std::erase_if(scope.properties, [&](const UnitProperty& p) { return p.name == property.name; });
    scope.properties.push_back(std::move(property));
  }
  return scope;
}

}  // namespace cloche::plan
