// Asks the host what the planner must know of it. Only what a request needs is asked: cloche-runtime's start stays
// at a handful of system calls.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "plan/facts.h"
#include "plan/planner.h"
#include "sys/error.h"

namespace cloche::runtime {

struct FactsWanted {
  bool ids = false;  // subordinate ids, the map helpers, the user's name and home
  bool controllers =
      false;  // for limits: cgroup.controllers, who else is in the cgroup, where the others are on v1
  bool modules = false;  // AppArmor, SELinux
  bool mounts = false;  // the host's mounts and the entries of its root: for the image "host"
  bool resctrl = false;  // where a resctrl file system is mounted
  bool cgroup_options = false;  // the cgroup2 file system's: for a mount of it in the host's cgroup namespace
  bool systemd = false;  // the manager that starts scopes: root's or the caller's own. None is an error

  static FactsWanted everything() { return {true, true, true, true, true, true, false}; }
};
// What planning this request will look at.
[[nodiscard]] FactsWanted wanted_for(const spec::Spec& spec, bool host_image);

// Errors: /proc unreadable. What a host simply does not have is no error but an empty fact.
sys::Result<plan::HostFacts> gather_facts(const FactsWanted& wanted);

// /run/cloche for root, else $XDG_RUNTIME_DIR/cloche, else /tmp/cloche-UID.
[[nodiscard]] std::string runtime_directory(bool root, uint32_t uid, const char* xdg_runtime_dir);

// ---- the texts that facts are read from -------------------------------------------------------------------------

// "6.1.0-18-amd64" of uname(2).
[[nodiscard]] plan::KernelVersion parse_release(std::string_view release);

// The whole range of ids maps to itself: the initial user namespace, or one that hides nothing.
[[nodiscard]] bool is_identity_map(std::string_view uid_map);

struct PasswdEntry {
  std::string name, home;
};
// The line of passwd(5) for this uid; empty when there is none.
[[nodiscard]] PasswdEntry find_user(std::string_view passwd, uint32_t uid);

// Lines of subuid(5) for the user, by name or by number. Malformed lines are skipped, as newuidmap does.
[[nodiscard]] std::vector<plan::IdRange> parse_subids(std::string_view text, std::string_view user,
                                                      uint32_t uid);
// For root, who needs no entry: that of "root" or "cloche" if any, else the first 65536 ids, aligned, from 524288 on
// (systemd's range for containers, uid-gid documentation) that no entry overlaps.
[[nodiscard]] std::vector<plan::IdRange> root_subids(std::string_view text);

// The path of the "0::" line of /proc/self/cgroup; empty when there is none.
[[nodiscard]] std::string parse_own_cgroup(std::string_view text);

// One line of /proc/PID/mountinfo, proc_pid_mountinfo(5).
struct MountLine {
  int64_t id = 0;
  std::string device;  // "0:5"
  std::string root, target, type;
  std::string options;  // the file system's
};
[[nodiscard]] std::vector<MountLine> parse_mount_lines(std::string_view mountinfo);

struct MountTable {
  std::vector<plan::HostMount> mounts;
  std::string cgroup2;  // the first cgroup2 mount
  std::vector<std::string> cgroup2_options;  // of its file system: "rw", "nsdelegate"
  std::string resctrl;  // the first resctrl mount
  std::map<std::string, std::string> v1;  // controller, by its v2 name -> mount point
};
// Of /proc/self/mountinfo.
[[nodiscard]] MountTable parse_mountinfo(std::string_view text);

// Spaces, tabs, newlines and backslashes are octal in mountinfo.
[[nodiscard]] std::string unescaped_mount_path(std::string_view text);

[[nodiscard]] std::vector<std::string> words_of(std::string_view text);

}  // namespace cloche::runtime
