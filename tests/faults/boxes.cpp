#include "faults/boxes.h"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>

#include "spec/default_spec.h"

namespace cloche::faults {

const char* const kSelfPortrait = R"(
b=/bin/busybox
$b cut -d' ' -f4- /proc/self/mountinfo | $b sed 's/master:[0-9]*/master/'
$b grep -E '^(Uid|Gid|Groups|SigBlk|SigIgn|Cap|NoNew|Seccomp:)' /proc/self/status
$b awk '{print "nice", $19, "policy", $41, "leads", $6 == $1, "terminal", $7 != 0}' /proc/$$/stat
$b ionice -p $$; $b uname -snm; $b cat /proc/sys/kernel/domainname
$b cat /proc/self/limits /proc/self/timens_offsets /proc/self/uid_map /proc/self/oom_score_adj
$b cat /proc/self/cgroup | $b tail -n 1
$b find /dev /made /data -maxdepth 1 2>/dev/null | $b grep -v /dev/pts/ | $b sort | $b xargs $b stat -c '%n %F %a %u:%g %t:%T'
for n in fd stdin stdout stderr core ptmx; do $b readlink /dev/$n; done
$b cat /sys/class/net/lo/flags /proc/sys/net/ipv4/ip_default_ttl
$b head -c 1 /dev/zero | $b od; $b head -c 1 /dev/forbidden 2>&1
$b pwd; umask; $b ls /proc/self/fd | $b wc -l; $b env | $b sort
)";

namespace {

spec::Hook hook(const std::string& path, std::optional<int32_t> timeout = {}) {
  return {.path = path, .args = {"true"}, .env = {}, .timeout = timeout};
}

void restrict_process(spec::Process& process) {
  process.terminal = true;
  process.consoleSize = spec::Box{.height = 24, .width = 80};
  process.user = {.uid = 1000, .gid = 1000, .umask = 027, .additionalGids = {5, 7}, .username = {}};
  process.cwd = "/made/on/the/way";
  process.capabilities = spec::Capabilities{.bounding = {"CAP_KILL", "CAP_NET_BIND_SERVICE"},
                                            .effective = {"CAP_KILL"},
                                            .inheritable = {"CAP_KILL"},
                                            .permitted = {"CAP_KILL"},
                                            .ambient = {"CAP_KILL"}};
  process.rlimits = {{.type = "RLIMIT_NOFILE", .hard = 512, .soft = 256},
                     {.type = "RLIMIT_CORE", .hard = 0, .soft = 0}};
  process.noNewPrivileges = true;
  process.oomScoreAdj = 100;
  process.scheduler = spec::Scheduler{.policy = "SCHED_BATCH", .nice = 5};
  process.ioPriority = spec::IOPriority{.class_ = "IOPRIO_CLASS_BE", .priority = 6};
}

void restrict_system(spec::Linux& system) {
  system.namespaces.push_back({.type = "time", .path = {}});
  system.timeOffsets["monotonic"] = {.secs = 1000, .nanosecs = 0};
  system.sysctl["net.ipv4.ip_default_ttl"] = "65";
  system.rootfsPropagation = "private";
  system.personality = spec::Personality{.domain = "LINUX", .flags = {}};
  system.devices = {
      {.path = "/dev/forbidden",
       .type = "c",
       .major = 1,
       .minor = 11,
       .fileMode = 0666,
       .uid = 1000,
       .gid = 1000},
      {.path = "/dev/pipe", .type = "p", .major = {}, .minor = {}, .fileMode = 0600, .uid = 0, .gid = 0}};
  system.seccomp = spec::Seccomp{};
  system.seccomp->defaultAction = "SCMP_ACT_ALLOW";
  system.seccomp->syscalls = {{.names = {"ptrace"}, .action = "SCMP_ACT_ERRNO", .errnoRet = 1, .args = {}}};
}

// The first id of the user's range: "NAME:FIRST:COUNT", subuid(5).
uint32_t first_id(const std::string& file, const std::string& name) {
  std::ifstream lines(file);
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with(name + ":")) return static_cast<uint32_t>(std::stoul(line.substr(name.size() + 1)));
  return 0;
}

}  // namespace

void make_rich(test::Bundle& bundle, const std::string& scratch) {
  std::filesystem::create_directories(scratch + "/shown");
  std::ofstream(scratch + "/shown/file") << "shown\n";
  spec::Spec& config = bundle.config;
  config.root->readonly = false;
  config.domainname = "example";
  restrict_process(*config.process);
  restrict_system(*config.linux_);
  config.mounts.push_back({.destination = "/data",
                           .type = "bind",
                           .source = scratch + "/shown",
                           .options = {"rbind", "ro", "nosuid", "rprivate"},
                           .uidMappings = {{.containerID = 0, .hostID = 1000, .size = 10}},
                           .gidMappings = {{.containerID = 0, .hostID = 1000, .size = 10}}});
  config.mounts.push_back({.destination = "/made/file",
                           .type = "bind",
                           .source = scratch + "/shown/file",
                           .options = {"bind", "rro"},
                           .uidMappings = {},
                           .gidMappings = {}});
  config.mounts.push_back({.destination = "/made/tmp",
                           .type = "tmpfs",
                           .source = "tmpfs",
                           .options = {"size=1m", "noexec"},
                           .uidMappings = {},
                           .gidMappings = {}});
  config.hooks = spec::Hooks{.prestart = {hook("/bin/true")},
                             .createRuntime = {hook("/bin/true", 30)},
                             .createContainer = {hook("/bin/true")},
                             .startContainer = {hook("/bin/true")},
                             .poststart = {hook("/bin/true")},
                             .poststop = {hook("/bin/true")}};
}

void make_detached(test::Bundle& bundle) {
  bundle.config.process->terminal = false;
  bundle.config.process->consoleSize.reset();
}

void make_rootless(test::Bundle& bundle, const test::TestUser& user) {
  spec::Spec& config = bundle.config;
  spec::Strings args = std::move(config.process->args);
  config = spec::default_rootless_spec(user.uid(), user.gid());
  config.process->terminal = false;
  config.process->args = std::move(args);
  spec::Linux& system = *config.linux_;
  system.uidMappings.push_back(
      {.containerID = 1, .hostID = first_id("/etc/subuid", user.name()), .size = 1000});
  system.gidMappings.push_back(
      {.containerID = 1, .hostID = first_id("/etc/subgid", user.name()), .size = 1000});
  config.process->user = {.uid = 1, .gid = 1, .umask = {}, .additionalGids = {2}, .username = {}};
}

}  // namespace cloche::faults
