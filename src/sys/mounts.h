// The new mount API, by descriptor: open_tree(2), fsopen(2), fsconfig(2), fsmount(2), move_mount(2),
// mount_setattr(2), all Linux 5.12 or older; pivot_root(2), umount2(2). Nothing here takes a path of a container.
#pragma once

#include <cstdint>
#include <string>

#include "sys/error.h"
#include "sys/fd.h"

namespace cloche::sys {

// A detached copy of the mount at `path` (of every mount below it too when `recursive`).
Result<Fd> clone_tree(int dirfd, const std::string& path, bool recursive, bool follow = true);
// The same of what a descriptor (O_PATH will do) names.
Result<Fd> clone_tree(const Fd& place, bool recursive);

// A file system being configured. Errors of fsconfig carry the kernel's own words from the context's log.
class FsContext {
 public:
  static Result<FsContext> open(const std::string& type);
  Result<> set_flag(const std::string& key);
  Result<> set_string(const std::string& key, const std::string& value);
  Result<> set_fd(const std::string& key, const Fd& value);
  Result<> create();
  // The new, detached mount; `attributes` are MOUNT_ATTR_*.
  Result<Fd> mount(uint64_t attributes);

 private:
  FsContext(Fd context, std::string type) : context_(std::move(context)), type_(std::move(type)) {}
  Result<> config(unsigned command, const char* command_name, const char* key, const void* value, int aux,
                  const std::string& shown);
  Fd context_;
  std::string type_;
};

// Attaches a detached mount (or moves an attached one) to what `target` names.
Result<> attach_mount(const Fd& mount, const Fd& target);
Result<> attach_mount(const Fd& mount, int dirfd, const std::string& path);

struct MountAttributes {
  uint64_t set = 0, clear = 0;  // MOUNT_ATTR_*
  uint64_t propagation = 0;  // MS_PRIVATE, MS_SLAVE, MS_SHARED, MS_UNBINDABLE or 0
  int user_namespace = -1;  // with MOUNT_ATTR_IDMAP
};
Result<> set_mount_attributes(const Fd& mount, const MountAttributes& attributes, bool recursive);
Result<> set_mount_attributes(int dirfd, const std::string& path, const MountAttributes& attributes,
                              bool recursive);

// The working directory becomes the root of the mount namespace, the old root is stacked below it and let go:
// pivot_root(".", ".") and umount2(".", MNT_DETACH), see pivot_root(2), "NOTES".
Result<> pivot_to_working_directory();
Result<> unmount(const std::string& path, int flags);

}  // namespace cloche::sys
