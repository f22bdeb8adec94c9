// The closed set of things Cloche does to make a container. A step is one kernel primitive used once, as plain
// data; the planner orders steps, and every reader (executor, recorder, explainer, script, undo) walks that one
// list. To add a step: an action here, its row in catalog.cpp, its verb on one side in src/runtime/, its line in
// script.cpp. Member names appear in `explain --format json`.
#pragma once

#include <boost/describe.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "spec/runtime.h"

namespace cloche::plan {

using Strings = std::vector<std::string>;

// ---- cgroup v2: cgroups(7), Documentation/admin-guide/cgroup-v2.rst --------------------------------------------

// mkdir of a new cgroup. `path` is absolute, below the cgroup2 mount; missing parents are made too.
struct CreateCgroup {
  std::string path;
};
BOOST_DESCRIBE_STRUCT(CreateCgroup, (), (path))

// "+memory +pids" into cgroup.subtree_control of every cgroup from `from` down to the parent of `cgroup`. `only_count`:
// no limit needs them, they are there to tell what is used, and what is refused is left out.
struct EnableControllers {
  std::string from, cgroup;
  Strings controllers;
  bool only_count = false;
};
BOOST_DESCRIBE_STRUCT(EnableControllers, (), (from, cgroup, controllers, only_count))

// The calling process moves from its cgroup into a leaf below it: a cgroup that has processes hands no controller down
// (cgroups(7), "no internal processes").
struct LeaveCgroup {
  std::string leaf;
};
BOOST_DESCRIBE_STRUCT(LeaveCgroup, (), (leaf))

// One value into one file of the cgroup. `bfq`: the same for io.bfq.weight, beside io.weight. A disk is shared out by the
// one where the kernel's cost model is on for it, by the other where BFQ is its scheduler, and either file may be
// missing, or refuse the disk: one that takes its value is enough.
inline constexpr char kBfqWeight[] = "io.bfq.weight";
struct WriteCgroup {
  std::string cgroup, file, value;
  std::optional<std::string> bfq;
};
BOOST_DESCRIBE_STRUCT(WriteCgroup, (), (cgroup, file, value, bfq))

// A BPF program on the cgroup that decides every open and mknod of a device (BPF_PROG_TYPE_CGROUP_DEVICE).
struct LimitDevices {
  std::string cgroup;
  std::vector<spec::DeviceCgroup> rules;
};
BOOST_DESCRIBE_STRUCT(LimitDevices, (), (cgroup, rules))

// ---- systemd's cgroup driver: org.freedesktop.systemd1(5), systemd.scope(5), systemd.resource-control(5) --------

// One property of a unit. `type` is how the value is sent: string, bool, int32, uint32, uint64 ("max" is all ones),
// cpus (a list, "0-3,5", sent as a bitmap).
struct UnitProperty {
  std::string name, type, value;
};
BOOST_DESCRIBE_STRUCT(UnitProperty, (), (name, type, value))

// StartTransientUnit of a scope for the container's first process, which waits meanwhile; done when systemd's job is.
// `cgroup` is where the scope is (absolute). `user`: by the caller's own manager. `placeholder`: the container has no
// process yet, and systemd starts no scope without one: it is a process of ours that only waits, until EnterScope.
struct StartScope {
  std::string unit, slice, cgroup;
  bool user = false;
  std::vector<UnitProperty> properties;
  bool placeholder = false;
};
BOOST_DESCRIBE_STRUCT(StartScope, (), (unit, slice, cgroup, user, properties, placeholder))

// The container's first process moves into the scope that was started without it, and the placeholder ends: in that
// order, since a scope without a process is gone.
struct EnterScope {
  std::string unit, cgroup;
};
BOOST_DESCRIBE_STRUCT(EnterScope, (), (unit, cgroup))

// AttachProcessesToUnit: the manager moves the new process into the scope, where the caller itself may not.
struct AttachToScope {
  std::string unit, cgroup;
  bool user = false;
};
BOOST_DESCRIBE_STRUCT(AttachToScope, (), (unit, cgroup, user))

// SetUnitProperties until the next boot: limits of a scope that runs; done when systemd has written its cgroup's files.
struct SetScopeProperties {
  std::string unit;
  bool user = false;
  std::vector<UnitProperty> properties;
};
BOOST_DESCRIBE_STRUCT(SetScopeProperties, (), (unit, user, properties))

// ---- resctrl: Documentation/filesystems/resctrl.rst --------------------------------------------------------------

// A group whose processes share caches and memory bandwidth; a directory below a mounted resctrl file system. `how`:
// "new" (made, must not be there, goes with the container), "shared" (made where missing, stays), "existing".
struct MakeResctrlGroup {
  std::string path, how;
};
BOOST_DESCRIBE_STRUCT(MakeResctrlGroup, (), (path, how))
// Lines of the group's schemata: written when the plan made the group, else compared with what is there.
struct WriteSchemata {
  std::string group;
  Strings lines;
};
BOOST_DESCRIBE_STRUCT(WriteSchemata, (), (group, lines))
// The container's process goes into the group, and what it starts with it.
struct JoinResctrlGroup {
  std::string group;
};
BOOST_DESCRIBE_STRUCT(JoinResctrlGroup, (), (group))

// ---- namespaces and ids: namespaces(7), user_namespaces(7), time_namespaces(7) ----------------------------------

// clone3(2) of the container's first process, into new namespaces and its cgroup at once. `namespaces` uses the
// OCI words (mount pid uts ipc network user). Where a user, pid or time namespace is joined, or with `exec`, a
// short-lived process joins first and clones from there (CLONE_PARENT), so that the caller itself never moves.
struct CloneProcess {
  Strings namespaces;
  std::string cgroup;  // empty: the caller's
  bool from_joined = false;
};
BOOST_DESCRIBE_STRUCT(CloneProcess, (), (namespaces, cgroup, from_joined))

// /proc/PID/setgroups := deny; needed before an unprivileged gid_map (user_namespaces(7)).
struct DenySetgroups {};
BOOST_DESCRIBE_STRUCT(DenySetgroups, (), ())

// `kind` is "uid" or "gid"; `writer` is "direct" (one write) or the set-user-id helper "newuidmap"/"newgidmap".
struct WriteIdMap {
  std::string kind, writer;
  std::vector<spec::IDMapping> map;
};
BOOST_DESCRIBE_STRUCT(WriteIdMap, (), (kind, writer, map))

// The caller's pipes and terminals that are descriptors 0 to 2 become this user's of the host: by /proc/self/fd the
// command could not open them again else. Files stay their owner's.
struct GiveStreams {
  uint32_t uid = 0;
};
BOOST_DESCRIBE_STRUCT(GiveStreams, (), (uid))

// setns(2) to a namespace that exists.
struct JoinNamespace {
  std::string type, path;
};
BOOST_DESCRIBE_STRUCT(JoinNamespace, (), (type, path))

// unshare(2) after the clone: the cgroup namespace, whose root is the cgroup its maker is in.
struct UnshareNamespace {
  std::string type;
};
BOOST_DESCRIBE_STRUCT(UnshareNamespace, (), (type))

// A new time namespace with its clocks moved, entered at once. Offsets are written before anything is in it.
struct EnterTimeNamespace {
  spec::TimeOffset monotonic, boottime;
};
BOOST_DESCRIBE_STRUCT(EnterTimeNamespace, (), (monotonic, boottime))

// uid and gid 0 of the new user namespace, no supplementary groups.
struct BecomeRoot {
  bool clear_groups = true;  // false where setgroups is denied
};
BOOST_DESCRIBE_STRUCT(BecomeRoot, (), (clear_groups))

struct SetHostname {
  std::string name;
};
BOOST_DESCRIBE_STRUCT(SetHostname, (), (name))
struct SetDomainname {
  std::string name;
};
BOOST_DESCRIBE_STRUCT(SetDomainname, (), (name))
// IFF_UP on "lo": netdevice(7).
struct LoopbackUp {};
BOOST_DESCRIBE_STRUCT(LoopbackUp, (), ())
// A network device of the host moves into the container's network namespace, gets the name it has there, its lasting
// global addresses again, and is set up: rtnetlink(7). `name` may hold one %d, which the kernel makes a number.
// `network` is the path of a namespace that is joined; empty: the new one.
struct MoveNetDevice {
  std::string device, name, network;
};
BOOST_DESCRIBE_STRUCT(MoveNetDevice, (), (device, name, network))
// One file below /proc/sys: `key` in dots ("net.ipv4.ip_forward"), as sysctl(8) reads it.
struct WriteSysctl {
  std::string key, value;
};
BOOST_DESCRIBE_STRUCT(WriteSysctl, (), (key, value))

// ---- the file system: mount_namespaces(7), fsopen/open_tree/move_mount/mount_setattr(2) --------------------------

// Propagation of every mount of the new mount namespace, recursively: "private"; "slave" where the config wants
// mounts that follow the host's, "shared" where it wants mounts that reach the host.
struct SetPropagation {
  std::string propagation;
};
BOOST_DESCRIBE_STRUCT(SetPropagation, (), (propagation))

// Opens a mount tree on the host side, with the caller's rights, for a later step of the container side to attach:
// a path that the mapped root could not reach. `slot` names the descriptor.
struct OpenTree {
  std::string path, slot;
  bool recursive = false;
  bool peer = false;  // stays a peer of the host's mounts (shared): else what is mounted inside stays inside
};
BOOST_DESCRIBE_STRUCT(OpenTree, (), (path, slot, recursive, peer))

// An id-mapped mount (Linux 5.12): the tree in `slot` shows its files' ids shifted by the maps, or by the
// container's own user namespace when they are empty.
struct IdmapTree {
  std::string slot;
  bool recursive = false;
  std::vector<spec::IDMapping> uids, gids;
};
BOOST_DESCRIBE_STRUCT(IdmapTree, (), (slot, recursive, uids, gids))

// The new root: a directory of the host bound onto itself. `slot` as in OpenTree, or empty.
struct BindRoot {
  std::string path, slot, propagation;
  bool recursive = true;
};
BOOST_DESCRIBE_STRUCT(BindRoot, (), (path, slot, propagation, recursive))

// The new root: a fresh tmpfs (the root of the container is then assembled from the next steps).
struct TmpfsRoot {
  Strings options;
};
BOOST_DESCRIBE_STRUCT(TmpfsRoot, (), (options))

// A tmpfs for what overlays need (upper and work directories), mounted on `path` of the host inside the new
// mount namespace only; gone with the container.
struct MountScratch {
  std::string path;
  Strings options;
};
BOOST_DESCRIBE_STRUCT(MountScratch, (), (path, options))

// An overlay. `lowers` are paths of the host, topmost first (or the slot of an opened tree); `upper` and `work`
// are made inside the scratch mount. `target` is "/" for the root, else a path inside the new root.
// `skeleton`: directories made in the upper layer beforehand, owned by the container's root, so that it can add
// and remove entries in them.
struct MountOverlay {
  std::string target;
  Strings lowers;
  std::string lower_slot;  // when set: the one lower layer, attached in the scratch mount
  std::string upper, work;
  Strings skeleton, options;
};
BOOST_DESCRIBE_STRUCT(MountOverlay, (), (target, lowers, lower_slot, upper, work, skeleton, options))

// A new file system. `attributes` are the mount's (ro nosuid nodev noexec noatime ...), `options` the file
// system's own ("mode=755"). The target is resolved inside the new root and made when missing.
// `fallback`: "bind" allows the host's own instance, bound, when the kernel refuses a new one; recorded.
// `contents`: "copied" is a tmpfs that begins as a copy of the directory it is about to cover. `label`: the SELinux
// context of everything in it, the option context= of mount(8); of an mqueue, that of its root.
struct MountFs {
  std::string type, source, target;
  Strings attributes, options;
  std::string propagation, fallback;
  std::optional<std::string> contents, label;
};
BOOST_DESCRIBE_STRUCT(MountFs, (),
                      (type, source, target, attributes, options, propagation, fallback, contents, label))

// A file or directory of the host shown inside. `attributes` apply to the top mount, `recursive_attributes` to
// every mount below too (rro and its kin). `cleared` names attributes to take away: "ro" for the option "rw".
struct BindMount {
  std::string source, slot, target;
  bool recursive = true;
  Strings attributes, cleared, recursive_attributes;
  std::string propagation;
  Strings recursive_cleared;
};
BOOST_DESCRIBE_STRUCT(BindMount, (),
                      (source, slot, target, recursive, attributes, cleared, recursive_attributes,
                       propagation, recursive_cleared))

// A device node of the container's /dev: made ("mknod") or, in a user namespace where the kernel allows no mknod,
// the host's own node bound after its numbers were checked ("bind").
struct MakeDevice {
  std::string path, type;  // type: c b p
  int64_t major = 0, minor = 0;
  uint32_t mode = 0666, uid = 0, gid = 0;
  std::string how;
};
BOOST_DESCRIBE_STRUCT(MakeDevice, (), (path, type, major, minor, mode, uid, gid, how))

struct MakeSymlink {
  std::string path, target;
};
BOOST_DESCRIBE_STRUCT(MakeSymlink, (), (path, target))

// An empty directory of the new root (mode in octal).
struct MakeDirectory {
  std::string path;
  uint32_t mode = 0755;
};
BOOST_DESCRIBE_STRUCT(MakeDirectory, (), (path, mode))

// Covers a path: a directory with one shared empty read-only tmpfs, a file with /dev/null. Absent paths are left.
struct MaskPath {
  std::string path;
  std::optional<std::string> label;  // the tmpfs's SELinux context
};
BOOST_DESCRIBE_STRUCT(MaskPath, (), (path, label))
struct ReadonlyPath {
  std::string path;
};
BOOST_DESCRIBE_STRUCT(ReadonlyPath, (), (path))

// pivot_root(".", ".") and a lazy unmount of the old root: pivot_root(2).
struct PivotRoot {};
BOOST_DESCRIBE_STRUCT(PivotRoot, (), ())
struct RootReadonly {};
BOOST_DESCRIBE_STRUCT(RootReadonly, (), ())
// Propagation of the container's root mount, once it is the root.
struct RootPropagation {
  std::string propagation;
};
BOOST_DESCRIBE_STRUCT(RootPropagation, (), (propagation))

// ---- the process: credentials(7), capabilities(7), seccomp(2), prctl(2) ------------------------------------------

// No signal blocked, none ignored: what the caller did to its own outlives an exec (signal(7)).
struct ResetSignals {};
BOOST_DESCRIBE_STRUCT(ResetSignals, (), ())
struct NewSession {};  // setsid(2)
BOOST_DESCRIBE_STRUCT(NewSession, (), ())
// A new session keyring: keyrings(7).
struct NewKeyring {
  std::string name;
};
BOOST_DESCRIBE_STRUCT(NewKeyring, (), (name))
// A pseudoterminal of the container's own devpts as descriptors 0-2 and /dev/console; its master goes to the
// caller by descriptor.
struct OpenTerminal {
  uint32_t rows = 0, columns = 0;  // 0: left as the kernel makes it
};
BOOST_DESCRIBE_STRUCT(OpenTerminal, (), (rows, columns))
struct SetRlimit {
  std::string type;
  uint64_t soft = 0, hard = 0;  // all ones: unlimited
};
BOOST_DESCRIBE_STRUCT(SetRlimit, (), (type, soft, hard))
struct SetOomScore {
  int32_t adjustment = 0;
};
BOOST_DESCRIBE_STRUCT(SetOomScore, (), (adjustment))
struct SetPersonality {
  std::string domain;
  Strings flags;
};
BOOST_DESCRIBE_STRUCT(SetPersonality, (), (domain, flags))
struct SetScheduler {
  spec::Scheduler scheduler;
};
BOOST_DESCRIBE_STRUCT(SetScheduler, (), (scheduler))
struct SetIoPriority {
  std::string io_class;
  int32_t priority = 0;
};
BOOST_DESCRIBE_STRUCT(SetIoPriority, (), (io_class, priority))
// The nodes of a NUMA machine that the process's memory comes from: set_mempolicy(2). Kept over the exec.
struct SetMemoryPolicy {
  spec::MemoryPolicy policy;
};
BOOST_DESCRIBE_STRUCT(SetMemoryPolicy, (), (policy))
// The processors that the process may run on, as a list ("0-3,7"): sched_setaffinity(2). On the host's side it is the
// caller's own, which the process begins with.
struct SetAffinity {
  std::string cpus;
};
BOOST_DESCRIBE_STRUCT(SetAffinity, (), (cpus))
// "apparmor" or "selinux": the label that the exec takes on, through /proc/self/attr.
struct SetExecLabel {
  std::string module, label;
};
BOOST_DESCRIBE_STRUCT(SetExecLabel, (), (module, label))
// Capabilities that stay in the bounding set; every other is dropped for good.
struct LimitBoundingSet {
  Strings keep;
};
BOOST_DESCRIBE_STRUCT(LimitBoundingSet, (), (keep))
struct SetUser {
  uint32_t uid = 0, gid = 0;
  std::vector<uint32_t> groups;
  std::optional<uint32_t> umask;
  bool set_groups = true;  // false where setgroups is denied
};
BOOST_DESCRIBE_STRUCT(SetUser, (), (uid, gid, groups, umask, set_groups))
struct SetCapabilities {
  Strings effective, permitted, inheritable, ambient;
};
BOOST_DESCRIBE_STRUCT(SetCapabilities, (), (effective, permitted, inheritable, ambient))
// The kernel ends the process when the one that made it ends, however that ends: PR_SET_PDEATHSIG. After the ids and
// rights are set, which would clear it.
struct DieWithCaller {};
BOOST_DESCRIBE_STRUCT(DieWithCaller, (), ())
struct NoNewPrivileges {};
BOOST_DESCRIBE_STRUCT(NoNewPrivileges, (), ())
// `profile`: "default" is the filter compiled at build time; "config" is `filter`, compiled by libseccomp before
// the clone.
struct LoadSeccomp {
  std::string profile;
  std::optional<spec::Seccomp> filter;
};
BOOST_DESCRIBE_STRUCT(LoadSeccomp, (), (profile, filter))
struct ChangeDirectory {
  std::string path;
  bool make = true;
};
BOOST_DESCRIBE_STRUCT(ChangeDirectory, (), (path, make))
// The connection over which the step that loads the filter sends its listener (seccomp_unotify(2)) and the container
// process state (runtime-spec, config-linux.md). Before the clone: the path is the host's. With `by_start` the socket
// only has to be there, and `start` connects: an agent is not kept waiting by a container that is not started.
struct ConnectListener {
  std::string path;
  bool by_start = false;
};
BOOST_DESCRIBE_STRUCT(ConnectListener, (), (path, by_start))
// Every descriptor from 3 + `preserve` on is closed by the exec.
struct CloseDescriptors {
  uint32_t preserve = 0;
};
BOOST_DESCRIBE_STRUCT(CloseDescriptors, (), (preserve))
// Hooks of one stage, run in order; `stage` is the OCI word. The container's state goes to their stdin.
struct RunHooks {
  std::string stage;
  std::vector<spec::Hook> hooks;
};
BOOST_DESCRIBE_STRUCT(RunHooks, (), (stage, hooks))
// `create` stops here until `start`.
struct AwaitStart {};
BOOST_DESCRIBE_STRUCT(AwaitStart, (), ())
// Finds the command in the container's root along its PATH and checks that it can be executed, so that a missing
// command is an error before anything is started.
struct FindCommand {
  std::string command, search_path;
};
BOOST_DESCRIBE_STRUCT(FindCommand, (), (command, search_path))
// With `init`, process 1 is Cloche's own small init, which starts the command, forwards signals and reaps. With
// `sealed`, that program, a sealed memory file, is what executes the command: /proc/self/exe in a command's place leads
// to it, and not to the runtime's own file (CVE-2019-5736). Neither: the runtime itself runs from a copy that nobody can
// write.
struct Execute {
  Strings args, env;
  bool init = false, sealed = false;
};
BOOST_DESCRIBE_STRUCT(Execute, (), (args, env, init, sealed))

// ---- CRIU: criu(8) ---------------------------------------------------------------------------------------------

// A descriptor that criu starts with, in the place of what the images call `key`. `source`: "0", "1", "2" are the
// caller's streams, "terminal" is the slave of a terminal made for the container; else the path of a namespace.
struct InheritedFd {
  int64_t number = 0;
  std::string source, key;
};
BOOST_DESCRIBE_STRUCT(InheritedFd, (), (number, source, key))
// A place of the root file system that something will be mounted on: a file where `source` is one, else a directory.
struct MountPoint {
  std::string path, source;
};
BOOST_DESCRIBE_STRUCT(MountPoint, (), (path, source))
// A mount tree (OpenTree) that criu sees under a name below RestoreProcesses::shown.
struct ShownTree {
  std::string slot, name;
};
BOOST_DESCRIBE_STRUCT(ShownTree, (), (slot, name))
// `criu restore`, in place of the clone and all that a new process does: processes, namespaces and mounts come back as
// the images of a checkpoint hold them. criu sees `root` as a mount in a mount namespace of its own, in which missing
// mount points are made first. `place` is the container's directory for it: criu writes the first process's pid into `pid`
// there, sees the cgroup2 mount `cgroups` at `cgroups/unified` (a mount that it made itself would take that file
// system's options away, nsdelegate), and the container's terminal at `console`. criu_restore_arguments() is its command
// line, of which `args` is what the other fields do not say. With `pauses` the step ends when criu has made the
// namespaces and the first process, and criu waits there for FinishRestore: what hooks and a scope ask for.
// Versions of criu that are in use bring two restrictions back from no image: a read-only `root` (before 4.2) is one
// already when criu mounts it, and no_new_privs (before 3.19) is inherited from criu.
// The root of a user namespace opens images and sources of bind mounts as what it is to the host: nobody. So for criu
// alone there is a tmpfs on `shown` (empty: none), where everybody may go, with `trees`, the terminal's `console` and,
// with `user_namespace`, the images as `images`: each file a mount.
struct RestoreProcesses {
  std::string program, images, work, place, root, cgroups, shown;
  std::vector<ShownTree> trees;
  Strings args;
  std::vector<MountPoint> points;
  std::vector<InheritedFd> inherited;
  bool pauses = false, user_namespace = false, readonly_root = false, no_new_privileges = false;
};
BOOST_DESCRIBE_STRUCT(RestoreProcesses, (),
                      (program, images, work, place, root, cgroups, shown, trees, args, points, inherited,
                       pauses, user_namespace, readonly_root, no_new_privileges))
// The criu that waits goes on, to its end.
struct FinishRestore {};
BOOST_DESCRIBE_STRUCT(FinishRestore, (), ())

using AnyAction = std::variant<
    CreateCgroup, LeaveCgroup, EnableControllers, WriteCgroup, LimitDevices, OpenTree, CloneProcess,
    DenySetgroups, WriteIdMap, GiveStreams, IdmapTree, JoinNamespace, UnshareNamespace, EnterTimeNamespace,
    BecomeRoot, SetPropagation, BindRoot, TmpfsRoot, MountScratch, MountOverlay, MountFs, BindMount,
    MakeDevice, MakeSymlink, MakeDirectory, MaskPath, ReadonlyPath, PivotRoot, RootReadonly, RootPropagation,
    SetHostname, SetDomainname, LoopbackUp, WriteSysctl, ResetSignals, NewSession, NewKeyring, OpenTerminal,
    SetRlimit, SetOomScore, SetPersonality, SetScheduler, SetIoPriority, SetExecLabel, LimitBoundingSet,
    SetUser, SetCapabilities, DieWithCaller, NoNewPrivileges, LoadSeccomp, ChangeDirectory, CloseDescriptors,
    RunHooks, AwaitStart, FindCommand, Execute, MakeResctrlGroup, WriteSchemata, JoinResctrlGroup,
    SetMemoryPolicy, SetAffinity, StartScope, AttachToScope, SetScopeProperties, ConnectListener,
    MoveNetDevice, RestoreProcesses, FinishRestore, EnterScope>;

// One of them; std::visit, std::get_if and std::holds_alternative take it as the variant that it is. What is made for
// every alternative at once (copying, moving, destroying) is compiled in step.cpp, and not again in each file that has a
// plan in its hands.
class Action : public AnyAction {
 public:
  template <typename One>
    requires requires(AnyAction& any) { std::get<One>(any); }
  Action(One one) : AnyAction(std::in_place_type<One>, std::move(one)) {}  // NOLINT: as the variant's own
  Action(const Action& other);
  Action(Action&& other) noexcept;
  Action& operator=(const Action& other);
  Action& operator=(Action&& other) noexcept;
  ~Action();
};

// Where a step comes from.
struct Why {
  enum class Kind { config, flag, image, standard };
  Kind kind = Kind::standard;
  // config: the field ("linux.resources.memory.limit"); flag: as typed ("--memory 512M"); image: its name;
  // standard: why Cloche does it unasked, in a few words.
  std::string from;
};

// Who executes a step: the calling process, or the container's first process before it becomes the command.
enum class Side { host, container };

struct Step {
  std::string id;  // unique in its plan and stable: "pivot-root", "cgroup-memory-max", "mount:/proc"
  Action action;
  Why why;
  Side side = Side::container;
};

}  // namespace cloche::plan
