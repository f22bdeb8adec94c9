#include "spec/default_spec.h"

#include <algorithm>

namespace cloche::spec {
namespace {

Mount mount_of(std::string destination, std::string type, std::string source, Strings options) {
  return {.destination = std::move(destination),
          .type = std::move(type),
          .source = std::move(source),
          .options = std::move(options),
          .uidMappings = {},
          .gidMappings = {}};
}

std::vector<Mount> default_mounts() {
  return {
      mount_of("/proc", "proc", "proc", {}),
      mount_of("/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}),
      mount_of("/dev/pts", "devpts", "devpts",
               {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}),
      mount_of("/dev/shm", "tmpfs", "shm", {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}),
      mount_of("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}),
      mount_of("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}),
      mount_of("/sys/fs/cgroup", "cgroup", "cgroup", {"nosuid", "noexec", "nodev", "relatime", "ro"}),
  };
}

Process default_process() {
  Process process;
  process.terminal = true;
  process.args = {"sh"};
  process.env = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"};
  process.cwd = "/";
  const Strings names{"CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"};
  // Neither inheritable nor ambient: what a program gains by exec stays what its file says.
  process.capabilities = Capabilities{
      .bounding = names, .effective = names, .inheritable = {}, .permitted = names, .ambient = {}};
  process.rlimits = {{.type = "RLIMIT_NOFILE", .hard = 1024, .soft = 1024}};
  process.noNewPrivileges = true;
  return process;
}

}  // namespace

const Strings& default_masked_paths() {
  static const Strings paths{"/proc/acpi",       "/proc/asound",      "/proc/interrupts",
                             "/proc/kcore",      "/proc/keys",        "/proc/latency_stats",
                             "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
                             "/proc/scsi",       "/sys/firmware",     "/sys/devices/virtual/powercap"};
  return paths;
}

const Strings& default_readonly_paths() {
  static const Strings paths{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};
  return paths;
}

Spec default_spec() {
  Spec spec;
  spec.ociVersion = kWrittenVersion;
  spec.process = default_process();
  spec.root = Root{.path = "rootfs", .readonly = true};
  spec.hostname = "cloche";
  spec.mounts = default_mounts();
  Linux& section = spec.linux_.emplace();
  for (const char* type : {"pid", "network", "ipc", "uts", "mount", "cgroup"})
    section.namespaces.push_back({.type = type, .path = {}});
  DeviceCgroup nothing;
  nothing.access = "rwm";
  section.resources.emplace().devices = {nothing};
  section.maskedPaths = default_masked_paths();
  section.readonlyPaths = default_readonly_paths();
  return spec;
}

Spec default_rootless_spec(uint32_t uid, uint32_t gid) {
  Spec spec = default_spec();
  for (Mount& mount : spec.mounts) {
    // Group 5 (tty) is not in a map of one id.
    std::erase(mount.options, "gid=5");
    // A sysfs of one's own needs a network namespace of one's own; the host's is shared, so its sysfs is too.
    if (mount.destination == "/sys")
      mount = mount_of("/sys", "none", "/sys", {"rbind", "nosuid", "noexec", "nodev", "ro"});
  }
  Linux& section = *spec.linux_;
  std::erase_if(section.namespaces, [](const Namespace& ns) { return ns.type == "network"; });
  section.namespaces.push_back({.type = "user", .path = {}});
  section.uidMappings = {{.containerID = 0, .hostID = uid, .size = 1}};
  section.gidMappings = {{.containerID = 0, .hostID = gid, .size = 1}};
  section.resources.reset();
  return spec;
}

}  // namespace cloche::spec
