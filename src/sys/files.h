// Files and directories by descriptor. Every path below a container's root is resolved by `open_in_root`.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sys/error.h"
#include "sys/fd.h"

namespace cloche::sys {

// open(2) of a path of the host; O_CLOEXEC is always added. dirfd AT_FDCWD or a directory.
Result<Fd> open_at(int dirfd, const std::string& path, int flags, mode_t mode = 0);

// openat2(2) with RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS (Linux 5.6): `path` is resolved as if `root` were "/",
// whatever symbolic links it holds. EAGAIN (a rename raced with the resolution) is retried a bounded number of
// times. O_CLOEXEC is always added. There is no fallback for kernels without openat2.
Result<Fd> open_in_root(const Fd& root, std::string_view path, int flags, mode_t mode = 0);

// The same with RESOLVE_NO_SYMLINKS: ELOOP where a part of the path is a symbolic link.
Result<Fd> open_in_root_plainly(const Fd& root, std::string_view path, int flags);

// The directory `path` below `root`, made with `mode` where parts of it are missing. Errors: ENOTDIR where a part
// is a file, EROFS, ENOSPC, ELOOP.
Result<Fd> make_directory_in_root(const Fd& root, std::string_view path, mode_t mode);
// The same for an empty regular file as a mount point; its parents are made as directories (0755).
Result<Fd> make_file_in_root(const Fd& root, std::string_view path, mode_t mode);

Result<> make_directory(int dirfd, const std::string& path, mode_t mode);
// mkdir -p on a path of the host.
Result<> make_directories(const std::string& path, mode_t mode);
Result<> make_node(int dirfd, const std::string& name, mode_t type_and_mode, dev_t device);
Result<> make_symlink(const std::string& target, int dirfd, const std::string& name);
Result<> remove_at(int dirfd, const std::string& path, int flags = 0);
Result<> rename_at(int dirfd, const std::string& from, const std::string& to);
// EEXIST where there is something of that name: nothing is replaced.
Result<> rename_new_at(int dirfd, const std::string& from, const std::string& to);
Result<> change_owner(int dirfd, const std::string& path, uid_t uid, gid_t gid);
Result<> change_mode(const Fd& file, mode_t mode);
Result<struct stat> stat_fd(const Fd& file);
// fstatat with AT_SYMLINK_NOFOLLOW unless `follow`.
Result<struct stat> stat_at(int dirfd, const std::string& path, bool follow = true);
Result<std::string> read_link(int dirfd, const std::string& path);
// Absolute, without links and dots: realpath(3). What is asked for must be there.
Result<std::string> real_path(const std::string& path);

// Whole small files. The limit bounds memory: a longer file is EFBIG.
Result<std::string> read_file(int dirfd, const std::string& path, size_t limit = 1 << 20);
Result<std::string> read_all(const Fd& file, const std::string& name, size_t limit = 1 << 20);
// A file that an image may have made anything of: resolved inside of `root`, and looked at before it is opened. What is
// no regular file (a FIFO would block, a device may act) is an error of one sentence.
Result<std::string> read_regular_in_root(const Fd& root, const std::string& path, size_t limit = 1 << 20);
// One write(2): for /proc, cgroup and state files. A short write is EIO.
Result<> write_file(int dirfd, const std::string& path, std::string_view data);
// Creates (or truncates) the file, then one write.
Result<> create_file(int dirfd, const std::string& path, std::string_view data, mode_t mode);
Result<> write_once(const Fd& file, std::string_view data, const std::string& name);

// File system type of what the descriptor names: the magic numbers of statfs(2).
Result<int64_t> file_system_magic(const Fd& file);
Result<int64_t> file_system_magic(const std::string& path);

// flock(2), exclusive; the lock ends with the open file. False: somebody else has it, and `wait` is not asked for.
Result<bool> lock_file(const Fd& file, bool wait);
// Whether the path leads to what is open here: who waited for a lock may hold that of a thing removed meanwhile.
Result<bool> leads_to(const std::string& path, const Fd& file);

Result<> close_range_from(unsigned first, bool only_mark_cloexec = false);
// Closes every descriptor from `first` on but those in `keep`.
Result<> close_all_but(int first, std::vector<int> keep);
Result<Fd> duplicate(const Fd& file);
// The lowest free number from `least` on.
Result<Fd> duplicate_from(int file, int least);
// dup2 to a fixed number, without close-on-exec there: for descriptors 0, 1 and 2.
Result<> duplicate_to(const Fd& file, int number);
// Opens /dev/null on each of descriptors 0, 1 and 2 that is closed: what is opened next would be taken for it.
Result<> fill_standard_descriptors();
Result<> change_directory(const Fd& directory);
// memfd_create(2), sealed against every change after `content` is in it.
Result<Fd> sealed_memory_file(const char* name, std::string_view content);

}  // namespace cloche::sys
