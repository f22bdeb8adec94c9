#include "sys/mounts.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include <array>

#include "sys/call.h"
#include "sys/flags.h"

namespace cloche::sys {
namespace {

Result<Fd> open_tree(int dirfd, const char* path, unsigned flags) {
  const long raw = raw_call(SYS_open_tree, dirfd, path, flags);
  if (raw >= 0) return Fd(static_cast<int>(raw));
  return fail(static_cast<int>(-raw), fmt::format("open_tree({}, {}, {})", dirfd_name(dirfd), in_quotes(path),
                                                  open_tree_flag_names(flags)));
}

Result<> move_mount(int from, int to_dirfd, const char* to_path, unsigned flags) {
  const long raw = raw_call(SYS_move_mount, from, "", to_dirfd, to_path, flags | MOVE_MOUNT_F_EMPTY_PATH);
  if (raw >= 0) return {};
  return fail(static_cast<int>(-raw),
              fmt::format("move_mount({}, \"\", {}, {})", from, dirfd_name(to_dirfd), in_quotes(to_path)));
}

Result<> setattr(int dirfd, const char* path, const MountAttributes& wanted, unsigned flags) {
  mount_attr attr{};
  attr.attr_set = wanted.set;
  attr.attr_clr = wanted.clear;
  attr.propagation = wanted.propagation;
  attr.userns_fd = wanted.user_namespace >= 0 ? static_cast<uint64_t>(wanted.user_namespace) : 0;
  const long raw = raw_call(SYS_mount_setattr, dirfd, path, flags, &attr, sizeof attr);
  if (raw >= 0) return {};
  return fail(static_cast<int>(-raw),
              fmt::format("mount_setattr({}, {}, {}, {{set={}, clr={}, propagation={}}})", dirfd_name(dirfd),
                          in_quotes(path), open_tree_flag_names(flags), mount_attr_names(wanted.set),
                          mount_attr_names(wanted.clear), propagation_names(wanted.propagation)));
}

}  // namespace

Result<Fd> clone_tree(int dirfd, const std::string& path, bool recursive, bool follow) {
  return open_tree(dirfd, path.c_str(),
                   OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (recursive ? AT_RECURSIVE : 0) |
                       (follow ? 0 : AT_SYMLINK_NOFOLLOW));
}

Result<Fd> clone_tree(const Fd& place, bool recursive) {
  return open_tree(place.get(), "",
                   OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0));
}

Result<FsContext> FsContext::open(const std::string& type) {
  const long raw = raw_call(SYS_fsopen, type.c_str(), FSOPEN_CLOEXEC);
  if (raw < 0) return fail(static_cast<int>(-raw), fmt::format("fsopen({})", in_quotes(type)));
  return FsContext(Fd(static_cast<int>(raw)), type);
}

Result<> FsContext::config(unsigned command, const char* command_name, const char* key, const void* value,
                           int aux, const std::string& shown) {
  const long raw = raw_call(SYS_fsconfig, context_.get(), command, key, value, aux);
  if (raw >= 0) return {};
  auto error = fail(static_cast<int>(-raw), fmt::format("fsconfig({}, {}{})", type_, command_name, shown));
  // Each read(2) of the context yields one message, "e overlay: ..." (Linux 5.2); ENODATA ends them.
  std::array<char, 512> line{};
  for (int lines = 0; lines < 16; ++lines) {
    const long got = raw_call(SYS_read, context_.get(), line.data(), line.size());
    if (got <= 0) break;
    std::string text(line.data(), static_cast<size_t>(got));
    while (!text.empty() && text.back() == '\n') text.pop_back();
    if (text.starts_with("e "))
      error.error().context.push_back(fmt::format("the kernel says: {}", text.substr(2)));
  }
  return error;
}

Result<> FsContext::set_flag(const std::string& key) {
  return config(FSCONFIG_SET_FLAG, "SET_FLAG", key.c_str(), nullptr, 0, fmt::format(", {}", key));
}
Result<> FsContext::set_string(const std::string& key, const std::string& value) {
  return config(FSCONFIG_SET_STRING, "SET_STRING", key.c_str(), value.c_str(), 0,
                fmt::format(", {}, {}", key, in_quotes(value)));
}
Result<> FsContext::set_fd(const std::string& key, const Fd& value) {
  return config(FSCONFIG_SET_FD, "SET_FD", key.c_str(), nullptr, value.get(),
                fmt::format(", {}, {}", key, value.get()));
}
Result<> FsContext::create() { return config(FSCONFIG_CMD_CREATE, "CMD_CREATE", nullptr, nullptr, 0, ""); }

Result<Fd> FsContext::mount(uint64_t attributes) {
  const long raw = raw_call(SYS_fsmount, context_.get(), FSMOUNT_CLOEXEC, attributes);
  if (raw >= 0) return Fd(static_cast<int>(raw));
  return fail(static_cast<int>(-raw), fmt::format("fsmount({}, {})", type_, mount_attr_names(attributes)));
}

Result<> attach_mount(const Fd& mount, const Fd& target) {
  return move_mount(mount.get(), target.get(), "", MOVE_MOUNT_T_EMPTY_PATH);
}
Result<> attach_mount(const Fd& mount, int dirfd, const std::string& path) {
  return move_mount(mount.get(), dirfd, path.c_str(), 0);
}

Result<> set_mount_attributes(const Fd& mount, const MountAttributes& attributes, bool recursive) {
  return setattr(mount.get(), "", attributes, AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0));
}
Result<> set_mount_attributes(int dirfd, const std::string& path, const MountAttributes& attributes,
                              bool recursive) {
  return setattr(dirfd, path.c_str(), attributes, recursive ? AT_RECURSIVE : 0);
}

Result<> pivot_to_working_directory() {
  const long raw = raw_call(SYS_pivot_root, ".", ".");
  if (raw < 0) return fail(static_cast<int>(-raw), "pivot_root(\".\", \".\")");
  return unmount(".", MNT_DETACH);
}

Result<> unmount(const std::string& path, int flags) {
  const long raw = raw_call(SYS_umount2, path.c_str(), flags);
  if (raw >= 0) return {};
  return fail(static_cast<int>(-raw), fmt::format("umount2({}, {})", in_quotes(path),
                                                  (flags & MNT_DETACH) != 0 ? "MNT_DETACH" : "0"));
}

}  // namespace cloche::sys
