#include <array>

#include "spec/checks.h"
#include "spec/sysctl.h"

namespace cloche::spec {
namespace {

constexpr std::array<std::string_view, 8> kTypes{"mount",   "pid",  "uts",    "ipc",
                                                 "network", "user", "cgroup", "time"};
// user_namespaces(7): since Linux 4.15 a map has at most 340 lines.
constexpr size_t kMostLines = 340;

const Namespace* find(const Spec& spec, std::string_view type) {
  const auto& all = spec.linux_->namespaces;
  const auto found = std::ranges::find(all, type, &Namespace::type);
  return found == all.end() ? nullptr : &*found;
}

Check check_list(const Spec& spec) {
  const auto& all = spec.linux_->namespaces;
  for (size_t i = 0; i < all.size(); ++i) {
    const auto path = fmt::format("linux.namespaces[{}]", i);
    if (!is_one_of(all[i].type, kTypes))
      return wrong(path + ".type", fmt::format("\"{}\" is no namespace: use {}", printable(all[i].type),
                                               fmt::join(kTypes, ", ")));
    if (!all[i].path.empty()) CLOCHE_TRY(must_be_absolute(path + ".path", all[i].path));
    for (size_t j = 0; j < i; ++j)
      if (all[j].type == all[i].type) return wrong(path, fmt::format("\"{}\" is listed twice", all[i].type));
  }
  return {};
}

bool overlap(uint32_t a, uint32_t b, uint32_t a_size, uint32_t b_size) {
  return uint64_t{a} < uint64_t{b} + b_size && uint64_t{b} < uint64_t{a} + a_size;
}

Check check_map(const std::vector<IDMapping>& map, const std::string& path) {
  if (map.size() > kMostLines)
    return wrong(path,
                 fmt::format("has {} lines, the kernel takes at most {} (user_namespaces(7)): merge ranges "
                             "that follow each other",
                             map.size(), kMostLines));
  for (size_t i = 0; i < map.size(); ++i) {
    const auto at = fmt::format("{}[{}]", path, i);
    const IDMapping& line = map[i];
    if (line.size == 0) return wrong(at + ".size", "a range of no ids cannot be mapped");
    // (uint32_t)-1 is no id: it means "leave as it is" to chown(2) and setresuid(2).
    for (const uint32_t first : {line.containerID, line.hostID})
      if (uint64_t{first} + line.size > UINT32_MAX)
        return wrong(
            at, fmt::format("{} ids from {} on go past the highest, {}", line.size, first, UINT32_MAX - 1));
    for (size_t j = 0; j < i; ++j)
      if (overlap(map[j].containerID, line.containerID, map[j].size, line.size) ||
          overlap(map[j].hostID, line.hostID, map[j].size, line.size))
        return wrong(at, fmt::format("overlaps with {}[{}]", path, j));
  }
  return {};
}

Check check_maps(const Spec& spec) {
  const Linux& section = *spec.linux_;
  for (const auto& [name, map] :
       {std::pair{"linux.uidMappings", &section.uidMappings}, {"linux.gidMappings", &section.gidMappings}}) {
    if (!map->empty() && find(spec, "user") == nullptr)
      return wrong(name, "an id map needs a user namespace: add {\"type\": \"user\"} to linux.namespaces");
    CLOCHE_TRY(check_map(*map, name));
  }
  for (size_t i = 0; i < spec.mounts.size(); ++i) {
    CLOCHE_TRY(check_map(spec.mounts[i].uidMappings, fmt::format("mounts[{}].uidMappings", i)));
    CLOCHE_TRY(check_map(spec.mounts[i].gidMappings, fmt::format("mounts[{}].gidMappings", i)));
  }
  return {};
}

Check check_sysctls(const Spec& spec) {
  for (const auto& [written, value] : spec.linux_->sysctl) {
    const auto path = entry("linux.sysctl", written);
    const auto file = sysctl_file(written);
    if (!file) return wrong(path, "is no sysctl's name");
    if (*file == "kernel/hostname") return wrong(path, "is set by the field hostname");
    const auto owner = sysctl_owner(*file);
    if (owner.empty())
      return wrong(path, "belongs to the whole machine, not to a namespace: set it on the host");
    if (find(spec, owner) == nullptr)
      return wrong(path,
                   fmt::format("would change the host: it needs a {0} namespace, {{\"type\": \"{0}\"}} in "
                               "linux.namespaces",
                               owner));
    if (*file == "kernel/domainname" && !spec.domainname.empty())
      return wrong(path, "is set by the field domainname already");
  }
  return {};
}

Check check_time(const Spec& spec) {
  const auto& offsets = spec.linux_->timeOffsets;
  for (const auto& [clock, offset] : offsets) {
    const auto path = entry("linux.timeOffsets", clock);
    if (clock != "monotonic" && clock != "boottime")
      return wrong(path, "only monotonic and boottime can be moved (time_namespaces(7))");
    if (offset.nanosecs >= 1'000'000'000)
      return wrong(path + ".nanosecs", fmt::format("{} is not below 1000000000", offset.nanosecs));
  }
  const Namespace* time = find(spec, "time");
  if (!offsets.empty() && (time == nullptr || !time->path.empty()))
    return wrong("linux.timeOffsets",
                 "offsets need a new time namespace: add {\"type\": \"time\"} to "
                 "linux.namespaces");
  return {};
}

Check check_uts(const Spec& spec) {
  if (find(spec, "uts") != nullptr) return {};
  for (const auto& [name, value] : {std::pair{"hostname", &spec.hostname}, {"domainname", &spec.domainname}})
    if (!value->empty())
      return wrong(name, "would rename the host: add {\"type\": \"uts\"} to linux.namespaces");
  return {};
}

}  // namespace

Check check_namespaces(const Spec& spec) {
  CLOCHE_TRY(check_list(spec));
  CLOCHE_TRY(check_maps(spec));
  CLOCHE_TRY(check_uts(spec));
  CLOCHE_TRY(check_sysctls(spec));
  return check_time(spec);
}

}  // namespace cloche::spec
