#include "runtime/facts.h"

#include <dirent.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>

#include "runtime/own_program.h"
#include "runtime/systemd.h"
#include "sys/call.h"
#include "sys/files.h"
#include "sys/flags.h"

namespace cloche::runtime {
namespace {

constexpr size_t kTableLimit = size_t{16} << 20;  // bytes of a passwd, subuid or mountinfo file
constexpr int kSysAdmin = 21;                     // CAP_SYS_ADMIN, linux/capability.h

sys::Result<std::string> read_table(const std::string& path) {
  return sys::read_file(AT_FDCWD, path, kTableLimit);
}
std::string read_or_empty(const std::string& path) { return read_table(path).value_or(std::string()); }

// Of /etc, which may be an image's: a FIFO there is no table.
std::string read_or_empty_regular(const std::string& path) {
  const auto slash = sys::open_at(AT_FDCWD, "/", O_PATH | O_DIRECTORY);
  if (!slash) return {};
  return sys::read_regular_in_root(*slash, path, kTableLimit).value_or(std::string());
}

bool accessible(const std::string& path, int mode) {
  return sys::raw_call(SYS_faccessat2, AT_FDCWD, path.c_str(), mode, AT_EACCESS) == 0;
}

// False where that is refused; what fails otherwise (ENOMEM, EIO) says nothing of the rights, and a container without a
// cgroup would have no device policy.
sys::Result<bool> may(const std::string& path, int mode) {
  const long raw = sys::raw_call(SYS_faccessat2, AT_FDCWD, path.c_str(), mode, AT_EACCESS);
  if (raw == 0) return true;
  if (raw == -EACCES || raw == -EPERM || raw == -EROFS || raw == -ENOENT) return false;
  return sys::fail(static_cast<int>(-raw), fmt::format("faccessat2({})", sys::in_quotes(path)));
}

bool holds_sys_admin() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> data{};
  if (sys::raw_call(SYS_capget, &header, data.data()) != 0) return false;
  return (data[0].effective >> kSysAdmin & 1U) != 0;
}

bool has_program(const char* name) {
  constexpr std::array kDirectories = {"/usr/bin/", "/usr/local/bin/", "/bin/", "/usr/sbin/",
                                       "/usr/local/sbin/"};
  for (const char* directory : kDirectories)
    if (accessible(std::string(directory) + name, X_OK)) return true;
  return false;
}

void gather_ids(plan::HostFacts& facts) {
  const auto user = find_user(read_or_empty_regular("/etc/passwd"), facts.uid);
  const char* home = std::getenv("HOME");
  facts.user = user.name;
  std::array<gid_t, 65536 / sizeof(gid_t)> groups{};
  const int count = getgroups(static_cast<int>(groups.size()), groups.data());
  for (int i = 0; i < count; ++i)
    if (groups[static_cast<size_t>(i)] != facts.gid)
      facts.other_groups.push_back(groups[static_cast<size_t>(i)]);
  facts.home = !user.home.empty() ? user.home : home != nullptr ? home : "";
  const auto uids = read_or_empty_regular("/etc/subuid"), gids = read_or_empty_regular("/etc/subgid");
  if (facts.privileged) {
    facts.subuids = root_subids(uids);
    facts.subgids = root_subids(gids);
    return;
  }
  facts.has_newuidmap = has_program("newuidmap");
  facts.has_newgidmap = has_program("newgidmap");
  facts.subuids = parse_subids(uids, facts.user, facts.uid);
  // subgid(5) is looked up by the user, not by the group.
  facts.subgids = parse_subids(gids, facts.user, facts.uid);
}

// The usual places first: reading a long mount table costs more than two statfs.
std::string find_cgroup2() {
  for (const char* path : {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"})
    if (const auto magic = sys::file_system_magic(std::string(path)); magic && *magic == CGROUP2_SUPER_MAGIC)
      return path;
  return {};
}

sys::Result<> gather_cgroup(plan::HostFacts& facts, bool controllers, const MountTable* table) {
  auto& cgroup = facts.cgroup;
  cgroup.mount = find_cgroup2();
  MountTable read_here;
  if (table == nullptr && (controllers || cgroup.mount.empty())) {
    CLOCHE_TRY_ASSIGN(text, read_table("/proc/self/mountinfo"));
    read_here = parse_mountinfo(text);
    table = &read_here;
  }
  if (cgroup.mount.empty() && table != nullptr) cgroup.mount = table->cgroup2;
  if (table != nullptr) {
    cgroup.v1 = table->v1;
    cgroup.options = table->cgroup2_options;
  }
  cgroup.parent = "/";
  if (cgroup.mount.empty()) return {};
  if (!facts.privileged || controllers) {
    CLOCHE_TRY_ASSIGN(text, read_table("/proc/self/cgroup"));
    cgroup.own = parse_own_cgroup(text);
  }
  if (!facts.privileged) {
    if ((cgroup.own.empty() || cgroup.own.starts_with("/..")) && facts.systemd.control_group.empty())
      return {};
    cgroup.parent = cgroup.own;
  }
  // Scopes are made by the manager, in its own cgroup.
  if (!facts.systemd.control_group.empty()) cgroup.parent = facts.systemd.control_group;
  const auto directory = cgroup.parent == "/" ? cgroup.mount : cgroup.mount + cgroup.parent;
  // A process is only moved by who may write cgroup.procs of the common ancestor (cgroup-v2.rst, "Delegation
  // Containment"): a directory alone is not enough.
  CLOCHE_TRY_ASSIGN(entered, may(directory, W_OK | X_OK));
  CLOCHE_TRY_ASSIGN(moved, may(directory + "/cgroup.procs", W_OK));
  cgroup.writable = entered && moved;
  // What is counted depends on them even without a limit; an ordinary user's container is counted with its limits only.
  if (!controllers && !facts.privileged) return {};
  CLOCHE_TRY_ASSIGN(offered, read_table(directory + "/cgroup.controllers"));
  CLOCHE_TRY_ASSIGN(handed_down, read_table(directory + "/cgroup.subtree_control"));
  cgroup.controllers = words_of(offered);
  cgroup.handed_down = words_of(handed_down);
  if (!controllers) return {};
  // Only the root has no such file (cgroup-v2.rst, "Core Interface Files").
  cgroup.parent_is_root = !accessible(directory + "/cgroup.type", F_OK);
  const auto inside = words_of(read_or_empty(directory + "/cgroup.procs"));
  const auto self = fmt::format("{}", sys::raw_call(SYS_getpid));
  cgroup.strangers = static_cast<uint32_t>(
      std::ranges::count_if(inside, [&](const std::string& pid) { return pid != self; }));
  return {};
}

struct CloseDirectory {
  void operator()(DIR* directory) const { closedir(directory); }
};

sys::Result<std::vector<plan::RootEntry>> read_root() {
  using Kind = plan::RootEntry::Kind;
  const std::unique_ptr<DIR, CloseDirectory> directory(opendir("/"));
  if (!directory) return sys::fail(errno, "opendir(\"/\")");
  std::vector<plan::RootEntry> entries;
  while (const dirent* found = readdir(directory.get())) {
    const std::string name = found->d_name;
    if (name == "." || name == "..") continue;
    const auto status = sys::stat_at(AT_FDCWD, "/" + name, false);
    if (!status) continue;  // gone meanwhile
    plan::RootEntry entry{.name = name, .mode = status->st_mode & 07777, .uid = status->st_uid};
    if (S_ISDIR(status->st_mode)) entry.kind = Kind::directory;
    if (S_ISLNK(status->st_mode)) {
      entry.kind = Kind::symlink;
      entry.link = sys::read_link(AT_FDCWD, "/" + name).value_or(std::string());
    }
    entries.push_back(std::move(entry));
  }
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return entries;
}

uint32_t usable_cpus() {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) == 0 ? static_cast<uint32_t>(CPU_COUNT(&set)) : 1;
}

// A cgroup2 that is mounted in the host's own cgroup namespace: it repeats the options of the host's.
bool mounts_hosts_cgroup2(const spec::Spec& spec) {
  const bool apart = spec.linux_ && std::ranges::any_of(spec.linux_->namespaces, [](const auto& entry) {
                       return entry.type == "cgroup" && entry.path.empty();
                     });
  return !apart && std::ranges::any_of(spec.mounts, [](const auto& mount) {
    return mount.type == "cgroup" || mount.type == "cgroup2";
  });
}

}  // namespace

FactsWanted wanted_for(const spec::Spec& spec, bool host_image) {
  FactsWanted wanted{.mounts = host_image};
  if (spec.linux_) {
    for (const auto& entry : spec.linux_->namespaces) wanted.ids = wanted.ids || entry.type == "user";
    // The device policy needs no controller.
    if (const auto& r = spec.linux_->resources)
      wanted.controllers = r->memory || r->cpu || r->pids || r->blockIO || r->network ||
                           !r->hugepageLimits.empty() || !r->rdma.empty() || !r->unified.empty();
  }
  if (host_image) wanted.ids = true;
  if (spec.process)
    wanted.modules = !spec.process->apparmorProfile.empty() || !spec.process->selinuxLabel.empty();
  if (spec.linux_ && !spec.linux_->mountLabel.empty()) wanted.modules = true;
  wanted.resctrl = spec.linux_ && spec.linux_->intelRdt;
  wanted.cgroup_options = mounts_hosts_cgroup2(spec);
  return wanted;
}

sys::Result<plan::HostFacts> gather_facts(const FactsWanted& wanted) {
  plan::HostFacts facts;
  utsname names{};
  if (uname(&names) != 0) return sys::fail(errno, "uname()");
  facts.kernel = parse_release(names.release);
  facts.uid = geteuid();
  facts.gid = getegid();
  facts.cpus = usable_cpus();
  facts.sealed_program = runs_sealed();
  auto own_map = read_table("/proc/self/uid_map");
  if (!own_map)
    return sys::wrap(std::move(own_map).error(),
                     "/proc is no proc file system here: mount -t proc proc /proc");
  const std::string& uid_map = *own_map;
  facts.namespace_admin = holds_sys_admin();
  facts.privileged = facts.namespace_admin && is_identity_map(uid_map);
  if (!facts.privileged) facts.setgroups_denied = read_or_empty("/proc/self/setgroups").starts_with("deny");
  facts.runtime_dir =
      runtime_directory(facts.privileged && facts.uid == 0, facts.uid, std::getenv("XDG_RUNTIME_DIR"));
  if (wanted.ids) gather_ids(facts);

  if (wanted.systemd) {
    CLOCHE_TRY_ASSIGN(manager, systemd_manager(!facts.privileged));
    facts.systemd = std::move(manager);
  }

  MountTable table;
  const bool reads_table = wanted.mounts || wanted.resctrl || wanted.cgroup_options;
  if (reads_table) {
    CLOCHE_TRY_ASSIGN(text, read_table("/proc/self/mountinfo"));
    table = parse_mountinfo(text);
    facts.resctrl = table.resctrl;
  }
  if (wanted.mounts) {
    CLOCHE_TRY_ASSIGN(entries, read_root());
    facts.root_entries = std::move(entries);
  }
  CLOCHE_TRY(gather_cgroup(facts, wanted.controllers, reads_table ? &table : nullptr));
  if (wanted.mounts) facts.mounts = std::move(table.mounts);
  if (wanted.modules) {
    facts.apparmor = read_or_empty("/sys/module/apparmor/parameters/enabled").starts_with('Y');
    facts.selinux = accessible("/sys/fs/selinux/enforce", F_OK);
  }
  return facts;
}

std::string runtime_directory(bool root, uint32_t uid, const char* xdg_runtime_dir) {
  if (root) return "/run/cloche";
  if (xdg_runtime_dir != nullptr && xdg_runtime_dir[0] == '/')
    return std::string(xdg_runtime_dir) + "/cloche";
  return fmt::format("/tmp/cloche-{}", uid);
}

}  // namespace cloche::runtime
