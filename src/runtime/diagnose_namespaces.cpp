#include <fmt/format.h>
#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "runtime/diagnose_parts.h"
#include "runtime/facts.h"
#include "sys/call.h"
#include "sys/files.h"

namespace cloche::runtime {
namespace {

using plan::Diagnosis;

constexpr unsigned kSetFileCapabilities = 31;  // CAP_SETFCAP, linux/capability.h

struct LimitFile {
  const char *type, *file;
};
constexpr LimitFile kLimits[] = {{"user", "user"}, {"mount", "mnt"},     {"pid", "pid"}, {"network", "net"},
                                 {"ipc", "ipc"},   {"cgroup", "cgroup"}, {"uts", "uts"}, {"time", "time"}};

const char* limit_file(const std::string& type) {
  const auto* found =
      std::ranges::find(kLimits, type, [](const LimitFile& limit) { return std::string_view(limit.type); });
  return found == std::end(kLimits) ? "" : found->file;
}

// A number in a file of /proc/sys; `missing` when it cannot be read.
long long sysctl(const std::string& path, long long missing) {
  auto text = sys::read_file(AT_FDCWD, "/proc/sys/" + path, 64);
  if (!text) return missing;
  long long value = missing;
  std::from_chars(text->data(), text->data() + text->size(), value);
  return value;
}

bool holds(unsigned capability) {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> data{};
  if (sys::raw_call(SYS_capget, &header, data.data()) != 0) return true;
  return (data[capability / 32].effective >> (capability % 32) & 1U) != 0;
}

// Either a plain directory is the root, or process 1, where we may look, has another.
bool in_chroot(const plan::HostFacts& facts) {
  if (!facts.mounts.empty() &&
      std::ranges::none_of(facts.mounts, [](const auto& mount) { return mount.target == "/"; }))
    return true;
  const auto own = sys::stat_at(AT_FDCWD, "/"), first = sys::stat_at(AT_FDCWD, "/proc/1/root");
  return own && first && (own->st_dev != first->st_dev || own->st_ino != first->st_ino);
}

bool makes_user_namespace(const plan::CloneProcess& step) {
  return std::ranges::find(step.namespaces, "user") != step.namespaces.end();
}

Diagnosis no_user_namespace(const Circumstances& around) {
  if (!around.unprivileged_userns)
    return {"this host lets only root make user namespaces (kernel.unprivileged_userns_clone is 0)",
            "as root: sysctl kernel.unprivileged_userns_clone=1"};
  if (around.filtered)
    return {"a seccomp filter around this process forbids making user namespaces, as in another container",
            "run outside of that container, or give it a filter that allows clone, clone3 and unshare with "
            "namespace "
            "flags (cloche: --seccomp FILE, Docker: --security-opt seccomp=FILE)"};
  if (around.chrooted)
    return {"this process is in a chroot, and the kernel makes no user namespaces there",
            "run outside of the chroot, or enter the directory with pivot_root(2) or a container instead"};
  if (around.apparmor_restricts_userns)
    return {
        "AppArmor on this host forbids user namespaces to programs without a profile that allows them "
        "(kernel.apparmor_restrict_unprivileged_userns is 1)",
        "install an AppArmor profile with \"userns,\" for this program, or as root: sysctl "
        "kernel.apparmor_restrict_unprivileged_userns=0"};
  return {"something around this process forbids user namespaces: a chroot, or a security module",
          "run outside of it; the kernel's log (dmesg) may name it"};
}

Diagnosis over_a_limit(const plan::CloneProcess& step, const Circumstances& around) {
  for (const std::string& type : step.namespaces) {
    const auto limit = around.namespace_limits.find(type);
    if (limit == around.namespace_limits.end() || limit->second != 0) continue;
    return {
        fmt::format("no {} namespaces may be made here (user.max_{}_namespaces is 0)", type,
                    limit_file(type)),
        fmt::format("as root: sysctl user.max_{}_namespaces=10000; in another container: in that one's user "
                    "namespace",
                    limit_file(type))};
  }
  return {"a limit on the number or the depth (32) of namespaces is reached",
          "end some containers, or raise the limits in /proc/sys/user/max_*_namespaces"};
}

}  // namespace

Circumstances look_around(const plan::HostFacts& facts) {
  Circumstances around;
  for (const LimitFile& limit : kLimits)
    if (const long long most = sysctl(fmt::format("user/max_{}_namespaces", limit.file), -1); most >= 0)
      around.namespace_limits[limit.type] = most;
  around.unprivileged_userns = sysctl("kernel/unprivileged_userns_clone", 1) != 0;
  around.apparmor_restricts_userns = sysctl("kernel/apparmor_restrict_unprivileged_userns", 0) == 1;
  const std::string status = sys::read_file(AT_FDCWD, "/proc/self/status").value_or("");
  around.filtered = status.find("\nSeccomp:\t2") != std::string::npos;
  around.chrooted = in_chroot(facts);
  around.may_map_root = holds(kSetFileCapabilities);
  around.mounts = parse_mountinfo(sys::read_file(AT_FDCWD, "/proc/self/mountinfo").value_or("")).mounts;
  return around;
}

// clone3 with CLONE_NEW*: user_namespaces(7) and namespaces(7) list who may say no.
Diagnosis about(const plan::CloneProcess& step, int code, const plan::HostFacts& facts,
                const Circumstances& around) {
  if (code == ENOSPC || code == EUSERS) return over_a_limit(step, around);
  // A filter that has not heard of clone3 answers ENOSYS, so that a C library tries clone (seccomp(2)).
  if ((code == EPERM || code == ENOSYS) && makes_user_namespace(step)) {
    Circumstances seen = around;
    seen.filtered |= code == ENOSYS;
    return no_user_namespace(seen);
  }
  if (code == EPERM && !facts.privileged)
    return {"namespaces other than user namespaces need root (CAP_SYS_ADMIN)",
            "ask for a user namespace too (linux.namespaces), or run as root"};
  if (code == EAGAIN)
    return {"a limit on processes is reached: RLIMIT_NPROC of this user, or pids.max of a cgroup above",
            "end some processes, or raise that limit (ulimit -u; pids.max)"};
  if (code == EBUSY)
    return {fmt::format("the cgroup {} cannot take a process: controllers are enabled below it", step.cgroup),
            "use another --cgroup-parent"};
  if (code == EINVAL)
    return {fmt::format("the kernel ({}.{}) was built without one of these namespaces", facts.kernel.major,
                        facts.kernel.minor),
            "use a kernel of 5.15 or newer with all of them: ls /proc/self/ns shows which are there"};
  return {};
}

Diagnosis about(const plan::WriteIdMap& step, const sys::Error& error, const plan::HostFacts& facts,
                const Circumstances& around) {
  const std::string user = facts.user.empty() ? fmt::format("{}", facts.uid) : facts.user;
  if (step.writer != "direct") {
    if (error.code == ENOENT)
      return {fmt::format("{} is not installed", step.writer), "as root: apt-get install uidmap"};
    return {
        fmt::format(
            "{} refused: it maps only the {}s that /etc/sub{} gives to {}, and it must be set-user-id root",
            step.writer, step.kind, step.kind, user),
        fmt::format("as root: usermod --add-sub{}s 100000-165535 {}; ls -l $(which {}) must show an s",
                    step.kind, user, step.writer)};
  }
  if (error.code == EPERM && !around.may_map_root &&
      std::ranges::any_of(step.map, [](const spec::IDMapping& range) { return range.hostID == 0; }))
    return {
        "the id 0 of this user namespace can be mapped only by a process with CAP_SETFCAP (since Linux 5.12)",
        "give the container around this one that capability: --cap-add SETFCAP"};
  if (error.code == EPERM)
    return {fmt::format("these {}s are not yours to map: without root's rights only your own id can be",
                        step.kind),
            fmt::format("install uidmap (newuidmap, newgidmap) and give yourself a range in /etc/sub{}",
                        step.kind)};
  if (error.code == EINVAL)
    return {"a range of the map overlaps another, or goes beyond what is mapped around this process",
            "compare the ranges with /proc/self/uid_map and /proc/self/gid_map"};
  return {};
}

Diagnosis about(const plan::JoinNamespace& step, int code) {
  if (code == ENOENT)
    return {fmt::format("there is no {}: the process that had this namespace may have ended", step.path),
            "name a namespace that exists: ls -l /proc/PID/ns, or lsns"};
  if (code == EINVAL)
    return {fmt::format("{} is no {} namespace", step.path, step.type),
            fmt::format("name a file like /proc/PID/ns/{}",
                        *limit_file(step.type) != 0 ? limit_file(step.type) : step.type)};
  if (code == EPERM || code == EACCES)
    return {fmt::format("the {} namespace {} is not this user's to join", step.type, step.path),
            "run as its owner or as root, or join its user namespace too (--userns path:...)"};
  return {};
}

Diagnosis about(const plan::SetUser& step, int code, const plan::Plan& plan) {
  if (code != EINVAL) return {};
  const auto mapped = [&](std::string_view kind, uint32_t id) {
    bool any = false;
    for (const plan::Step& each : plan.steps) {
      const auto* write = std::get_if<plan::WriteIdMap>(&each.action);
      if (write == nullptr || write->kind != kind) continue;
      any = true;
      for (const auto& range : write->map)
        if (id >= range.containerID && id - range.containerID < range.size) return true;
    }
    return !any;
  };
  std::string which = "one of these ids";
  for (const uint32_t group : step.groups)
    if (!mapped("gid", group)) which = fmt::format("the group id {}", group);
  if (!mapped("gid", step.gid)) which = fmt::format("the group id {}", step.gid);
  if (!mapped("uid", step.uid)) which = fmt::format("the user id {}", step.uid);
  return {fmt::format("{} is not mapped in the container's user namespace", which),
          "choose an id inside the map (cloche explain shows it), or widen the map (--uidmap, --gidmap)"};
}

}  // namespace cloche::runtime
