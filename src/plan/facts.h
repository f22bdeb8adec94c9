// What the planner must know of the host. Plain data: gathered by src/runtime/facts.cpp, written by hand in tests.
#pragma once

#include <algorithm>
#include <compare>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace cloche::plan {

struct KernelVersion {
  int major = 0, minor = 0;
  auto operator<=>(const KernelVersion&) const = default;
};

// A range of subordinate ids from /etc/subuid or /etc/subgid (subuid(5)).
struct IdRange {
  uint32_t first = 0, count = 0;
};

struct CgroupFacts {
  std::string mount;  // where cgroup2 is mounted; empty: nowhere
  std::vector<std::string>
      options;  // of that file system: "nsdelegate"; only asked for where they are needed
  std::string own;  // the caller's cgroup, as a path below that mount: "/" or "/user.slice/..."
  std::vector<std::string> controllers;  // cgroup.controllers where our cgroups would be made
  std::map<std::string, std::string> v1;  // controller -> mount point of its v1 hierarchy
  std::vector<std::string> handed_down;  // cgroup.subtree_control of `parent`
  uint32_t strangers = 0;  // processes in `parent` beside the caller
  bool parent_is_root =
      false;  // the root of the whole tree, which alone may have processes beside its children
  bool writable = false;  // the caller can make a cgroup in `parent`
  std::string parent;  // below the mount: where new cgroups go: "/" for root, else `own`

  // `parent` hands the controller down already, or nobody's process but the caller's own keeps it from doing so
  // (cgroups(7), "no internal processes").
  [[nodiscard]] bool can_hand_down(std::string_view controller) const {
    return parent_is_root || strangers == 0 ||
           std::ranges::find(handed_down, controller) != handed_down.end();
  }
};

// The service manager that starts scopes. Only gathered for systemd's cgroup driver.
struct SystemdFacts {
  bool user = false;  // the caller's own manager, not the system's
  int version = 0;  // 252
  std::string
      control_group;  // what it manages, below the cgroup2 mount: "/", "/user.slice/.../user@1000.service"
};

// One mount of the host's mount namespace.
struct HostMount {
  std::string target, type;
};

// One entry of the host's root directory.
struct RootEntry {
  std::string name;
  enum class Kind { directory, symlink, other } kind = Kind::other;
  std::string link;  // of a symlink
  uint32_t mode = 0, uid = 0;  // permission bits and owner
};

struct HostFacts {
  KernelVersion kernel;
  uint32_t uid = 0, gid = 0;
  std::string user, home;
  std::vector<uint32_t> other_groups;  // the caller's, beside gid
  // CAP_SYS_ADMIN in the user namespace that owns this machine's mounts: root in the ordinary sense.
  bool privileged = false;
  // CAP_SYS_ADMIN in the caller's own user namespace, whichever that is: what a rootless engine has that runs its
  // runtime inside a user namespace it made.
  bool namespace_admin = false;
  bool setgroups_denied = false;  // in the caller's user namespace, and so in all below it
  bool has_newuidmap = false, has_newgidmap = false;
  std::vector<IdRange> subuids, subgids;  // this user's; for root: a free range (see facts.cpp)
  CgroupFacts cgroup;
  SystemdFacts systemd;
  std::vector<HostMount> mounts;
  std::vector<RootEntry> root_entries;  // only gathered for the host image
  std::string runtime_dir;  // /run/cloche, or $XDG_RUNTIME_DIR/cloche: exists or can be made
  bool apparmor = false, selinux = false;
  std::string resctrl;  // where a resctrl file system is mounted; empty: nowhere
  bool sealed_program = false;  // the running program's file cannot be written by way of /proc/PID/exe
  uint32_t cpus = 1;
};

}  // namespace cloche::plan
