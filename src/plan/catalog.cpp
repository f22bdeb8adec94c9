#include "plan/catalog.h"

#include <array>
#include <utility>

namespace cloche::plan {
namespace {

using enum Privilege;
using P = Primitive;

template <class A>
consteval Entry no_such_row() {
  static_assert(sizeof(A) == 0, "this action has no row in the catalog");
  return {};
}

// A row per action. The version is that of the first kernel with all the step uses; {0, 0} where every kernel of the
// last decade has it.
template <class A>
constexpr Entry row = no_such_row<A>();

// clang-format off
template <> constexpr Entry row<CreateCgroup> = {"create-cgroup", P::cgroup, "mkdir", "cgroups(7)", {4, 5}, delegated_cgroup};
template <> constexpr Entry row<LeaveCgroup> = {"leave-cgroup", P::cgroup, "cgroup.procs", "cgroups(7)", {4, 5}, delegated_cgroup};
template <> constexpr Entry row<EnableControllers> = {"enable-controllers", P::cgroup, "cgroup.subtree_control", "cgroups(7)", {4, 5}, delegated_cgroup};
template <> constexpr Entry row<WriteCgroup> = {"write-cgroup", P::cgroup, "write", "cgroups(7)", {4, 5}, delegated_cgroup};
template <> constexpr Entry row<LimitDevices> = {"limit-devices", P::device_policy, "bpf", "bpf(2)", {4, 15}, host_root};

template <> constexpr Entry row<StartScope> = {"start-scope", P::cgroup, "StartTransientUnit", "org.freedesktop.systemd1(5)", {4, 5}, delegated_cgroup};
template <> constexpr Entry row<EnterScope> = {"enter-scope", P::cgroup, "cgroup.procs", "cgroups(7)", {4, 5}, host_root};
template <> constexpr Entry row<AttachToScope> = {"attach-to-scope", P::cgroup, "AttachProcessesToUnit", "org.freedesktop.systemd1(5)", {4, 5}, delegated_cgroup};
template <> constexpr Entry row<SetScopeProperties> = {"set-scope-properties", P::cgroup, "SetUnitProperties", "org.freedesktop.systemd1(5)", {4, 5}, delegated_cgroup};

template <> constexpr Entry row<CloneProcess> = {"clone", P::namespaces, "clone3", "clone(2)", {5, 7}, none};
template <> constexpr Entry row<RestoreProcesses> = {"restore-processes", P::process, "criu restore", "criu(8)", {}, host_root};
template <> constexpr Entry row<FinishRestore> = {"finish-restore", P::process, "criu restore", "criu(8)", {}, host_root};
template <> constexpr Entry row<DenySetgroups> = {"deny-setgroups", P::id_map, "/proc/PID/setgroups", "user_namespaces(7)", {3, 19}, none};
template <> constexpr Entry row<WriteIdMap> = {"write-id-map", P::id_map, "/proc/PID/uid_map, gid_map", "user_namespaces(7)", {3, 8}, none};
template <> constexpr Entry row<GiveStreams> = {"give-streams", P::process, "fchown", "chown(2)", {}, host_root};
template <> constexpr Entry row<JoinNamespace> = {"join-namespace", P::namespaces, "setns", "setns(2)", {3, 8}, host_root};
template <> constexpr Entry row<UnshareNamespace> = {"unshare-namespace", P::namespaces, "unshare", "cgroup_namespaces(7)", {4, 6}, container_root};
template <> constexpr Entry row<EnterTimeNamespace> = {"enter-time-namespace", P::namespaces, "unshare", "time_namespaces(7)", {5, 6}, container_root};
template <> constexpr Entry row<BecomeRoot> = {"become-root", P::id_map, "setresuid", "user_namespaces(7)", {}, container_root};
template <> constexpr Entry row<SetHostname> = {"set-hostname", P::namespaces, "sethostname", "uts_namespaces(7)", {}, container_root};
template <> constexpr Entry row<SetDomainname> = {"set-domainname", P::namespaces, "setdomainname", "uts_namespaces(7)", {}, container_root};
template <> constexpr Entry row<LoopbackUp> = {"loopback-up", P::network, "ioctl(SIOCSIFFLAGS)", "netdevice(7)", {}, container_root};
template <> constexpr Entry row<MoveNetDevice> = {"move-net-device", P::network, "RTM_NEWLINK", "rtnetlink(7)", {}, host_root};
template <> constexpr Entry row<WriteSysctl> = {"write-sysctl", P::sysctl, "write", "proc(5)", {}, container_root};

template <> constexpr Entry row<SetPropagation> = {"set-propagation", P::mount, "mount_setattr", "mount_namespaces(7)", {5, 12}, container_root};
template <> constexpr Entry row<OpenTree> = {"open-tree", P::mount, "open_tree", "open_tree(2)", {5, 2}, host_root};
template <> constexpr Entry row<IdmapTree> = {"idmap-tree", P::id_map, "mount_setattr", "mount_setattr(2)", {5, 12}, host_root};
template <> constexpr Entry row<BindRoot> = {"bind-root", P::root, "open_tree", "open_tree(2)", {5, 2}, container_root};
template <> constexpr Entry row<TmpfsRoot> = {"tmpfs-root", P::root, "fsmount", "tmpfs(5)", {5, 2}, container_root};
template <> constexpr Entry row<MountScratch> = {"mount-scratch", P::overlay, "fsmount", "tmpfs(5)", {5, 2}, container_root};
template <> constexpr Entry row<MountOverlay> = {"mount-overlay", P::overlay, "fsmount", "mount(8)", {5, 11}, container_root};
template <> constexpr Entry row<MountFs> = {"mount", P::mount, "fsmount", "fsmount(2)", {5, 2}, container_root};
template <> constexpr Entry row<BindMount> = {"bind-mount", P::mount, "open_tree", "mount_setattr(2)", {5, 12}, container_root};
template <> constexpr Entry row<MakeDevice> = {"make-device", P::device, "mknod", "mknod(2)", {}, container_root};
template <> constexpr Entry row<MakeSymlink> = {"make-symlink", P::root, "symlink", "symlink(2)", {}, container_root};
template <> constexpr Entry row<MakeDirectory> = {"make-directory", P::root, "mkdir", "mkdir(2)", {}, container_root};
template <> constexpr Entry row<MaskPath> = {"mask-path", P::mount, "move_mount", "move_mount(2)", {5, 2}, container_root};
template <> constexpr Entry row<ReadonlyPath> = {"readonly-path", P::mount, "mount_setattr", "mount_setattr(2)", {5, 12}, container_root};
template <> constexpr Entry row<PivotRoot> = {"pivot-root", P::root, "pivot_root", "pivot_root(2)", {}, container_root};
template <> constexpr Entry row<RootReadonly> = {"root-readonly", P::root, "mount_setattr", "mount_setattr(2)", {5, 12}, container_root};
template <> constexpr Entry row<RootPropagation> = {"root-propagation", P::root, "mount_setattr", "mount_namespaces(7)", {5, 12}, container_root};

template <> constexpr Entry row<ResetSignals> = {"reset-signals", P::process, "rt_sigaction", "signal(7)", {}, none};
template <> constexpr Entry row<NewSession> = {"new-session", P::process, "setsid", "setsid(2)", {}, none};
template <> constexpr Entry row<NewKeyring> = {"new-keyring", P::process, "keyctl", "session-keyring(7)", {}, none};
template <> constexpr Entry row<OpenTerminal> = {"open-terminal", P::terminal, "open(/dev/pts/ptmx)", "pty(7)", {}, none};
template <> constexpr Entry row<SetRlimit> = {"set-rlimit", P::rlimit, "prlimit", "prlimit(2)", {}, none};
template <> constexpr Entry row<SetOomScore> = {"set-oom-score", P::process, "/proc/self/oom_score_adj", "proc(5)", {}, none};
template <> constexpr Entry row<SetPersonality> = {"set-personality", P::process, "personality", "personality(2)", {}, none};
template <> constexpr Entry row<SetScheduler> = {"set-scheduler", P::process, "sched_setattr", "sched_setattr(2)", {3, 14}, none};
template <> constexpr Entry row<SetIoPriority> = {"set-io-priority", P::process, "ioprio_set", "ioprio_set(2)", {}, none};
template <> constexpr Entry row<SetExecLabel> = {"set-exec-label", P::lsm, "/proc/self/attr/exec", "proc(5)", {}, none};
template <> constexpr Entry row<LimitBoundingSet> = {"limit-bounding-set", P::capabilities, "prctl(PR_CAPBSET_DROP)", "capabilities(7)", {}, container_root};
template <> constexpr Entry row<SetUser> = {"set-user", P::process, "setresuid", "credentials(7)", {}, container_root};
template <> constexpr Entry row<SetCapabilities> = {"set-capabilities", P::capabilities, "capset", "capabilities(7)", {4, 3}, none};
template <> constexpr Entry row<DieWithCaller> = {"die-with-caller", P::process, "prctl(PR_SET_PDEATHSIG)", "prctl(2)", {}, none};
template <> constexpr Entry row<NoNewPrivileges> = {"no-new-privileges", P::no_new_privs, "prctl(PR_SET_NO_NEW_PRIVS)", "prctl(2)", {3, 5}, none};
template <> constexpr Entry row<LoadSeccomp> = {"load-seccomp", P::seccomp, "seccomp", "seccomp(2)", {3, 17}, none};
template <> constexpr Entry row<ConnectListener> = {"connect-listener", P::seccomp, "connect", "seccomp_unotify(2)", {5, 5}, none};
template <> constexpr Entry row<ChangeDirectory> = {"change-directory", P::process, "chdir", "chdir(2)", {}, none};
template <> constexpr Entry row<CloseDescriptors> = {"close-descriptors", P::process, "close_range", "close_range(2)", {5, 11}, none};
template <> constexpr Entry row<RunHooks> = {"run-hooks", P::hook, "execve", "execve(2)", {}, none};
template <> constexpr Entry row<AwaitStart> = {"await-start", P::exec, "read", "fifo(7)", {}, none};
template <> constexpr Entry row<FindCommand> = {"find-command", P::exec, "openat2", "openat2(2)", {5, 6}, none};
template <> constexpr Entry row<Execute> = {"execute", P::exec, "execve", "execve(2)", {}, none};

template <> constexpr Entry row<MakeResctrlGroup> = {"make-resctrl-group", P::resctrl, "mkdir", "mkdir(2)", {4, 10}, host_root};
template <> constexpr Entry row<WriteSchemata> = {"write-schemata", P::resctrl, "write", "write(2)", {4, 10}, host_root};
template <> constexpr Entry row<JoinResctrlGroup> = {"join-resctrl-group", P::resctrl, "write", "write(2)", {4, 10}, host_root};
template <> constexpr Entry row<SetMemoryPolicy> = {"set-memory-policy", P::process, "set_mempolicy", "set_mempolicy(2)", {}, none};
template <> constexpr Entry row<SetAffinity> = {"set-affinity", P::process, "sched_setaffinity", "sched_setaffinity(2)", {}, none};
// clang-format on

template <size_t... I>
constexpr auto make_table(std::index_sequence<I...>) {
  return std::array<Entry, sizeof...(I)>{row<std::variant_alternative_t<I, AnyAction>>...};
}

constexpr auto table = make_table(std::make_index_sequence<std::variant_size_v<AnyAction>>{});

constexpr bool kinds_are_unique() {
  for (size_t i = 0; i < table.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (table[i].kind == table[j].kind) return false;
    }
  }
  return true;
}
static_assert(kinds_are_unique(), "two actions share a kind");

}  // namespace

