// Hosts for the planner's tests: what src/runtime/facts.cpp would say of typical machines.
#pragma once

#include "plan/facts.h"

namespace cloche::plan::test {

// Root on a machine with cgroup v2 alone.
inline HostFacts root_host() {
  using K = RootEntry::Kind;
  HostFacts host;
  host.kernel = {6, 1};
  host.user = "root";
  host.home = "/root";
  host.privileged = host.namespace_admin = true;
  host.subuids = host.subgids = {{524288, 65536}};
  host.cgroup = {.mount = "/sys/fs/cgroup",
                 .own = "/",
                 .controllers = {"cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma", "misc"},
                 .v1 = {},
                 .handed_down = {},
                 .parent_is_root = true,
                 .writable = true,
                 .parent = "/"};
  host.mounts = {
      {"/", "ext4"},        {"/proc", "proc"},      {"/sys", "sysfs"},         {"/dev", "devtmpfs"},
      {"/run", "tmpfs"},    {"/usr/local", "ext4"}, {"/usr/local/big", "xfs"}, {"/opt/tools", "nfs4"},
      {"/etc/key", "tmpfs"}};
  host.root_entries = {{"bin", K::symlink, "usr/bin"},
                       {"boot", K::directory, "", 0755, 0},
                       {"dev", K::directory, "", 0755, 0},
                       {"etc", K::directory, "", 0755, 0},
                       {"home", K::directory, "", 0755, 0},
                       {"initrd.img", K::symlink, "boot/initrd.img"},
                       {"lost+found", K::directory, "", 0700, 0},
                       {"media", K::directory, "", 0755, 0},
                       {"opt", K::directory, "", 0755, 0},
                       {"proc", K::directory, "", 0555, 0},
                       {"root", K::directory, "", 0700, 0},
                       {"run", K::directory, "", 0755, 0},
                       {"srv", K::directory, "", 0750, 0},
                       {"swapfile", K::other, "", 0600, 0},
                       {"sys", K::directory, "", 0555, 0},
                       {"tmp", K::directory, "", 01777, 0},
                       {"usr", K::directory, "", 0755, 0},
                       {"var", K::directory, "", 0755, 0}};
  host.runtime_dir = "/run/cloche";
  host.apparmor = true;
  host.cpus = 4;
  return host;
}

// The same machine for an ordinary user with subordinate ids and a delegated cgroup without controllers.
inline HostFacts user_host() {
  HostFacts host = root_host();
  host.uid = host.gid = 1000;
  host.user = "ann";
  host.home = "/home/ann";
  host.privileged = host.namespace_admin = false;
  host.has_newuidmap = host.has_newgidmap = true;
  host.subuids = host.subgids = {{100000, 65536}};
  host.cgroup.parent_is_root = false;
  host.cgroup.own = host.cgroup.parent = "/user.slice/user-1000.slice/user@1000.service/user.slice";
  host.cgroup.controllers = {};
  host.runtime_dir = "/run/user/1000/cloche";
  return host;
}

// A rootless engine that runs its runtime as root of a user namespace of its own.
inline HostFacts engine_namespace_host() {
  HostFacts host = user_host();
  host.uid = host.gid = 0;
  host.namespace_admin = true;
  return host;
}

// Root on a machine that keeps its controllers on v1, with an empty v2 tree beside them.
inline HostFacts hybrid_host() {
  HostFacts host = root_host();
  host.cgroup.mount = "/sys/fs/cgroup/unified";
  host.cgroup.controllers = {"hugetlb"};
  host.cgroup.v1 = {
      {"memory", "/sys/fs/cgroup/memory"}, {"pids", "/sys/fs/cgroup/pids"}, {"io", "/sys/fs/cgroup/blkio"}};
  host.apparmor = false;
  return host;
}

}  // namespace cloche::plan::test
