#include "sys/flags.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <sys/mount.h>

namespace cloche::sys {
namespace {

constexpr FlagName kOpen[] = {
    {O_PATH, "O_PATH"},         {O_DIRECTORY, "O_DIRECTORY"}, {O_WRONLY, "O_WRONLY"},
    {O_RDWR, "O_RDWR"},         {O_CREAT, "O_CREAT"},         {O_EXCL, "O_EXCL"},
    {O_TRUNC, "O_TRUNC"},       {O_APPEND, "O_APPEND"},       {O_NOFOLLOW, "O_NOFOLLOW"},
    {O_NONBLOCK, "O_NONBLOCK"}, {O_NOCTTY, "O_NOCTTY"},       {O_CLOEXEC, "O_CLOEXEC"},
};
constexpr FlagName kResolve[] = {
    {RESOLVE_NO_XDEV, "RESOLVE_NO_XDEV"},         {RESOLVE_NO_MAGICLINKS, "RESOLVE_NO_MAGICLINKS"},
    {RESOLVE_NO_SYMLINKS, "RESOLVE_NO_SYMLINKS"}, {RESOLVE_BENEATH, "RESOLVE_BENEATH"},
    {RESOLVE_IN_ROOT, "RESOLVE_IN_ROOT"},
};
constexpr FlagName kClone[] = {
    {CLONE_NEWNS, "CLONE_NEWNS"},          {CLONE_NEWPID, "CLONE_NEWPID"},
    {CLONE_NEWUTS, "CLONE_NEWUTS"},        {CLONE_NEWIPC, "CLONE_NEWIPC"},
    {CLONE_NEWNET, "CLONE_NEWNET"},        {CLONE_NEWUSER, "CLONE_NEWUSER"},
    {CLONE_NEWCGROUP, "CLONE_NEWCGROUP"},  {CLONE_NEWTIME, "CLONE_NEWTIME"},
    {CLONE_PARENT, "CLONE_PARENT"},        {CLONE_PIDFD, "CLONE_PIDFD"},
    {0x200000000ULL, "CLONE_INTO_CGROUP"},
};
constexpr FlagName kMountAttr[] = {
    {0x1, "MOUNT_ATTR_RDONLY"},      {0x2, "MOUNT_ATTR_NOSUID"},     {0x4, "MOUNT_ATTR_NODEV"},
    {0x8, "MOUNT_ATTR_NOEXEC"},      {0x10, "MOUNT_ATTR_NOATIME"},   {0x20, "MOUNT_ATTR_STRICTATIME"},
    {0x80, "MOUNT_ATTR_NODIRATIME"}, {0x100000, "MOUNT_ATTR_IDMAP"}, {0x200000, "MOUNT_ATTR_NOSYMFOLLOW"},
};
constexpr FlagName kPropagation[] = {
    {MS_SHARED, "MS_SHARED"},
    {MS_SLAVE, "MS_SLAVE"},
    {MS_PRIVATE, "MS_PRIVATE"},
    {MS_UNBINDABLE, "MS_UNBINDABLE"},
};
constexpr FlagName kOpenTree[] = {
    {1, "OPEN_TREE_CLONE"},
    {O_CLOEXEC, "OPEN_TREE_CLOEXEC"},
    {AT_RECURSIVE, "AT_RECURSIVE"},
    {AT_EMPTY_PATH, "AT_EMPTY_PATH"},
    {AT_SYMLINK_NOFOLLOW, "AT_SYMLINK_NOFOLLOW"},
};

}  // namespace

std::string flag_names(uint64_t value, std::span<const FlagName> table, const char* zero) {
  if (value == 0) return zero;
  std::string text;
  for (const FlagName& flag : table) {
    if ((value & flag.bits) != flag.bits) continue;
    if (!text.empty()) text += '|';
    text += flag.name;
    value &= ~flag.bits;
  }
  if (value != 0) text += fmt::format("{}{:#x}", text.empty() ? "" : "|", value);
  return text;
}

std::string open_flag_names(uint64_t flags) { return flag_names(flags, kOpen, "O_RDONLY"); }
std::string resolve_flag_names(uint64_t flags) { return flag_names(flags, kResolve); }
std::string clone_flag_names(uint64_t flags) { return flag_names(flags, kClone); }
std::string mount_attr_names(uint64_t flags) { return flag_names(flags, kMountAttr); }
std::string propagation_names(uint64_t flags) { return flag_names(flags, kPropagation); }
std::string open_tree_flag_names(uint64_t flags) { return flag_names(flags, kOpenTree); }

std::string in_quotes(std::string_view text) {
  constexpr size_t kLongest = 120;
  std::string out = "\"";
  for (const char c : text.substr(0, kLongest)) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\')
      out += fmt::format("\\{}", c);
    else if (c == '\n')
      out += "\\n";
    else if (byte < 0x20 || byte == 0x7f)
      out += fmt::format("\\x{:02x}", byte);
    else
      out += c;
  }
  out += '"';
  if (text.size() > kLongest) out += "...";
  return out;
}

std::string dirfd_name(int dirfd) { return dirfd == AT_FDCWD ? "AT_FDCWD" : fmt::format("{}", dirfd); }

}  // namespace cloche::sys
