#include "runtime/diagnose.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "runtime/command_faults.h"
#include "runtime/diagnose_parts.h"

namespace cloche::runtime {
namespace {

using plan::Diagnosis;

Diagnosis about_command(const sys::Error& error) {
  for (const CommandFault& fault : kCommandFaults)
    for (const std::string& line : error.context)
      if (line.find(fault.says) != std::string::npos) return {line, std::string(fault.remedy)};
  if (error.code == E2BIG)
    return {"the command's arguments and environment together are larger than the kernel takes",
            "pass less, or pass it in a file (-v)"};
  if (error.code == ETXTBSY) return {"the program is open for writing right now", "close it first"};
  return {};
}

Diagnosis about_cgroup(const std::string& path, int code, const plan::HostFacts& facts) {
  if (code == EACCES || code == EPERM || code == EROFS)
    return {
        fmt::format("the cgroup {} is not this user's to change", path),
        "as a user: systemd-run --user --scope -p Delegate=yes cloche ...; in a container: mount its cgroup "
        "tree writable"};
  if (code == ENOENT || code == EINVAL)
    return {fmt::format("a controller is not available in this part of the cgroup v2 tree (available: {})",
                        facts.cgroup.controllers.empty()
                            ? "none"
                            : fmt::format("{}", fmt::join(facts.cgroup.controllers, " "))),
            "enable it in cgroup.subtree_control of the cgroups above, or leave the limit out"};
  if (code == EBUSY)
    return {
        "a cgroup of that name holds processes, or one that holds processes would give controllers to "
        "cgroups below "
        "it (cgroup v2's rule of no internal processes)",
        "move those processes into a cgroup of their own, or use another --cgroup-parent"};
  if (code == EAGAIN)
    return {
        "the cgroup tree here is as deep or as large as it may be (cgroup.max.depth, cgroup.max.descendants)",
        "remove empty cgroups, or raise those limits above"};
  return {};
}

Diagnosis about_cgroup_value(const plan::WriteCgroup& step, int code, const plan::HostFacts& facts) {
  if (code == EINVAL || code == ERANGE || code == ENODEV)
    return {fmt::format("the kernel takes no {} for {}", step.value.empty() ? "empty value" : step.value,
                        step.file),
            "correct the value: Documentation/admin-guide/cgroup-v2.rst says what each file takes"};
  // The step before it has enabled the file's controller, or the planner would have refused.
  if (code == ENOENT)
    return {fmt::format("this kernel has no file {} in a cgroup", step.file),
            "correct its name, or leave it out"};
  if (code == EOPNOTSUPP && step.file == "io.weight") {
    const std::string disk = step.value.substr(0, step.value.find(' '));
    return {fmt::format("the kernel keeps no weights for the disk {}", disk),
            fmt::format("echo '{} enable=1' > {}/io.cost.qos, or have BFQ schedule it, or leave "
                        "blockIO.weightDevice out",
                        disk, facts.cgroup.mount)};
  }
  return about_cgroup(step.cgroup, code, facts);
}

Diagnosis about_directory(const plan::ChangeDirectory& step, int code) {
  if (code == ENOTDIR)
    return {fmt::format("{} is a file inside the container, not a directory", step.path), "name a directory"};
  if (code == ENOENT)
    return {fmt::format("there is no {} inside the container{}", step.path,
                        step.make ? ", and it could not be made" : ""),
            "name a directory that is there (-w)"};
  if (code == EACCES)
    return {
        fmt::format("the container's root may not enter {}: its owner is not mapped, or its mode forbids it",
                    step.path),
        "name another directory (-w), or map its owner"};
  return {};
}

Diagnosis about_sysctl(const plan::WriteSysctl& step, int code) {
  if (code == ENOENT)
    return {fmt::format("this kernel has no {} in the container's namespaces", step.key),
            "check the spelling; a kernel module may have to be loaded on the host first"};
  if (code == EINVAL || code == ERANGE)
    return {fmt::format("the kernel takes no \"{}\" for {}", step.value, step.key), "correct the value"};
  if (code == EACCES || code == EPERM)
    return {fmt::format("the kernel lets only root of the host write {}", step.key),
            "set it on the host, as root"};
  if (code == EROFS)
    return {"/proc/sys is read-only here, and the kernel gives this container no procfs that is not",
            "remount /proc/sys writable; in another container: run that one with a writable /proc/sys"};
  return {};
}

std::string source_of(const plan::Plan& plan, const std::string& slot) {
  for (const plan::Step& step : plan.steps)
    if (const auto* open = std::get_if<plan::OpenTree>(&step.action); open != nullptr && open->slot == slot)
      return open->path;
  return {};
}

Diagnosis by_action(const plan::Plan& plan, const StepFailure& failure, const plan::HostFacts& facts,
                    const Circumstances& around) {
  const plan::Action& action = plan.steps[failure.step].action;
  const sys::Error& error = failure.error;
  const int code = error.code;
  if (const auto* clone = std::get_if<plan::CloneProcess>(&action)) return about(*clone, code, facts, around);
  if (const auto* map = std::get_if<plan::WriteIdMap>(&action)) return about(*map, error, facts, around);
  if (const auto* join = std::get_if<plan::JoinNamespace>(&action)) return about(*join, code);
  if (const auto* user = std::get_if<plan::SetUser>(&action)) return about(*user, code, plan);
  if (const auto* open = std::get_if<plan::OpenTree>(&action)) return about_source(open->path, error);
  if (const auto* mapped = std::get_if<plan::IdmapTree>(&action))
    return about(*mapped, source_of(plan, mapped->slot), code, facts, around);
  if (const auto* root = std::get_if<plan::BindRoot>(&action)) {
    if (code == ENOTDIR)
      return {root->path + " is a file, and a root file system is a directory", "correct root.path"};
    return about_source(root->path, error);
  }
  if (const auto* bind = std::get_if<plan::BindMount>(&action))
    if (Diagnosis known = about_source(bind->source, error); !known.cause.empty()) return known;
  if (const auto* mount = std::get_if<plan::MountFs>(&action))
    if (Diagnosis known = about(*mount, error, facts); !known.cause.empty()) return known;
  if (const auto* made = std::get_if<plan::CreateCgroup>(&action))
    return about_cgroup(made->path, code, facts);
  if (const auto* enabled = std::get_if<plan::EnableControllers>(&action))
    return about_cgroup(enabled->cgroup, code, facts);
  if (const auto* write = std::get_if<plan::WriteCgroup>(&action))
    return about_cgroup_value(*write, code, facts);
  if (const auto* unshared = std::get_if<plan::UnshareNamespace>(&action);
      unshared != nullptr && code == ENOSPC)
    return about(plan::CloneProcess{.namespaces = {unshared->type}}, code, facts, around);
  if (std::holds_alternative<plan::EnterTimeNamespace>(action) && code == ENOSPC)
    return about(plan::CloneProcess{.namespaces = {"time"}}, code, facts, around);
  if (const auto* directory = std::get_if<plan::ChangeDirectory>(&action))
    return about_directory(*directory, code);
  if (const auto* sysctl = std::get_if<plan::WriteSysctl>(&action)) return about_sysctl(*sysctl, code);
  if (std::holds_alternative<plan::FindCommand>(action) || std::holds_alternative<plan::Execute>(action))
    return about_command(error);
  if (std::holds_alternative<plan::EnterTimeNamespace>(action) && code == ERANGE)
    return {"the offset would move a clock below zero or beyond its range",
            "choose one that keeps it above zero: /proc/uptime shows how far it is"};
  if (const auto* limit = std::get_if<plan::SetRlimit>(&action); limit != nullptr && code == EPERM)
    return {fmt::format("the hard limit {} is above this process's own, and only CAP_SYS_RESOURCE on the "
                        "host can raise it",
                        limit->hard),
            "ask for at most the own hard limit: ulimit -H -a shows it"};
  if (std::holds_alternative<plan::SetOomScore>(action) && (code == EACCES || code == EPERM))
    return {"only CAP_SYS_RESOURCE on the host can make the kernel spare a process (a lower oom score)",
            "ask for no less than /proc/self/oom_score_adj shows"};
  if (std::holds_alternative<plan::LimitDevices>(action) && (code == EPERM || code == EACCES))
    return {
        "a device policy is a BPF program, and loading one needs CAP_BPF and CAP_NET_ADMIN (or "
        "CAP_SYS_ADMIN) on the host",
        "run as root, or leave device rules out"};
  return about_target(plan, failure.step, code);
}

// What an errno means wherever it comes from.
Diagnosis by_errno(int code) {
  switch (code) {
    case EROFS:
      return {"the target is on a read-only file system",
              "make the directory or file in the image beforehand, or put a tmpfs above it"};
    case ENOSPC:
      return {
          "no space is left: on the file system, in its inodes, or in the number of mounts (fs.mount-max)",
          "look at df, df -i and sysctl fs.mount-max"};
    case EDQUOT:
      return {"a quota is used up", "look at the quota of the user or the project"};
    case ENOMEM:
      return {"the kernel has no memory for it, or the cgroup's limit is reached", "raise --memory"};
    case EOVERFLOW:
      return {"an id of the host's files is not mapped in the container's user namespace",
              "map it, or use an id-mapped mount"};
    case ELOOP:
      return {"the path goes through too many symbolic links, or through one that is not followed",
              "name the place it leads to"};
    case EMFILE:
    case ENFILE:
      return {"too many files are open", "raise the limit: ulimit -n"};
    case ENOSYS:
      return {"this kernel does not have the call, or a seccomp filter around this process hides it",
              "use a kernel of 5.15 or newer, or run outside of that container"};
    default:
      return {};
  }
}

}  // namespace

plan::Diagnosis diagnose(const plan::Plan& plan, const StepFailure& failure, const plan::HostFacts& facts,
                         const Circumstances& around) {
  if (failure.step >= plan.steps.size()) return {};
  if (Diagnosis known = by_action(plan, failure, facts, around); !known.cause.empty()) return known;
  return by_errno(failure.error.code);
}

}  // namespace cloche::runtime
