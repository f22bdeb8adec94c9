#include "sys/contents.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "sys/call.h"
#include "sys/flags.h"
#include "sys/outcome.h"

namespace cloche::sys {
namespace {

// One stretch of data. A copy that ends early met a file that became shorter meanwhile.
Result<> copy_range(const Fd& from, const Fd& to, off_t begin, off_t end) {
  CLOCHE_TRY(outcome(raw_call(SYS_lseek, to.get(), begin, SEEK_SET),
                     [&] { return fmt::format("lseek({}, {}, SEEK_SET)", to.get(), begin); }));
  off_t at = begin;
  while (at < end) {
    const long sent = raw_call(SYS_sendfile, to.get(), from.get(), &at, end - at);
    if (sent == -EINTR) continue;
    CLOCHE_TRY(outcome(sent, [&] { return fmt::format("sendfile({}, {})", to.get(), from.get()); }));
    if (sent == 0) return {};
  }
  return {};
}

}  // namespace

Result<std::vector<std::string>> list_directory(const Fd& directory) {
  std::vector<std::string> names;
  alignas(dirent64) std::array<char, 32768> buffer;
  for (;;) {
    const long got = raw_call(SYS_getdents64, directory.get(), buffer.data(), buffer.size());
    CLOCHE_TRY(outcome(got, [&] { return fmt::format("getdents64({})", directory.get()); }));
    if (got == 0) return names;
    for (long at = 0; at < got;) {
      const auto* entry =
          reinterpret_cast<const dirent64*>(buffer.data() + at);  // NOLINT: as the kernel packs it
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
      at += entry->d_reclen;
    }
  }
}

Result<> copy_content(const Fd& from, const Fd& to) {
  const long size = raw_call(SYS_lseek, from.get(), 0, SEEK_END);
  CLOCHE_TRY(outcome(size, [&] { return fmt::format("lseek({}, 0, SEEK_END)", from.get()); }));
  for (off_t at = 0; at < size;) {
    const long data = raw_call(SYS_lseek, from.get(), at, SEEK_DATA);
    if (data == -ENXIO) break;  // a hole up to the end
    CLOCHE_TRY(outcome(data, [&] { return fmt::format("lseek({}, {}, SEEK_DATA)", from.get(), at); }));
    const long hole = raw_call(SYS_lseek, from.get(), data, SEEK_HOLE);
    CLOCHE_TRY(outcome(hole, [&] { return fmt::format("lseek({}, {}, SEEK_HOLE)", from.get(), data); }));
    CLOCHE_TRY(copy_range(from, to, data, hole));
    at = hole;
  }
  return outcome(raw_call(SYS_ftruncate, to.get(), size),
                 [&] { return fmt::format("ftruncate({}, {})", to.get(), size); });
}

Result<> set_times(int dirfd, const std::string& name, const struct stat& like) {
  const std::array<timespec, 2> times{like.st_atim, like.st_mtim};
  const long raw = name.empty()
                       ? raw_call(SYS_utimensat, dirfd, nullptr, times.data(), 0)
                       : raw_call(SYS_utimensat, dirfd, name.c_str(), times.data(), AT_SYMLINK_NOFOLLOW);
  return outcome(raw, [&] { return fmt::format("utimensat({}, {})", dirfd_name(dirfd), in_quotes(name)); });
}

Result<std::vector<std::string>> list_attributes(const Fd& file) {
  std::string buffer(XATTR_LIST_MAX, '\0');
  const long got = raw_call(SYS_flistxattr, file.get(), buffer.data(), buffer.size());
  if (got == -EOPNOTSUPP) return std::vector<std::string>();
  CLOCHE_TRY(outcome(got, [&] { return fmt::format("flistxattr({})", file.get()); }));
  std::vector<std::string> names;
  for (long at = 0; at < got; at += static_cast<long>(names.back().size()) + 1)
    names.emplace_back(buffer.data() + at);
  return names;
}

Result<std::string> get_attribute(const Fd& file, const std::string& name) {
  std::string value(XATTR_SIZE_MAX, '\0');
  const long got = raw_call(SYS_fgetxattr, file.get(), name.c_str(), value.data(), value.size());
  CLOCHE_TRY(outcome(got, [&] { return fmt::format("fgetxattr({}, {})", file.get(), in_quotes(name)); }));
  value.resize(static_cast<size_t>(got));
  return value;
}

Result<> set_attribute(const Fd& file, const std::string& name, std::string_view value) {
  return outcome(raw_call(SYS_fsetxattr, file.get(), name.c_str(), value.data(), value.size(), 0), [&] {
    return fmt::format("fsetxattr({}, {}, {})", file.get(), in_quotes(name), in_quotes(value));
  });
}

}  // namespace cloche::sys
