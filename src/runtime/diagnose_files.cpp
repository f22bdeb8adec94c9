#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "runtime/diagnose_parts.h"
#include "sys/files.h"
#include "sys/paths.h"

namespace cloche::runtime {
namespace {

using plan::Diagnosis;

// A mount on or below `top` that is not part of a usual host: it keeps the kernel from giving a user namespace a proc
// or sysfs of its own (mount_too_revealing(), fs/namespace.c).
std::string cover_of(const plan::HostFacts& facts, std::string_view top) {
  for (const plan::HostMount& mount : facts.mounts)
    if (mount.target.starts_with(fmt::format("{}/", top)) && mount.type != "binfmt_misc" &&
        mount.type != "autofs" && mount.type != "nfsd")
      return mount.target;
  return {};
}

Diagnosis no_new_proc(const plan::HostFacts& facts) {
  const std::string cover = cover_of(facts, "/proc");
  if (cover.empty())
    return {
        "the kernel gives this user namespace no proc: the host's own is covered in part, or the pid "
        "namespace is "
        "not the container's own",
        "look for mounts below /proc: findmnt -R /proc; with --pid host the host's own proc is bound "
        "instead"};
  return {
      fmt::format(
          "/proc is covered in part here ({} is mounted over), as in another container; the kernel then "
          "gives no user namespace a proc of its own",
          cover),
      fmt::format(
          "umount {}, or start the outer container with its /proc uncovered (cloche: --unmask all, Docker: "
          "--security-opt systempaths=unconfined)",
          cover)};
}

// The words of the kernel itself (fsconfig's message log), when there are some.
std::string kernel_words(const sys::Error& error) {
  constexpr std::string_view kSays = "the kernel says: ";
  for (const std::string& line : error.context)
    if (line.starts_with(kSays)) return line.substr(kSays.size());
  return {};
}

std::string target_of(const plan::Action& action) {
  if (const auto* mount = std::get_if<plan::MountFs>(&action)) return mount->target;
  if (const auto* bind = std::get_if<plan::BindMount>(&action)) return bind->target;
  if (const auto* device = std::get_if<plan::MakeDevice>(&action)) return device->path;
  if (const auto* link = std::get_if<plan::MakeSymlink>(&action)) return link->path;
  if (const auto* directory = std::get_if<plan::MakeDirectory>(&action)) return directory->path;
  return {};
}

// The step before `index` whose mount holds the place of `target`; nullptr: the root file system does.
const plan::Step* mount_under(const plan::Plan& plan, size_t index, const std::string& target) {
  const plan::Step* under = nullptr;
  size_t longest = 0;
  for (size_t i = 0; i < index; ++i) {
    const plan::Action& action = plan.steps[i].action;
    if (!std::holds_alternative<plan::MountFs>(action) && !std::holds_alternative<plan::BindMount>(action))
      continue;
    const std::string top = target_of(action);
    // The later of two on the same place lies on top.
    if (target != top && sys::is_below(target, top) && top.size() >= longest) {
      under = &plan.steps[i];
      longest = top.size();
    }
  }
  return under;
}

Diagnosis read_only(const plan::Step* under, const std::string& target) {
  const auto* bind = under == nullptr ? nullptr : std::get_if<plan::BindMount>(&under->action);
  if (bind != nullptr)
    return {fmt::format("{} has to be made first, but {} is read-only inside: it shows {} of the host",
                        target, bind->target, bind->source),
            fmt::format("make {}{} on the host beforehand, or mount {} writable (rw)", bind->source,
                        target.substr(bind->target.size()), bind->target)};
  if (under != nullptr)
    return {fmt::format("{} has to be made first, but {} is read-only", target, target_of(under->action)),
            fmt::format("mount {} without ro", target_of(under->action))};
  return {fmt::format("{} has to be made first, but the root file system is read-only", target),
          "make it in the image or rootfs beforehand"};
}

Diagnosis full(const plan::Plan& plan, const plan::Step* under, const std::string& target) {
  const auto* mount = under == nullptr ? nullptr : std::get_if<plan::MountFs>(&under->action);
  if (mount != nullptr)
    return {fmt::format(
                "{} has to be made first, but the {} on {} has no room left ({})", target, mount->type,
                mount->target,
                mount->options.empty() ? "default size" : fmt::format("{}", fmt::join(mount->options, ","))),
            "give it more room: size= and nr_inodes= of a tmpfs"};
  if (const auto* bind = under == nullptr ? nullptr : std::get_if<plan::BindMount>(&under->action))
    return {fmt::format("{} has to be made first, but {} of the host has no room left", target, bind->source),
            fmt::format("make room: df {0}; df -i {0}", bind->source)};
  for (const plan::Step& step : plan.steps)
    if (const auto* scratch = std::get_if<plan::MountScratch>(&step.action))
      return {fmt::format("the container's writable layer has no room left ({})",
                          scratch->options.empty() ? "default size"
                                                   : fmt::format("{}", fmt::join(scratch->options, ","))),
              "a larger --scratch-size"};
  return {};
}

struct IdmapSupport {
  std::string_view type;
  plan::KernelVersion since;
};
// mount_setattr(2), "ID-mapped mounts"; {0, 0}: older than what is supported (5.15).
constexpr IdmapSupport kIdmapSupport[] = {
    {"ext4", {}},     {"xfs", {}},           {"vfat", {}},       {"msdos", {}},        {"btrfs", {}},
    {"ntfs3", {}},    {"f2fs", {5, 18}},     {"erofs", {5, 19}}, {"squashfs", {6, 2}}, {"tmpfs", {6, 3}},
    {"ceph", {6, 7}}, {"hugetlbfs", {6, 9}}, {"fuse", {6, 12}}};

const IdmapSupport* idmap_support(std::string_view type) {
  const auto* found = std::ranges::find(kIdmapSupport, type, &IdmapSupport::type);
  return found == std::end(kIdmapSupport) ? nullptr : found;
}

// The mount that `path` is on, of several on one place the last.
const plan::HostMount* mount_of(const std::vector<plan::HostMount>& mounts, std::string_view path) {
  const plan::HostMount* holds = nullptr;
  for (const plan::HostMount& mount : mounts)
    if (sys::is_below(path, mount.target) &&
        (holds == nullptr || mount.target.size() >= holds->target.size()))
      holds = &mount;
  return holds;
}

}  // namespace

Diagnosis about(const plan::IdmapTree& step, const std::string& source, int code,
                const plan::HostFacts& facts, const Circumstances& around) {
  if (code != EINVAL) return {};
  const std::string path = sys::real_path(source).value_or(source);
  const auto refused = [&](const plan::HostMount& mount) {
    const IdmapSupport* support = idmap_support(mount.type);
    return support == nullptr || facts.kernel < support->since;
  };
  const plan::HostMount* blamed = mount_of(around.mounts, path);
  if (blamed != nullptr && !refused(*blamed)) blamed = nullptr;
  if (step.recursive && blamed == nullptr)
    for (const plan::HostMount& mount : around.mounts)
      if (sys::is_below(mount.target, path) && refused(mount)) blamed = &mount;
  if (blamed == nullptr) return {};
  const IdmapSupport* support = idmap_support(blamed->type);
  return {fmt::format("this kernel ({}.{}) makes no id-mapped mount of the file system {}, which {} is on",
                      facts.kernel.major, facts.kernel.minor, blamed->type,
                      sys::is_below(path, blamed->target) ? source : blamed->target),
          fmt::format("{}name a directory on another file system (ext4, xfs, btrfs), or give its files the "
                      "container's ids (chown)",
                      support == nullptr ? ""
                                         : fmt::format("use Linux {}.{} or newer, or ", support->since.major,
                                                       support->since.minor))};
}

Diagnosis about(const plan::MountFs& step, const sys::Error& error, const plan::HostFacts& facts) {
  const int code = error.code;
  if (code == EPERM && step.type == "proc") return no_new_proc(facts);
  if (code == EPERM && step.type == "sysfs")
    return {"a sysfs of its own needs a network namespace of its own", "leave --net host out, or bind /sys"};
  if (step.contents && (code == ENOSPC || code == EDQUOT) &&
      std::ranges::any_of(error.context, [](const auto& line) { return line.starts_with("copying "); }))
    return {fmt::format("what is in {} is more than the new tmpfs takes", step.target),
            "give it more room: size= and nr_inodes= of a tmpfs"};
  if (code == ENODEV)
    return {fmt::format("this kernel has no {} file system", step.type),
            fmt::format("as root: modprobe {}", step.type)};
  if (const std::string words = kernel_words(error); !words.empty())
    return {fmt::format("the kernel refuses an option of this {}: {}", step.type, words),
            fmt::format("correct or leave out that option; {}(5) lists them", step.type)};
  return {};
}

Diagnosis about_source(const std::string& source, const sys::Error& error) {
  if (error.call.find("open_tree") == std::string::npos) return {};
  if (error.code == ENOENT || error.code == ENOTDIR)
    return {fmt::format("there is no {} on this host, and none is made unasked", source),
            fmt::format("correct the path, or make it first: mkdir -p {}", source)};
  if (error.code == EACCES || error.code == EPERM)
    return {fmt::format("this user may not reach {} on the host", source),
            "choose a path of this user's, or have its owner open the directories above it (chmod o+x)"};
  if (error.code == EINVAL)
    return {
        fmt::format(
            "{} cannot be bound: it is unbindable, or has parts that this user namespace must not uncover",
            source),
        fmt::format("bind one directory in it, or look at findmnt -o TARGET,PROPAGATION -R {}", source)};
  return {};
}

Diagnosis about_target(const plan::Plan& plan, size_t index, int code) {
  const std::string target = target_of(plan.steps[index].action);
  if (target.empty()) return {};
  const plan::Step* under = mount_under(plan, index, target);
  if (code == EROFS) return read_only(under, target);
  if (code == ENOSPC || code == EDQUOT) return full(plan, under, target);
  if (code == ENOTDIR)
    return {
        fmt::format(
            "a part of {} is a file inside the container, or a file and a directory would cover each other",
            target),
        "mount a file on a file and a directory on a directory"};
  if (code == ELOOP)
    return {fmt::format("{} goes through a symbolic link that is not followed", target),
            "name the place it leads to"};
  return {};
}

}  // namespace cloche::runtime