const Entry& entry(const Action& action) { return table[action.index()]; }

std::string_view name(Primitive primitive) {
  switch (primitive) {
    case Primitive::cgroup:
      return "cgroup";
    case Primitive::device_policy:
      return "device-policy";
    case Primitive::namespaces:
      return "namespaces";
    case Primitive::id_map:
      return "id-map";
    case Primitive::mount:
      return "mount";
    case Primitive::overlay:
      return "overlay";
    case Primitive::root:
      return "root";
    case Primitive::device:
      return "device";
    case Primitive::network:
      return "network";
    case Primitive::sysctl:
      return "sysctl";
    case Primitive::process:
      return "process";
    case Primitive::terminal:
      return "terminal";
    case Primitive::rlimit:
      return "rlimit";
    case Primitive::capabilities:
      return "capabilities";
    case Primitive::no_new_privs:
      return "no-new-privs";
    case Primitive::seccomp:
      return "seccomp";
    case Primitive::lsm:
      return "lsm";
    case Primitive::hook:
      return "hook";
    case Primitive::exec:
      return "exec";
    case Primitive::resctrl:
      return "resctrl";
  }
  return "unknown";
}

std::string_view name(Privilege privilege) {
  switch (privilege) {
    case Privilege::none:
      return "none";
    case Privilege::container_root:
      return "container-root";
    case Privilege::host_root:
      return "host-root";
    case Privilege::delegated_cgroup:
      return "delegated-cgroup";
  }
  return "unknown";
}

}  // namespace cloche::plan
