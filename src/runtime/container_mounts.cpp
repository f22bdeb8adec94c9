// The container side's verbs on mounts and device nodes. Every target is resolved inside the new root
// (openat2, RESOLVE_IN_ROOT) and every mount is attached by descriptor.
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>

#include "runtime/container_side.h"
#include "runtime/copy_tree.h"
#include "runtime/mount_words.h"
#include "sys/contents.h"
#include "sys/files.h"
#include "sys/mounts.h"

namespace cloche::runtime {
namespace {

constexpr const char* kWasThere = "it was there: left as it is";

sys::Result<sys::Fd> new_file_system(const plan::MountFs& step) {
  CLOCHE_TRY_ASSIGN(bits, attribute_bits(step.attributes));
  CLOCHE_TRY_ASSIGN(context, sys::FsContext::open(step.type));
  CLOCHE_TRY(context.set_string("source", step.source.empty() ? step.type : step.source));
  for (const std::string& word : bits.superblock) CLOCHE_TRY(context.set_flag(word));
  for (const std::string& option : step.options) {
    const size_t equals = option.find('=');
    if (equals == std::string::npos)
      CLOCHE_TRY(context.set_flag(option));
    else
      CLOCHE_TRY(context.set_string(option.substr(0, equals), option.substr(equals + 1)));
  }
  // An mqueue takes no option: it is labelled when it is there.
  if (step.label && step.type != "mqueue") CLOCHE_TRY(context.set_string("context", *step.label));
  CLOCHE_TRY(context.create());
  if (!step.contents) return context.mount(bits.attributes);
  return context.mount(bits.attributes & ~uint64_t{MOUNT_ATTR_RDONLY});  // until the copy is in it
}

sys::Result<> label_root(const sys::Fd& mount, const std::string& label) {
  CLOCHE_TRY_ASSIGN(top, sys::open_at(mount.get(), ".", O_RDONLY | O_DIRECTORY));
  return sys::set_attribute(top, "security.selinux", label);
}

// The host's own instance of a file system, for where the kernel refuses the container one.
sys::Result<sys::Fd> hosts_instance(const plan::MountFs& step) {
  CLOCHE_TRY_ASSIGN(set, setattr_for(step.attributes, {}));
  const std::string from = step.type == "sysfs"     ? "/sys"
                           : step.type == "cgroup2" ? "/sys/fs/cgroup"
                           : step.type == "mqueue"  ? "/dev/mqueue"
                                                    : "/proc";
  CLOCHE_TRY_ASSIGN(tree, sys::clone_tree(AT_FDCWD, from, true));
  set.propagation = MS_PRIVATE;
  CLOCHE_TRY(sys::set_mount_attributes(tree, set, true));
  return tree;
}

bool is_device(const struct stat& st, const plan::MakeDevice& step) {
  const mode_t type = step.type == "b" ? S_IFBLK : S_IFCHR;
  return (st.st_mode & S_IFMT) == type &&
         st.st_rdev == makedev(static_cast<unsigned>(step.major), static_cast<unsigned>(step.minor));
}

std::pair<std::string, std::string> parent_and_name(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {"/", path};
  return {slash == 0 ? "/" : path.substr(0, slash), path.substr(slash + 1)};
}

}  // namespace

// Where a mount goes: a directory for a directory, else a file.
sys::Result<sys::Fd> ContainerSide::target_for(const sys::Fd& source, const std::string& target) {
  CLOCHE_TRY_ASSIGN(st, sys::stat_fd(source));
  if (S_ISDIR(st.st_mode)) return directory_target(target);
  const Place place = place_of(target);
  return sys::make_file_in_root(place.from, place.rest, 0644);
}

ContainerSide::Place ContainerSide::place_of(const std::string& path) const {
  for (const auto& [anchor, mount] : anchors_)
    if (path.size() > anchor.size() && path.starts_with(anchor) && path[anchor.size()] == '/')
      return {mount, path.substr(anchor.size())};
  return {root_, path};
}

// /proc and /sys of the image must be what they are called: a link there would have the mount, and all that is covered
// in it, be somewhere else (CVE-2019-19921).
sys::Result<sys::Fd> ContainerSide::directory_target(const std::string& target) {
  const Place place = place_of(target);
  CLOCHE_TRY_ASSIGN(made, sys::make_directory_in_root(place.from, place.rest, 0755));
  if (target != "/proc" && target != "/sys") return made;
  auto plain = sys::open_in_root_plainly(place.from, place.rest, O_PATH | O_DIRECTORY);
  if (!plain && plain.error().code == ELOOP)
    return sys::wrap(
        std::move(plain).error(),
        fmt::format("{} of the root file system is a symbolic link: it must be a directory", target));
  return plain;
}

void ContainerSide::keep_anchor(const std::string& target, sys::Fd mount) {
  if (target == "/dev" || target == "/proc" || target == "/sys") anchors_[target] = std::move(mount);
}

// Most nodes and links go into /dev, whose mount is at hand.
sys::Result<sys::Fd> ContainerSide::directory_for(const std::string& path) {
  if (const auto anchor = anchors_.find(path); anchor != anchors_.end())
    return sys::duplicate(anchor->second);
  const Place place = place_of(path);
  return sys::make_directory_in_root(place.from, place.rest, 0755);
}

sys::Result<> ContainerSide::act(const plan::MountFs& step) {
  auto made = new_file_system(step);
  if (made && step.label && step.type == "mqueue") CLOCHE_TRY(label_root(*made, *step.label));
  if (!made && step.fallback == "bind" && made.error().code != ENOSPC && made.error().code != ENOMEM) {
    const std::string refused = sys::errno_name(made.error().code);
    auto bound = hosts_instance(step);
    if (!bound) return std::unexpected(std::move(made).error());
    note_fallback(record_, index_, fmt::format("bound the host's: a new {} is {}", step.type, refused));
    made = std::move(bound);
  }
  CLOCHE_TRY_ASSIGN(mount, std::move(made));
  if (!step.propagation.empty()) {
    CLOCHE_TRY_ASSIGN(bits, propagation_bits(step.propagation));
    CLOCHE_TRY(sys::set_mount_attributes(mount, {.propagation = bits}, true));
  }
  const Place place = place_of(step.target);
  const bool covers = step.contents && sys::open_in_root(place.from, place.rest, O_PATH).has_value();
  CLOCHE_TRY_ASSIGN(target, directory_target(step.target));
  // A directory that was made just now has no mode to hand on: the new file system keeps its own.
  if (covers) CLOCHE_TRY(copy_up(step, target, mount));
  if (step.contents) CLOCHE_TRY(become_readonly(step, mount));
  CLOCHE_TRY(sys::attach_mount(mount, target));
  if (step.target == "/dev/pts" && step.type == "devpts")
    devpts_ = std::move(mount);
  else
    keep_anchor(step.target, std::move(mount));
  return {};
}

// While the new mount is attached nowhere, so that nobody sees half of it.
sys::Result<> ContainerSide::copy_up(const plan::MountFs& step, const sys::Fd& directory,
                                     const sys::Fd& mount) {
  const auto says = [&](std::string_view key) {
    return std::ranges::any_of(step.options, [&](const auto& option) { return option.starts_with(key); });
  };
  const CopiedTop top{.uid = !says("uid="), .gid = !says("gid="), .mode = !says("mode=")};
  CLOCHE_TRY_ASSIGN(left, copy_tree(directory, mount, host_proc_, top));
  if (!left.empty()) note_fallback(record_, index_, "not copied: " + left);
  return {};
}

sys::Result<> ContainerSide::become_readonly(const plan::MountFs& step, const sys::Fd& mount) {
  CLOCHE_TRY_ASSIGN(attributes, setattr_for(step.attributes, {}));
  if ((attributes.set & MOUNT_ATTR_RDONLY) == 0) return {};
  return sys::set_mount_attributes(mount, {.set = MOUNT_ATTR_RDONLY}, false);
}

sys::Result<> ContainerSide::act(const plan::BindMount& step) {
  sys::Fd tree;
  if (step.slot.empty()) {
    CLOCHE_TRY_ASSIGN(cloned, tree_at(step.source, step.recursive));
    tree = std::move(cloned);
  } else {
    tree = std::move(prepared_.trees[step.slot]);
  }
  CLOCHE_TRY_ASSIGN(attributes, setattr_for(step.attributes, step.cleared));
  CLOCHE_TRY_ASSIGN(bits, propagation_bits(step.propagation));
  attributes.propagation = bits;
  if (!step.recursive_attributes.empty() || !step.recursive_cleared.empty()) {
    CLOCHE_TRY_ASSIGN(recursive, setattr_for(step.recursive_attributes, step.recursive_cleared));
    CLOCHE_TRY(sys::set_mount_attributes(tree, recursive, true));
  }
  CLOCHE_TRY_ASSIGN(target, target_for(tree, step.target));
  // Propagation goes to the mounts below too when asked for as rprivate, rslave, ...; the rest to the top only.
  if (recursive_propagation(step.propagation)) {
    CLOCHE_TRY(sys::set_mount_attributes(tree, {.propagation = bits}, true));
    attributes.propagation = 0;
  }
  if (attributes.set != 0 || attributes.clear != 0 || attributes.propagation != 0)
    CLOCHE_TRY(sys::set_mount_attributes(tree, attributes, false));
  CLOCHE_TRY(sys::attach_mount(tree, target));
  keep_anchor(step.target, std::move(tree));
  return {};
}

sys::Result<> ContainerSide::act(const plan::MakeDevice& step) {
  const auto [parent_path, name] = parent_and_name(step.path);
  CLOCHE_TRY_ASSIGN(parent, directory_for(parent_path));
  if (step.how == "bind") {
    CLOCHE_TRY_ASSIGN(node, sys::open_at(AT_FDCWD, step.path, O_PATH | O_NOFOLLOW));
    CLOCHE_TRY_ASSIGN(st, sys::stat_fd(node));
    if (!is_device(st, step))
      return sys::fail_because(fmt::format("{} of the host is not the device {} {}:{}", step.path, step.type,
                                           step.major, step.minor));
    CLOCHE_TRY_ASSIGN(tree, sys::clone_tree(node, false));
    auto made = sys::open_at(parent.get(), name, O_CREAT | O_EXCL | O_NOFOLLOW, 0644);
    if (!made && made.error().code != EEXIST) return std::unexpected(std::move(made).error());
    CLOCHE_TRY_ASSIGN(target, sys::open_at(parent.get(), name, O_PATH | O_NOFOLLOW));
    return sys::attach_mount(tree, target);
  }
  const mode_t type = step.type == "b" ? S_IFBLK : step.type == "p" ? S_IFIFO : S_IFCHR;
  const dev_t device = makedev(static_cast<unsigned>(step.major), static_cast<unsigned>(step.minor));
  auto made = sys::make_node(parent.get(), name, type | step.mode, device);
  if (!made && made.error().code == EEXIST) {
    // Left by an earlier container in a shared rootfs, or the image's own: only the very same device will do.
    CLOCHE_TRY_ASSIGN(st, sys::stat_at(parent.get(), name, false));
    if (step.type != "p" && !is_device(st, step))
      return sys::fail_because(
          fmt::format("{} exists in the root file system and is another file", step.path));
    note_fallback(record_, index_, kWasThere);
    made = {};
  }
  CLOCHE_TRY(made);
  if (step.uid != 0 || step.gid != 0) CLOCHE_TRY(sys::change_owner(parent.get(), name, step.uid, step.gid));
  return {};
}

sys::Result<> ContainerSide::act(const plan::MakeSymlink& step) {
  const auto [parent_path, name] = parent_and_name(step.path);
  CLOCHE_TRY_ASSIGN(parent, directory_for(parent_path));
  auto made = sys::make_symlink(step.target, parent.get(), name);
  if (!made && made.error().code == EEXIST) {
    note_fallback(record_, index_, kWasThere);
    return {};
  }
  return made;
}

sys::Result<> ContainerSide::act(const plan::MakeDirectory& step) {
  CLOCHE_TRY_ASSIGN(made, sys::make_directory_in_root(root_, step.path, step.mode));
  return {};
}

sys::Result<sys::Fd> ContainerSide::host_null() {
  CLOCHE_TRY_ASSIGN(node, sys::open_at(AT_FDCWD, "/dev/null", O_PATH | O_NOFOLLOW));
  CLOCHE_TRY_ASSIGN(st, sys::stat_fd(node));
  if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3))
    return sys::fail_because("/dev/null of the host is not the device 1:3");
  return node;
}

