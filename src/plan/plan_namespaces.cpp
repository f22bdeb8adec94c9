// The eight namespaces: which are made by clone3, which are joined, which are entered afterwards; and the id
// maps.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "plan/builder.h"
#include "spec/sysctl.h"

namespace cloche::plan {
namespace {

// clone3(2) makes these at once. The cgroup namespace is unshared inside (its root is the cgroup of whoever
// makes it), the time namespace is entered once its offsets are written.
constexpr std::array kCloned = {"user", "mount", "pid", "uts", "ipc", "network"};
// Joined in this order: rights over the others come with the user namespace, paths go with the mount
// namespace.
constexpr std::array kJoined = {"user", "pid", "uts", "ipc", "network", "cgroup", "time", "mount"};
// user_namespaces(7): since Linux 4.15.
constexpr size_t kMaxMapLines = 340;
// One page, the smallest there is (user_namespaces(7)); 340 lines of long numbers are more.
constexpr size_t kMaxMapBytes = 4096;

bool covered(const std::vector<IdRange>& ranges, uint32_t own, const spec::IDMapping& line) {
  if (line.size == 1 && line.hostID == own) return true;
  return std::ranges::any_of(ranges, [&](const IdRange& range) {
    return line.hostID >= range.first &&
           uint64_t{line.hostID} + line.size <= uint64_t{range.first} + range.count;
  });
}

std::string in_words(const std::vector<spec::IDMapping>& map) {
  std::string words;
  for (const auto& line : map) {
    if (!words.empty()) words += ", ";
    if (words.size() > 200) return words + "...";
    words += fmt::format("{}-{}", line.containerID, uint64_t{line.containerID} + line.size - 1);
  }
  return words;
}

// The kernel says EINVAL to any of these; here they are told apart.
Planned check_map(const std::vector<spec::IDMapping>& map, const std::string& field) {
  if (map.empty())
    return refuse(field,
                  "a new user namespace needs an id map: add at least one line, for example "
                  "containerID 0, hostID of the caller, size 1");
  if (map.size() > kMaxMapLines)
    return refuse(field, fmt::format("the kernel takes at most {} lines of an id map, this one has {}: merge "
                                     "neighbouring ranges",
                                     kMaxMapLines, map.size()));
  size_t bytes = 0;
  for (const auto& line : map)
    bytes += fmt::formatted_size("{} {} {}\n", line.containerID, line.hostID, line.size);
  if (bytes >= kMaxMapBytes)
    return refuse(
        field,
        fmt::format("the kernel takes an id map of less than {} bytes, the {} lines of this one make {}: "
                    "merge neighbouring ranges",
                    kMaxMapBytes, map.size(), bytes));
  const auto overlap = [](uint64_t a, uint64_t b, uint64_t a_size, uint64_t b_size) {
    return a < b + b_size && b < a + a_size;
  };
  for (size_t i = 0; i < map.size(); ++i) {
    const auto& line = map[i];
    if (line.size == 0)
      return refuse(fmt::format("{}[{}].size", field, i), "a range of no ids cannot be mapped");
    constexpr uint64_t kEnd =
        0xffffffff;  // 4294967295 is no id: it means "unchanged" in setuid(2) and its kin
    if (uint64_t{line.containerID} + line.size > kEnd || uint64_t{line.hostID} + line.size > kEnd)
      return refuse(fmt::format("{}[{}]", field, i), "the range goes past the highest id, 4294967294");
    for (size_t j = 0; j < i; ++j)
      if (overlap(line.containerID, map[j].containerID, line.size, map[j].size) ||
          overlap(line.hostID, map[j].hostID, line.size, map[j].size))
        return refuse(fmt::format("{}[{}]", field, i),
                      fmt::format("the range overlaps line {} of the map", j));
  }
  return {};
}

// The writer of a rootless map, or why there is none.
std::expected<std::string, Refusal> writer_for(const Builder& b, const std::string& kind) {
  const bool uid = kind == "uid";
  const auto& map = uid ? b.os.uidMappings : b.os.gidMappings;
  const uint32_t own = uid ? b.facts.uid : b.facts.gid;
  if (b.admin() || (map.size() == 1 && map[0].size == 1 && map[0].hostID == own)) return "direct";
  const std::string field = fmt::format("linux.{}Mappings", kind), helper = fmt::format("new{}map", kind);
  if (!(uid ? b.facts.has_newuidmap : b.facts.has_newgidmap))
    return refuse(field,
                  fmt::format("a map of more than the caller's own {} needs the program {}, which is not "
                              "installed (package uidmap), or a map of the one line that has size 1 and "
                              "hostID {}",
                              kind, helper, own));
  for (const auto& line : map)
    if (!covered(uid ? b.facts.subuids : b.facts.subgids, own, line))
      return refuse(field,
                    fmt::format("host {0}s {1}-{2} are not the caller's to map: /etc/sub{0} does not give "
                                "them to {3}",
                                kind, line.hostID, uint64_t{line.hostID} + line.size - 1,
                                b.facts.user.empty() ? std::to_string(b.facts.uid) : b.facts.user));
  return helper;
}

Planned check_mapped(const Builder& b) {
  const auto& uids = b.os.uidMappings;
  const auto& gids = b.os.gidMappings;
  const auto missing = [](const std::string& field, const char* kind, uint32_t id, const auto& map,
                          const char* map_field) {
    return refuse(field, fmt::format("{} {} has no place in the id map: {} covers {}", kind, id, map_field,
                                     in_words(map)));
  };
  if (!b.maps_uid(0)) return missing("linux.uidMappings", "uid", 0, uids, "linux.uidMappings");
  if (!b.maps_gid(0)) return missing("linux.gidMappings", "gid", 0, gids, "linux.gidMappings");
  if (!b.spec.process) return {};
  const auto& user = b.spec.process->user;
  if (!b.maps_uid(user.uid)) return missing("process.user.uid", "uid", user.uid, uids, "linux.uidMappings");
  if (!b.maps_gid(user.gid)) return missing("process.user.gid", "gid", user.gid, gids, "linux.gidMappings");
  for (size_t i = 0; i < user.additionalGids.size(); ++i)
    if (!b.maps_gid(user.additionalGids[i]))
      return missing(fmt::format("process.user.additionalGids[{}]", i), "gid", user.additionalGids[i], gids,
                     "linux.gidMappings");
  return {};
}

Planned check_groups(const Builder& b) {
  if (!b.setgroups_denied || !b.spec.process || b.spec.process->user.additionalGids.empty()) return {};
  return refuse(
      "process.user.additionalGids",
      "supplementary groups need a gid map written by newgidmap: with the caller's single gid the kernel "
      "denies setgroups (user_namespaces(7))");
}

Planned check_time(const Builder& b) {
  if (b.os.timeOffsets.empty()) return {};
  for (const auto& [clock, offset] : b.os.timeOffsets) {
    const auto field = "linux.timeOffsets." + clock;
    if (clock != "monotonic" && clock != "boottime")
      return refuse(field,
                    "only the clocks \"monotonic\" and \"boottime\" can be moved (time_namespaces(7))");
    if (offset.nanosecs >= 1'000'000'000) return refuse(field + ".nanosecs", "must be less than 1000000000");
  }
  if (!b.name_space("time").is_new())
    return refuse("linux.timeOffsets",
                  "offsets need a new time namespace: add {\"type\": \"time\"} to "
                  "linux.namespaces");
  return {};
}

// The host's id of the command's user.
std::optional<uint32_t> host_uid(const Builder& b) {
  if (!b.spec.process) return {};
  const uint32_t uid = b.spec.process->user.uid;
  for (const auto& line : b.os.uidMappings)
    if (uid >= line.containerID && uid - line.containerID < line.size)
      return line.hostID + (uid - line.containerID);
  return {};
}

}  // namespace

Planned check_namespaces(Builder& b) {
  for (size_t i = 0; i < b.os.namespaces.size(); ++i) {
    const auto& entry = b.os.namespaces[i];
    const auto field = fmt::format("linux.namespaces[{}]", i);
    if (std::ranges::find(kJoined, entry.type) == kJoined.end())
      return refuse(field + ".type",
                    fmt::format("\"{}\" is no namespace type: use mount, pid, uts, ipc, network, "
                                "user, cgroup or time",
                                entry.type));
    if (!entry.path.empty() && !entry.path.starts_with('/'))
      return refuse(field + ".path", fmt::format("\"{}\" must be an absolute path", entry.path));
    for (size_t j = 0; j < i; ++j)
      if (b.os.namespaces[j].type == entry.type)
        return refuse(field, fmt::format("namespace \"{}\" is listed twice", entry.type));
  }
  if (!b.name_space("mount").listed)
    return refuse("linux.namespaces",
                  "a container needs a mount namespace: add {\"type\": \"mount\"}; in the "
                  "host's, its mounts would be everybody's");
  if (!b.admin() && !b.user_namespace())
    return refuse("linux.namespaces",
                  "without root's rights a container needs a user namespace: add {\"type\": "
                  "\"user\"} with linux.uidMappings and linux.gidMappings (`cloche-runtime "
                  "spec --rootless` writes such a config)");
  const bool new_user = b.name_space("user").is_new();
  if (new_user) {
    CLOCHE_PLAN(check_map(b.os.uidMappings, "linux.uidMappings"));
    CLOCHE_PLAN(check_map(b.os.gidMappings, "linux.gidMappings"));
    CLOCHE_PLAN(check_mapped(b));
  } else if (!b.user_namespace() && (!b.os.uidMappings.empty() || !b.os.gidMappings.empty())) {
    return refuse("linux.uidMappings",
                  "an id map without a user namespace maps nothing: add {\"type\": \"user\"} "
                  "to linux.namespaces, or remove the map");
  }
  if ((!b.spec.hostname.empty() || !b.spec.domainname.empty()) && !b.name_space("uts").listed)
    return refuse(
        b.spec.hostname.empty() ? "domainname" : "hostname",
        "without a uts namespace this would rename the host: add {\"type\": \"uts\"} to linux.namespaces");
  // __NEW_UTS_LEN of linux/utsname.h.
  constexpr size_t kLongestName = 64;
  for (const auto& [field, name] :
       {std::pair("hostname", &b.spec.hostname), {"domainname", &b.spec.domainname}})
    if (name->size() > kLongestName)
      return refuse(field, fmt::format("a name of {} characters is too long: the kernel takes at most {}",
                                       name->size(), kLongestName));
  CLOCHE_PLAN(check_time(b));
  return check_sysctls(b);
}

Planned plan_clone(Builder& b) {
  CloneProcess clone{.cgroup = b.cgroup};
  for (const std::string type : kCloned)
    if (b.name_space(type).is_new()) clone.namespaces.push_back(type);
  // A new user namespace has no rights over namespaces that are older than it (setns(2)): they are joined before.
  const auto joined = [&](const char* type) { return b.name_space(type).joined(); };
  clone.from_joined = joined("user") || joined("pid") ||
                      (b.name_space("user").is_new() && std::ranges::any_of(kJoined, joined));
  b.host("clone", std::move(clone), b.why("linux.namespaces"));
  b.setgroups_denied = b.facts.setgroups_denied;
  if (!b.name_space("user").is_new()) return check_groups(b);

  auto uid_writer = writer_for(b, "uid");
  if (!uid_writer) return std::unexpected(uid_writer.error());
  auto gid_writer = writer_for(b, "gid");
  if (!gid_writer) return std::unexpected(gid_writer.error());
  const bool must_deny = !b.admin() && *gid_writer == "direct";
  b.setgroups_denied = b.setgroups_denied || must_deny;
  CLOCHE_PLAN(check_groups(b));
  if (must_deny && !b.facts.other_groups.empty())
    b.note(
        "groups",
        fmt::format(
            "the caller's other groups ({}) stay: with a single-id map the kernel lets nobody drop them, so "
            "files that they may read can be read inside (subordinate ids, /etc/subuid, avoid that)",
            fmt::join(b.facts.other_groups, ", ")));
  if (must_deny)
    b.host("setgroups-deny", DenySetgroups{},
           Builder::standard("an unprivileged gid map is refused before it is done"));
  b.host("uid-map", WriteIdMap{"uid", *uid_writer, b.os.uidMappings}, b.why("linux.uidMappings"));
  b.host("gid-map", WriteIdMap{"gid", *gid_writer, b.os.gidMappings}, b.why("linux.gidMappings"));
  plan_streams(b);
  return {};
}

void plan_streams(Builder& b) {
  if (const auto uid = host_uid(b); b.facts.privileged && uid && !b.spec.process->terminal)
    b.host("streams", GiveStreams{*uid}, Builder::standard("the command may open its own /dev/stdout again"));
}

Planned plan_entering(Builder& b) {
  for (const std::string type : kJoined)
    if (const auto wish = b.name_space(type); wish.joined())
      b.container("join:" + type, JoinNamespace{type, wish.path}, b.why_namespace(type));
  if (b.user_namespace())
    b.container("become-root", BecomeRoot{.clear_groups = !b.setgroups_denied},
                Builder::standard("uid 0 of the user namespace owns what is made next"));
  if (b.name_space("cgroup").is_new())
    b.container("unshare:cgroup", UnshareNamespace{"cgroup"}, b.why_namespace("cgroup"));
  if (b.name_space("time").is_new()) {
    const auto offset = [&](const char* clock) {
      const auto found = b.os.timeOffsets.find(clock);
      return found == b.os.timeOffsets.end() ? spec::TimeOffset{} : found->second;
    };
    b.container("time-offsets", EnterTimeNamespace{offset("monotonic"), offset("boottime")},
                b.os.timeOffsets.empty() ? b.why_namespace("time") : b.why("linux.timeOffsets"));
  }
  return {};
}

Planned check_sysctls(const Builder& b) {
  for (const auto& [raw, value] : b.os.sysctl) {
    const auto field = "linux.sysctl." + raw;
    const auto file = spec::sysctl_file(raw);
    if (!file) return refuse(field, fmt::format("\"{}\" is no sysctl's name", raw));
    const std::string key = spec::sysctl_name(*file);
    const auto owner = spec::sysctl_owner(*file);
    if (owner.empty())
      return refuse(field, fmt::format("\"{}\" is not the container's own but the whole machine's: set it on "
                                       "the host",
                                       key));
    if (!b.name_space(owner).listed)
      return refuse(field, fmt::format("\"{}\" would change the host: it needs a {} namespace of the "
                                       "container's own",
                                       key, owner));
    const bool is_host_name = *file == "kernel/hostname";
    if ((is_host_name && !b.spec.hostname.empty()) ||
        (*file == "kernel/domainname" && !b.spec.domainname.empty()))
      return refuse(field, fmt::format("\"{}\" is set by the config's {} already", key,
                                       is_host_name ? "hostname" : "domainname"));
    if (value.find('\0') != std::string::npos) return refuse(field, "the value holds a zero byte");
  }
  return {};
}

namespace {

// dev_valid_name() of net/core/dev.c; IFNAMSIZ is 16 with the zero.
bool is_device_name(std::string_view name) {
  return !name.empty() && name.size() < 16 && name != "." && name != ".." &&
         std::ranges::none_of(
             name,
             [](char c) {
               return c == '/' || c == ':' || c == ' ' || (c >= '\t' && c <= '\r') || c == '\0';
             });
}
// "eth%d": the kernel puts the first free number there; one such place, and no other '%'.
bool is_template(std::string_view name) {
  return name.find("%d") != std::string_view::npos && std::ranges::count(name, '%') == 1;
}
const std::string& name_inside(const std::string& device, const spec::NetDevice& wish) {
  return wish.name.empty() ? device : wish.name;
}

}  // namespace

Planned check_net_devices(const Builder& b) {
  if (b.os.netDevices.empty()) return {};
  const std::string all = "linux.netDevices";
  if (!b.name_space("network").listed)
    return refuse(all,
                  "the container has the host's network, and so its devices: add {\"type\": \"network\"} to "
                  "linux.namespaces");
  if (!b.admin())
    return refuse(all,
                  "moving a device of the host needs root's rights there (CAP_NET_ADMIN), which this caller "
                  "has not");
  Strings taken{"lo"};
  for (const auto& [device, wish] : b.os.netDevices) {
    const std::string field = all + "." + device, &name = name_inside(device, wish);
    if (!is_device_name(device) || device.find('%') != std::string::npos)
      return refuse(field, fmt::format("\"{}\" is no name of a network device", device));
    if (!is_device_name(name) || (name.find('%') != std::string::npos && !is_template(name)))
      return refuse(field + ".name",
                    fmt::format("\"{}\" is no name of a network device: 1 to 15 characters, no "
                                "space, '/' or ':', at most one %d",
                                name));
    if (is_template(name)) continue;
    if (std::ranges::find(taken, name) != taken.end())
      return refuse(field + ".name", fmt::format("the container would have two devices \"{}\"", name));
    taken.push_back(name);
  }
  return {};
}

void plan_net_devices(Builder& b) {
  const std::string network = b.name_space("network").path;
  for (const auto& [device, wish] : b.os.netDevices)
    b.host("net-device:" + device, MoveNetDevice{device, name_inside(device, wish), network},
           b.why("linux.netDevices." + device));
}

void plan_uts_network_sysctl(Builder& b) {
  if (!b.spec.hostname.empty()) b.container("hostname", SetHostname{b.spec.hostname}, b.why("hostname"));
  if (!b.spec.domainname.empty())
    b.container("domainname", SetDomainname{b.spec.domainname}, b.why("domainname"));
  if (b.request.loopback && b.name_space("network").is_new())
    b.container("loopback-up", LoopbackUp{},
                Builder::standard("a new network namespace has its loopback down"));
  for (const auto& [raw, value] : b.os.sysctl) {
    const std::string key = spec::sysctl_name(*spec::sysctl_file(raw));
    b.container("sysctl:" + key, WriteSysctl{key, value}, b.why("linux.sysctl." + raw));
  }
}

}  // namespace cloche::plan
