// What a person asks of `cloche run`, as plain data: each value still as it was typed, so that an error can show it.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace cloche::engine {

using Strings = std::vector<std::string>;

struct RunOptions {
  std::string image;  // "host"
  Strings command;
  std::string name, hostname;
  bool interactive = false, terminal = false, init = false, read_only = false;
  bool remove = true;  // --rm: a foreground container is always removed

  // Limits (docs/run.md holds the table of flag and cgroup file). Empty: not asked for.
  std::string memory, memory_high, memory_low, memory_swap;
  std::string cpus, cpu_weight, cpuset_cpus, cpuset_mems, pids_limit, io_weight;
  Strings io_max, io_latency;  // "8:0 rbps=1M"
  Strings cgroup_conf;  // KEY=VALUE, any file of the cgroup
  std::string cgroup_parent;

  // Namespaces: "new", "host" or "path:/proc/PID/ns/..."; empty is new.
  std::string pid, network, ipc, uts, user, cgroup, time, mount;
  Strings time_offsets;  // "monotonic=3600", "boottime=-60"
  Strings uid_map, gid_map;  // CONTAINER:HOST:SIZE

  // The process.
  std::optional<std::string> run_as;  // "" is wrong: a variable of the caller's that was not set
  std::string workdir, umask;
  Strings groups, env, env_files, ulimits, sysctls;
  std::optional<int> oom_score_adj;

  // Files.
  Strings volumes, mounts, tmpfs, devices, device_rules, shown;
  std::string scratch_size;

  // Restrictions.
  Strings cap_add, cap_drop, mask, unmask;
  std::string seccomp = "default";  // "default", "unconfined" or a file
  bool new_privileges = false;  // --new-privileges: leave no_new_privs off
};

}  // namespace cloche::engine
