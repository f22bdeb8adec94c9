// The container's cgroup: where it is, which controllers it needs, what is written into it.
// Source: Documentation/admin-guide/cgroup-v2.rst; for the v1 fields of the spec, config-linux.md.
#include <fmt/format.h>

#include <algorithm>

#include "plan/builder.h"
#include "plan/resources.h"
#include "plan/scope.h"

namespace cloche::plan {
namespace {

struct Place {
  std::string path;  // absolute
  std::string from;  // the topmost cgroup that must hand its controllers down
};

bool has_dotdot(std::string_view path) {
  return path == ".." || path.starts_with("../") || path.ends_with("/..") ||
         path.find("/../") != std::string::npos;
}

std::string below(const std::string& mount, const std::string& path) {
  const auto clean = absolute_in_container(path);
  return clean == "/" ? mount : mount + clean;
}

std::expected<Place, Refusal> place_of(const Builder& b) {
  const auto& wanted = b.os.cgroupsPath;
  const auto& cgroup = b.facts.cgroup;
  if (std::ranges::count(wanted, ':') == 2 && !wanted.starts_with('/'))
    return refuse("linux.cgroupsPath",
                  fmt::format("\"{}\" asks for systemd's cgroup driver (slice:prefix:name): "
                              "use --systemd-cgroup, or a path, as the cgroupfs driver does",
                              wanted));
  if (has_dotdot(wanted)) return refuse("linux.cgroupsPath", fmt::format("\"{}\" holds \"..\"", wanted));
  const auto parent = below(cgroup.mount, cgroup.parent);
  if (wanted.empty()) return Place{parent + "/cloche-" + b.request.id, parent};
  if (!wanted.starts_with('/')) return Place{parent + absolute_in_container(wanted), parent};
  const auto path = below(cgroup.mount, wanted);
  if (path == cgroup.mount)
    return refuse("linux.cgroupsPath", "the root cgroup holds the whole machine: name one below it");
  // Below the caller's own delegated cgroup only what is in it can be handed down by the caller.
  return Place{path, is_below(path, parent) ? parent : cgroup.mount};
}

// Why a limit cannot be set, and what to do: nothing asked for is silently unlimited.
Refusal no_controller(const Builder& b, const CgroupWrite& write) {
  const auto& cgroup = b.facts.cgroup;
  const auto v1 = cgroup.v1.find(write.controller);
  std::string sentence =
      fmt::format("{} needs the {} controller on cgroup v2, ", write.file, write.controller);
  if (v1 != cgroup.v1.end()) {
    sentence += fmt::format(
        "which this host keeps on cgroup v1, at {}: boot with "
        "systemd.unified_cgroup_hierarchy=1 or cgroup_no_v1={} on the kernel's command line",
        v1->second, write.controller);
  } else if (cgroup.mount.empty()) {
    sentence += "and no cgroup2 file system is mounted: mount -t cgroup2 none /sys/fs/cgroup";
  } else if (!b.facts.privileged && b.request.systemd_cgroup) {
    sentence += fmt::format(
        "which the caller's systemd manager does not have (it has: {}): `systemctl edit user@.service`, add "
        "[Service] and Delegate=yes, and log in anew",
        cgroup.controllers.empty() ? "none" : join(cgroup.controllers, ", "));
  } else if (!b.facts.privileged) {
    sentence += fmt::format(
        "which is not delegated to {}: run below `systemd-run --user --scope -p Delegate=yes`, "
        "or have Delegate={} set for user@.service",
        b.facts.user.empty() ? "the caller" : b.facts.user, write.controller);
  } else {
    sentence += fmt::format(
        "which {}/cgroup.controllers does not list: the kernel lacks it, or a cgroup above does "
        "not hand it down",
        below(cgroup.mount, cgroup.parent));
  }
  return {write.field, std::move(sentence)};
}

Refusal no_cgroup(const Builder& b, const std::string& field) {
  const auto& cgroup = b.facts.cgroup;
  if (cgroup.mount.empty())
    return {field,
            "a limit needs a cgroup, and no cgroup2 file system is mounted: mount -t cgroup2 none "
            "/sys/fs/cgroup"};
  return {field, fmt::format(
                     "a limit needs a cgroup, and {} may not make one in {}: run below `systemd-run --user "
                     "--scope -p Delegate=yes`",
                     b.facts.user.empty() ? "the caller" : b.facts.user, below(cgroup.mount, cgroup.parent))};
}

bool is_handed_down(const Builder& b, const std::string& name) {
  return std::ranges::find(b.facts.cgroup.handed_down, name) != b.facts.cgroup.handed_down.end();
}

// What hands a controller down has no processes (cgroups(7)): a caller that is alone in its delegated cgroup moves
// aside; among others it would have to move them too, and they are not ours.
Planned plan_leaving(Builder& b, const Place& place, const Strings& controllers, const std::string& field) {
  const auto& cgroup = b.facts.cgroup;
  const auto parent = below(cgroup.mount, cgroup.parent);
  if (place.from != parent) return {};
  if (!std::ranges::all_of(controllers, [&](const auto& name) { return cgroup.can_hand_down(name); }))
    return refuse(field,
                  fmt::format("the cgroup {} holds {} other process{}, and one with processes hands no "
                              "controller down (cgroups(7)): run this alone in its cgroup, as `systemd-run "
                              "--user --scope -p Delegate=yes cloche run ...` does",
                              parent, cgroup.strangers, cgroup.strangers == 1 ? "" : "es"));
  const bool handed_down =
      std::ranges::all_of(controllers, [&](const std::string& name) { return is_handed_down(b, name); });
  if (!handed_down && !cgroup.parent_is_root && cgroup.own == cgroup.parent)
    b.host("caller-cgroup", LeaveCgroup{parent + "/cloche-caller"},
           Builder::standard("a cgroup with processes hands no controller down"));
  return {};
}

spec::DeviceCgroup rule(bool allow, const char* type, int64_t major, int64_t minor, const char* access) {
  spec::DeviceCgroup made{.allow = allow, .type = type, .access = access};
  if (major >= 0) made.major = major;
  if (minor >= 0) made.minor = minor;
  return made;
}

void plan_device_policy(Builder& b) {
  const bool asked = b.os.resources && !b.os.resources->devices.empty();
  if (!b.facts.privileged) {
    b.note("device policy",
           asked ? "not loaded: the BPF program needs root; a user namespace can make no device "
                   "node, so only the host's own nodes that are bound into /dev can be opened"
                 : "not loaded: the BPF program needs root; only the nodes in /dev can be opened");
    return;
  }
  LimitDevices policy{.cgroup = b.cgroup};
  policy.rules.push_back(rule(false, "a", -1, -1, "rwm"));
  if (asked) {
    const auto& wanted = b.os.resources->devices;
    const auto& first = wanted.front();
    const bool repeats =
        !first.allow && (first.type.empty() || first.type == "a") && !first.major && !first.minor;
    policy.rules.insert(policy.rules.end(), wanted.begin() + (repeats ? 1 : 0), wanted.end());
  }
  // What every container must be able to use: making any node (opening it is another matter), the standard
  // devices of config-linux.md, and its pseudoterminals.
  for (const char* type : {"c", "b"}) policy.rules.push_back(rule(true, type, -1, -1, "m"));
  for (const auto& [major, minor] :
       {std::pair{1, 3}, {1, 5}, {1, 7}, {1, 8}, {1, 9}, {5, 0}, {5, 1}, {5, 2}, {136, -1}})
    policy.rules.push_back(rule(true, "c", major, minor, "rwm"));
  b.host("device-policy", std::move(policy),
         asked ? b.why("linux.resources.devices")
               : Builder::standard("every device but the standard ones is denied"));
}

// Asked for, and not to be had. Without the right to make nodes, or in a user namespace, only those in /dev can be opened;
// a container that can make them needs the policy.
Planned check_device_policy(const Builder& b, bool has_cgroup) {
  const bool asked = b.os.resources && !b.os.resources->devices.empty();
  if (!asked || (b.facts.privileged && has_cgroup) || b.user_namespace()) return {};
  const auto& process = b.spec.process;
  const bool makes_nodes = process && process->capabilities &&
                           std::ranges::find(process->capabilities->bounding, "CAP_MKNOD") !=
                               process->capabilities->bounding.end();
  if (!makes_nodes) return {};
  return refuse(
      "linux.resources.devices",
      "the device policy needs root and a cgroup of the container's own, and without it a process with "
      "CAP_MKNOD could make and open any device: take CAP_MKNOD away, or use a user namespace");
}

Planned check_device_rules(const Builder& b) {
  if (!b.os.resources) return {};
  for (size_t i = 0; i < b.os.resources->devices.size(); ++i) {
    const auto& entry = b.os.resources->devices[i];
    const auto field = fmt::format("linux.resources.devices[{}]", i);
    if (!entry.type.empty() && entry.type != "a" && entry.type != "b" && entry.type != "c")
      return refuse(field + ".type", fmt::format("\"{}\" is none of a, b and c", entry.type));
    // MAJOR and MINOR of linux/kdev_t.h: 12 and 20 bits; -1 is any.
    if (entry.major.value_or(0) < -1 || entry.major.value_or(0) > 0xfff)
      return refuse(field + ".major", fmt::format("{} is no major number: 0 to 4095", *entry.major));
    if (entry.minor.value_or(0) < -1 || entry.minor.value_or(0) > 0xfffff)
      return refuse(field + ".minor", fmt::format("{} is no minor number: 0 to 1048575", *entry.minor));
    if (entry.access.find_first_not_of("rwm") != std::string::npos)
      return refuse(field + ".access", fmt::format("\"{}\" holds more than r, w and m", entry.access));
  }
  return {};
}

// The controllers that these writes need and `given` does not have yet.
std::expected<Strings, Refusal> controllers_of(const Builder& b, const std::vector<CgroupWrite>& writes,
                                               const Strings& given) {
  const auto& cgroup = b.facts.cgroup;
  Strings controllers;
  for (const auto& write : writes) {
    if (write.controller.empty() || std::ranges::find(given, write.controller) != given.end()) continue;
    if (std::ranges::find(cgroup.controllers, write.controller) == cgroup.controllers.end() ||
        cgroup.mount.empty())
      return std::unexpected(no_controller(b, write));
    if (std::ranges::find(controllers, write.controller) == controllers.end())
      controllers.push_back(write.controller);
  }
  return controllers;
}

std::string step_id(const std::string& file) {
  std::string id = "cgroup-" + file;
  std::ranges::replace(id, '.', '-');
  return id;
}

// Without its controller a cgroup counts nothing, and `events` would tell zeros. A caller that would have to leave its
// cgroup for it does not.
void plan_counting(Builder& b, const Place& place, const Strings& enabled) {
  const auto& cgroup = b.facts.cgroup;
  const auto parent = below(cgroup.mount, cgroup.parent);
  const bool would_leave = place.from == parent && !cgroup.parent_is_root && cgroup.own == cgroup.parent;
  const bool direct = place.from == parent && place.path.find('/', parent.size() + 1) == std::string::npos;
  Strings wanted;
  bool missing = !direct;
  for (const char* name : {"cpu", "io", "memory", "pids"}) {
    const bool known = std::ranges::find(cgroup.controllers, name) != cgroup.controllers.end();
    if (!known || std::ranges::find(enabled, name) != enabled.end()) continue;
    const bool down = is_handed_down(b, name);
    if (!down && would_leave && enabled.empty()) continue;
    wanted.emplace_back(name);
    missing = missing || !down;
  }
  if (missing && !wanted.empty())
    b.host(
        "cgroup-counters",
        EnableControllers{.from = place.from, .cgroup = b.cgroup, .controllers = wanted, .only_count = true},
        Builder::standard("what a container uses can be asked for"));
}

void plan_writes(Builder& b, const std::vector<CgroupWrite>& writes) {
  for (const auto& write : writes)
    b.host(step_id(write.file), WriteCgroup{b.cgroup, write.file, write.value, write.bfq},
           b.why(write.field));
}

// The scope in the cgroup's place. Controllers that systemd does not know are handed down beside it.
Planned plan_in_scope(Builder& b, const std::vector<CgroupWrite>& writes, Strings controllers) {
  if (b.facts.cgroup.mount.empty())
    return refuse("linux.cgroupsPath",
                  "systemd's cgroup driver needs cgroup v2, and no cgroup2 file system is mounted");
  auto scope = scope_for(b, writes);
  if (!scope) return std::unexpected(std::move(scope).error());
  b.cgroup = scope->cgroup;
  // A restore has no clone.
  scope->placeholder = b.plan.find("clone") == b.plan.steps.size();
  b.host("scope", *std::move(scope),
         b.os.cgroupsPath.empty() ? Builder::standard("every container has a scope of its own")
                                  : b.why("linux.cgroupsPath"));
  std::erase_if(controllers, enabled_by_systemd);
  if (!controllers.empty())
    b.host("cgroup-controllers",
           EnableControllers{below(b.facts.cgroup.mount, b.facts.cgroup.parent), b.cgroup, controllers},
           Builder::standard("the limits that follow are theirs, and systemd does not know them"));
  plan_writes(b, writes);
  CLOCHE_PLAN(check_device_policy(b, true));
  plan_device_policy(b);
  return {};
}

}  // namespace

Planned plan_cgroup(Builder& b) {
  CLOCHE_PLAN(check_device_rules(b));
  auto writes = convert_resources(b);
  if (!writes) return std::unexpected(std::move(writes).error());
  const auto& cgroup = b.facts.cgroup;
  // Without its controller nothing is limited, and that was asked for.
  std::erase_if(*writes, [&](const CgroupWrite& write) {
    return write.value == "max" && !write.controller.empty() &&
           std::ranges::find(cgroup.controllers, write.controller) == cgroup.controllers.end();
  });

  auto needed = controllers_of(b, *writes, {});
  if (!needed) return std::unexpected(std::move(needed).error());
  const Strings controllers = *std::move(needed);

  if (b.request.systemd_cgroup) return plan_in_scope(b, *writes, controllers);
  const bool can = !cgroup.mount.empty() && cgroup.writable;
  if (!can && !writes->empty()) return std::unexpected(no_cgroup(b, writes->front().field));
  auto place = place_of(b);
  if (!place) return std::unexpected(std::move(place).error());
  if (!can || (!b.facts.privileged && !is_below(place->path, below(cgroup.mount, cgroup.parent)))) {
    if (!writes->empty()) return std::unexpected(no_cgroup(b, writes->front().field));
    CLOCHE_PLAN(check_device_policy(b, false));
    b.note("cgroup", cgroup.mount.empty()
                         ? "none of its own: no cgroup2 file system is mounted"
                         : "none of its own: the caller may not make one; no limit was asked for");
    if (b.facts.privileged)
      b.note("device policy", "not loaded: it is attached to a cgroup of the container's own");
    return {};
  }

  b.cgroup = place->path;
  const Why why = b.os.cgroupsPath.empty() ? Builder::standard("every container has a cgroup of its own")
                                           : b.why("linux.cgroupsPath");
  if (!controllers.empty()) CLOCHE_PLAN(plan_leaving(b, *place, controllers, writes->front().field));
  b.host("cgroup", CreateCgroup{b.cgroup}, why);
  if (!controllers.empty())
    b.host("cgroup-controllers", EnableControllers{place->from, b.cgroup, controllers},
           Builder::standard("the limits that follow are theirs"));
  plan_counting(b, *place, controllers);
  plan_writes(b, *writes);
  CLOCHE_PLAN(check_device_policy(b, true));
  plan_device_policy(b);
  return {};
}

Planned plan_cgroup_update(Builder& b, const CgroupNow& now) {
  CLOCHE_PLAN(check_device_rules(b));
  auto writes = convert_resources(b, &now);
  if (!writes) return std::unexpected(std::move(writes).error());
  auto missing = controllers_of(b, *writes, now.controllers);
  if (!missing) return std::unexpected(std::move(missing).error());
  order_changes(*writes, now);
  b.cgroup = now.path;
  if (!missing->empty()) {
    const auto& cgroup = b.facts.cgroup;
    const auto parent = below(cgroup.mount, cgroup.parent);
    b.host("cgroup-controllers",
           EnableControllers{is_below(now.path, parent) ? parent : cgroup.mount, now.path, *missing},
           Builder::standard("the limits that follow are theirs"));
  }
  // First the properties: with them systemd writes the files too, a CPU quota only in whole percents.
  if (now.scope) {
    SetScopeProperties change = *now.scope;
    change.properties = unit_properties(*writes, b.facts.systemd.version);
    if (!change.properties.empty())
      b.host("scope", std::move(change),
             Builder::standard("systemd writes a unit's limits anew on a daemon-reload"));
  }
  plan_writes(b, *writes);
  // Last: it replaces the earlier policy at once, and nothing can fail after it.
  if (b.os.resources && !b.os.resources->devices.empty()) plan_device_policy(b);
  return {};
}

}  // namespace cloche::plan
