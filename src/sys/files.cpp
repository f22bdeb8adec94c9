#include "sys/files.h"

#include <fmt/format.h>
#include <linux/close_range.h>
#include <linux/memfd.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include <algorithm>
#include <limits>

#include "sys/call.h"
#include "sys/flags.h"
#include "sys/outcome.h"

namespace cloche::sys {
namespace {

// A trailing component as its own string, "" when the path ends in a slash.
std::pair<std::string_view, std::string_view> split_last(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  const size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return {"", path};
  return {path.substr(0, slash), path.substr(slash + 1)};
}

std::string_view kind_of(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFDIR:
      return "a directory";
    case S_IFIFO:
      return "a FIFO";
    case S_IFSOCK:
      return "a socket";
    case S_IFCHR:
    case S_IFBLK:
      return "a device";
    default:
      return "something else";
  }
}

}  // namespace

Result<Fd> open_at(int dirfd, const std::string& path, int flags, mode_t mode) {
  flags |= O_CLOEXEC;
  return owned(raw_call(SYS_openat, dirfd, path.c_str(), flags, mode), [&] {
    return fmt::format("openat({}, {}, {})", dirfd_name(dirfd), in_quotes(path),
                       open_flag_names(static_cast<uint64_t>(flags)));
  });
}

namespace {

Result<Fd> open_resolved(const Fd& root, std::string_view path, int flags, mode_t mode, uint64_t resolve) {
  open_how how{};
  how.flags = static_cast<uint64_t>(flags) | O_CLOEXEC;
  how.mode = mode;
  how.resolve = resolve;
  const std::string name(path.empty() ? "/" : path);
  long result = -EAGAIN;
  for (int tries = 0; result == -EAGAIN && tries < 128; ++tries)
    result = raw_call(SYS_openat2, root.get(), name.c_str(), &how, sizeof how);
  return owned(result, [&] {
    return fmt::format("openat2({}, {}, {{flags={}, resolve={}}})", root.get(), in_quotes(name),
                       open_flag_names(how.flags), resolve_flag_names(how.resolve));
  });
}

}  // namespace