sys::Result<> ContainerSide::act(const plan::MaskPath& step) {
  const Place place = place_of(step.path);
  auto opened = sys::open_in_root(place.from, place.rest, O_PATH);
  if (!opened && (opened.error().code == ENOENT || opened.error().code == ENOTDIR)) {
    note_fallback(record_, index_, "not there: nothing to cover");
    return {};
  }
  CLOCHE_TRY_ASSIGN(target, std::move(opened));
  CLOCHE_TRY_ASSIGN(st, sys::stat_fd(target));
  if (!S_ISDIR(st.st_mode)) {
    CLOCHE_TRY_ASSIGN(null, host_null());
    CLOCHE_TRY_ASSIGN(tree, sys::clone_tree(null, false));
    return sys::attach_mount(tree, target);
  }
  if (empty_.valid()) {
    CLOCHE_TRY_ASSIGN(tree, sys::clone_tree(empty_, false));
    return sys::attach_mount(tree, target);
  }
  // The first one is made, the others are clones of it: a superblock for each would cost more than all else here.
  CLOCHE_TRY_ASSIGN(context, sys::FsContext::open("tmpfs"));
  CLOCHE_TRY(context.set_string("source", "tmpfs"));
  CLOCHE_TRY(context.set_string("size", "0k"));
  CLOCHE_TRY(context.set_string("mode", "755"));
  if (step.label) CLOCHE_TRY(context.set_string("context", *step.label));
  CLOCHE_TRY(context.create());
  CLOCHE_TRY_ASSIGN(
      empty, context.mount(MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC));
  CLOCHE_TRY(sys::attach_mount(empty, target));
  empty_ = std::move(empty);
  return {};
}

sys::Result<> ContainerSide::act(const plan::ReadonlyPath& step) {
  const Place place = place_of(step.path);
  auto opened = sys::open_in_root(place.from, place.rest, O_PATH);
  if (!opened && (opened.error().code == ENOENT || opened.error().code == ENOTDIR)) {
    note_fallback(record_, index_, "not there: nothing to protect");
    return {};
  }
  CLOCHE_TRY_ASSIGN(target, std::move(opened));
  CLOCHE_TRY_ASSIGN(tree, sys::clone_tree(target, true));
  CLOCHE_TRY(sys::set_mount_attributes(tree, {.set = MOUNT_ATTR_RDONLY, .propagation = MS_PRIVATE}, false));
  return sys::attach_mount(tree, target);
}

}  // namespace cloche::runtime
