// A container as criu must be told of it: what in it comes from outside.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/facts.h"
#include "sys/error.h"

namespace cloche::runtime {

// Places in the container where criu would look for a file system and finds a part of one that is the host's. In a user
// namespace also a whole one that the kernel makes anew only for the owner of another namespace, and that is the host's.
[[nodiscard]] std::vector<std::string> external_mounts(const std::vector<MountLine>& inside,
                                                       const std::vector<MountLine>& host,
                                                       bool user_namespace = false);

// A standard stream: where /proc/PID/fd/N leads, its mount (mnt_id), and of stat(2) inode, device and, of a character
// device, that device's number.
struct Stream {
  std::string_view link;
  int64_t mount = -1;
  uint64_t inode = 0, device = 0, character_device = 0;
};
// What it is to criu: "pipe:[7]", "socket:[7]", "tty[8800:15]", "file[1f:4]" where it leads out of the container's
// mounts; else empty. The other end of a terminal is outside wherever the terminal is.
[[nodiscard]] std::string outside_name(const Stream& stream, const std::vector<MountLine>& inside);

// The number after "mnt_id:" of a /proc/PID/fdinfo file, proc_pid_fdinfo(5); -1 where there is none.
[[nodiscard]] int64_t mount_of_descriptor(std::string_view fdinfo);

// descriptors.json beside the images, as runc and crun write it: what the first three descriptors are.
[[nodiscard]] std::string streams_to_json(const std::vector<std::string>& names);
// Only what can be given to criu as it is; "" for everything else.
sys::Result<std::vector<std::string>> streams_from_json(std::string_view json);

}  // namespace cloche::runtime