Result<Fd> open_in_root(const Fd& root, std::string_view path, int flags, mode_t mode) {
  return open_resolved(root, path, flags, mode, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}
Result<Fd> open_in_root_plainly(const Fd& root, std::string_view path, int flags) {
  return open_resolved(root, path, flags, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS);
}

Result<Fd> make_directory_in_root(const Fd& root, std::string_view path, mode_t mode) {
  auto directory = open_in_root(root, path, O_PATH | O_DIRECTORY);
  if (directory || directory.error().code != ENOENT) return directory;
  const auto [parent_path, name] = split_last(path);
  if (name.empty()) return directory;
  CLOCHE_TRY_ASSIGN(parent, make_directory_in_root(root, parent_path, mode));
  auto made = make_directory(parent.get(), std::string(name), mode);
  if (!made && made.error().code != EEXIST)
    return wrap(std::move(made).error(), fmt::format("making {} in the container's root", path));
  return open_in_root(root, path, O_PATH | O_DIRECTORY);
}

Result<Fd> make_file_in_root(const Fd& root, std::string_view path, mode_t mode) {
  auto file = open_in_root(root, path, O_PATH);
  if (file || file.error().code != ENOENT) return file;
  const auto [parent_path, name] = split_last(path);
  CLOCHE_TRY_ASSIGN(parent, make_directory_in_root(root, parent_path, 0755));
  // O_EXCL never follows a dangling symbolic link; what appears meanwhile is taken as it is, in the root.
  auto made = open_at(parent.get(), std::string(name), O_CREAT | O_EXCL | O_NOFOLLOW, mode);
  if (!made && made.error().code != EEXIST)
    return wrap(std::move(made).error(), fmt::format("making {} in the container's root", path));
  return open_in_root(root, path, O_PATH);
}

Result<> make_directory(int dirfd, const std::string& path, mode_t mode) {
  return outcome(raw_call(SYS_mkdirat, dirfd, path.c_str(), mode), [&] {
    return fmt::format("mkdirat({}, {}, {:#o})", dirfd_name(dirfd), in_quotes(path), mode);
  });
}

Result<> make_directories(const std::string& path, mode_t mode) {
  auto made = make_directory(AT_FDCWD, path, mode);
  if (made || made.error().code == EEXIST) return {};
  if (made.error().code != ENOENT) return made;
  const auto [parent, name] = split_last(path);
  if (parent.empty()) return made;
  CLOCHE_TRY(make_directories(std::string(parent), mode));
  made = make_directory(AT_FDCWD, path, mode);
  if (made || made.error().code == EEXIST) return {};
  return made;
}

Result<> make_node(int dirfd, const std::string& name, mode_t type_and_mode, dev_t device) {
  return outcome(raw_call(SYS_mknodat, dirfd, name.c_str(), type_and_mode, device), [&] {
    return fmt::format("mknodat({}, {}, {:#o}, {}:{})", dirfd_name(dirfd), in_quotes(name), type_and_mode,
                       device >> 8 & 0xfff, device & 0xff);
  });
}

Result<> make_symlink(const std::string& target, int dirfd, const std::string& name) {
  return outcome(raw_call(SYS_symlinkat, target.c_str(), dirfd, name.c_str()), [&] {
    return fmt::format("symlinkat({}, {}, {})", in_quotes(target), dirfd_name(dirfd), in_quotes(name));
  });
}

Result<> remove_at(int dirfd, const std::string& path, int flags) {
  return outcome(raw_call(SYS_unlinkat, dirfd, path.c_str(), flags), [&] {
    return fmt::format("unlinkat({}, {}, {})", dirfd_name(dirfd), in_quotes(path),
                       (flags & AT_REMOVEDIR) != 0 ? "AT_REMOVEDIR" : "0");
  });
}

Result<> rename_at(int dirfd, const std::string& from, const std::string& to) {
  return outcome(raw_call(SYS_renameat, dirfd, from.c_str(), dirfd, to.c_str()), [&] {
    return fmt::format("renameat({0}, {1}, {0}, {2})", dirfd_name(dirfd), in_quotes(from), in_quotes(to));
  });
}

Result<> rename_new_at(int dirfd, const std::string& from, const std::string& to) {
  const long raw = raw_call(SYS_renameat2, dirfd, from.c_str(), dirfd, to.c_str(), RENAME_NOREPLACE);
  return outcome(raw, [&] {
    return fmt::format("renameat2({0}, {1}, {0}, {2}, RENAME_NOREPLACE)", dirfd_name(dirfd), in_quotes(from),
                       in_quotes(to));
  });
}

Result<> change_owner(int dirfd, const std::string& path, uid_t uid, gid_t gid) {
  const int flags = AT_SYMLINK_NOFOLLOW | (path.empty() ? AT_EMPTY_PATH : 0);
  return outcome(raw_call(SYS_fchownat, dirfd, path.c_str(), uid, gid, flags), [&] {
    return fmt::format("fchownat({}, {}, {}, {})", dirfd_name(dirfd), in_quotes(path), uid, gid);
  });
}

Result<> change_mode(const Fd& file, mode_t mode) {
  return outcome(raw_call(SYS_fchmod, file.get(), mode),
                 [&] { return fmt::format("fchmod({}, {:#o})", file.get(), mode); });
}

Result<struct stat> stat_fd(const Fd& file) {
  struct stat st{};
  CLOCHE_TRY(
      outcome(raw_call(SYS_fstat, file.get(), &st), [&] { return fmt::format("fstat({})", file.get()); }));
  return st;
}

Result<struct stat> stat_at(int dirfd, const std::string& path, bool follow) {
  struct stat st{};
  CLOCHE_TRY(outcome(raw_call(SYS_newfstatat, dirfd, path.c_str(), &st, follow ? 0 : AT_SYMLINK_NOFOLLOW),
                     [&] { return fmt::format("fstatat({}, {})", dirfd_name(dirfd), in_quotes(path)); }));
  return st;
}

Result<std::string> read_link(int dirfd, const std::string& path) {
  std::string target(4096, '\0');
  const long length = raw_call(SYS_readlinkat, dirfd, path.c_str(), target.data(), target.size());
  CLOCHE_TRY(
      outcome(length, [&] { return fmt::format("readlinkat({}, {})", dirfd_name(dirfd), in_quotes(path)); }));
  target.resize(static_cast<size_t>(length));
  return target;
}

Result<std::string> real_path(const std::string& path) {
  char* found = ::realpath(path.c_str(), nullptr);
  if (found == nullptr) return fail(errno, fmt::format("realpath({})", in_quotes(path)));
  std::string copy = found;
  ::free(found);  // NOLINT: realpath(3) allocates so
  return copy;
}

Result<std::string> read_all(const Fd& file, const std::string& name, size_t limit) {
  std::string content;
  size_t room = 4096;
  for (;;) {
    const size_t have = content.size();
    content.resize(have + room);
    const long got = raw_call(SYS_read, file.get(), content.data() + have, room);
    if (got == -EINTR) {
      content.resize(have);
      continue;
    }
    CLOCHE_TRY(outcome(got, [&] { return fmt::format("read({})", in_quotes(name)); }));
    content.resize(have + static_cast<size_t>(got));
    if (got == 0) return content;
    if (content.size() > limit) return fail(EFBIG, fmt::format("read({})", in_quotes(name)));
    room = content.size() < 65536 ? 8192 : content.size();
  }
}

Result<std::string> read_regular_in_root(const Fd& root, const std::string& path, size_t limit) {
  const auto check = [&](const Fd& file) -> Result<> {
    CLOCHE_TRY_ASSIGN(st, stat_fd(file));
    if (S_ISREG(st.st_mode)) return {};
    return fail_because(fmt::format("{} is {}, not a regular file", path, kind_of(st.st_mode)));
  };
  CLOCHE_TRY_ASSIGN(place, open_in_root(root, path, O_PATH));
  CLOCHE_TRY(check(place));
  // Another one may be there by now: then it is opened without waiting, and not read.
  CLOCHE_TRY_ASSIGN(file, open_in_root(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY));
  CLOCHE_TRY(check(file));
  return read_all(file, path, limit);
}

Result<std::string> read_file(int dirfd, const std::string& path, size_t limit) {
  CLOCHE_TRY_ASSIGN(file, open_at(dirfd, path, O_RDONLY));
  return read_all(file, path, limit);
}

Result<> write_once(const Fd& file, std::string_view data, const std::string& name) {
  const auto call = [&] { return fmt::format("write({}, {})", in_quotes(name), in_quotes(data)); };
  const long wrote = raw_call(SYS_write, file.get(), data.data(), data.size());
  CLOCHE_TRY(outcome(wrote, call));
  if (static_cast<size_t>(wrote) != data.size()) return fail(EIO, call());
  return {};
}

Result<> write_file(int dirfd, const std::string& path, std::string_view data) {
  CLOCHE_TRY_ASSIGN(file, open_at(dirfd, path, O_WRONLY));
  return write_once(file, data, path);
}

Result<> create_file(int dirfd, const std::string& path, std::string_view data, mode_t mode) {
  CLOCHE_TRY_ASSIGN(file, open_at(dirfd, path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, mode));
  return write_once(file, data, path);
}

Result<int64_t> file_system_magic(const Fd& file) {
  struct statfs fs{};
  CLOCHE_TRY(outcome(raw_call(SYS_fstatfs, file.get(), &fs),
                     [&] { return fmt::format("fstatfs({})", file.get()); }));
  return static_cast<int64_t>(fs.f_type);
}

Result<int64_t> file_system_magic(const std::string& path) {
  struct statfs fs{};
  CLOCHE_TRY(outcome(raw_call(SYS_statfs, path.c_str(), &fs),
                     [&] { return fmt::format("statfs({})", in_quotes(path)); }));
  return static_cast<int64_t>(fs.f_type);
}

Result<bool> lock_file(const Fd& file, bool wait) {
  long locked = 0;
  do {
    locked = raw_call(SYS_flock, file.get(), wait ? LOCK_EX : LOCK_EX | LOCK_NB);
  } while (locked == -EINTR);
  if (locked == -EWOULDBLOCK) return false;
  CLOCHE_TRY(outcome(locked, [&] { return fmt::format("flock({}, LOCK_EX)", file.get()); }));
  return true;
}

Result<bool> leads_to(const std::string& path, const Fd& file) {
  CLOCHE_TRY_ASSIGN(held, stat_fd(file));
  const auto named = stat_at(AT_FDCWD, path, false);
  if (!named && named.error().code == ENOENT) return false;
  if (!named) return std::unexpected(named.error());
  return held.st_dev == named->st_dev && held.st_ino == named->st_ino;
}

Result<> close_range_from(unsigned first, bool only_mark_cloexec) {
  const unsigned flags = only_mark_cloexec ? CLOSE_RANGE_CLOEXEC : 0;
  return outcome(raw_call(SYS_close_range, first, ~0U, flags), [&] {
    return fmt::format("close_range({}, ~0, {})", first, only_mark_cloexec ? "CLOSE_RANGE_CLOEXEC" : "0");
  });
}

Result<> close_all_but(int first, std::vector<int> keep) {
  std::ranges::sort(keep);
  keep.push_back(std::numeric_limits<int>::max());
  for (const int next : keep) {
    if (next < first) continue;
    if (next > first)
      CLOCHE_TRY(outcome(raw_call(SYS_close_range, first, next - 1, 0),
                         [&] { return fmt::format("close_range({}, {})", first, next - 1); }));
    if (next < std::numeric_limits<int>::max()) first = next + 1;
  }
  return {};
}

Result<Fd> duplicate(const Fd& file) { return duplicate_from(file.get(), 3); }

Result<Fd> duplicate_from(int file, int least) {
  return owned(raw_call(SYS_fcntl, file, F_DUPFD_CLOEXEC, least),
               [&] { return fmt::format("fcntl({}, F_DUPFD_CLOEXEC)", file); });
}

Result<> duplicate_to(const Fd& file, int number) {
  const auto call = [&] { return fmt::format("dup2({}, {})", file.get(), number); };
  // dup3 onto itself is an error; there the flag is what must change.
  if (file.get() == number) return outcome(raw_call(SYS_fcntl, number, F_SETFD, 0), call);
  return outcome(raw_call(SYS_dup3, file.get(), number, 0), call);
}

Result<> fill_standard_descriptors() {
  for (int number = 0; number <= 2; ++number) {
    if (raw_call(SYS_fcntl, number, F_GETFD) >= 0) continue;
    // The lowest free number is this one.
    CLOCHE_TRY(outcome(raw_call(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR),
                       [] { return std::string("openat(AT_FDCWD, \"/dev/null\", O_RDWR)"); }));
  }
  return {};
}

Result<> change_directory(const Fd& directory) {
  return outcome(raw_call(SYS_fchdir, directory.get()),
                 [&] { return fmt::format("fchdir({})", directory.get()); });
}

Result<Fd> sealed_memory_file(const char* name, std::string_view content) {
  // MFD_EXEC (Linux 6.3) would be needed under vm.memfd_noexec; older kernels refuse the flag.
  constexpr unsigned kMfdExec = 0x10U;
  const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  long raw = raw_call(SYS_memfd_create, name, flags | kMfdExec);
  if (raw == -EINVAL) raw = raw_call(SYS_memfd_create, name, flags);
  CLOCHE_TRY_ASSIGN(file, owned(raw, [&] { return fmt::format("memfd_create({})", in_quotes(name)); }));
  CLOCHE_TRY(write_once(file, content, name));
  CLOCHE_TRY(outcome(
      raw_call(SYS_fcntl, file.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE),
      [&] { return fmt::format("fcntl({}, F_ADD_SEALS)", file.get()); }));
  return file;
}

}  // namespace cloche::sys
