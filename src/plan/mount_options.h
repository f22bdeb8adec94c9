// The options of an OCI mount, sorted by what the kernel calls them. Source: runtime-spec config.md "Linux
// mount options", mount_setattr(2), mount(8).
#pragma once

#include <expected>
#include <optional>
#include <string>

#include "plan/builder.h"

namespace cloche::plan {

struct MountOptions {
  bool bind = false, recursive = false;
  bool copy_up = false;  // tmpcopyup: a tmpfs begins as a copy of what it covers
  enum class Idmap { none, top, recursive } idmap = Idmap::none;
  // Words of mount_setattr: ro nosuid nodev noexec nosymfollow noatime relatime strictatime nodiratime.
  Strings attributes, cleared;
  Strings recursive_attributes, recursive_cleared;
  std::string propagation;  // as written: "rprivate"; empty: not said
  Strings data;             // the file system's own: "size=64k"
};

// The field names the mount for a refusal: "mounts[3]". `bind`: the mount's type says so already.
[[nodiscard]] std::expected<MountOptions, Refusal> parse_mount_options(const Strings& options,
                                                                       const std::string& field, bool bind);

}  // namespace cloche::plan
