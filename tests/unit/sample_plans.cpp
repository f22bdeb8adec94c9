#include "sample_plans.h"

namespace cloche::plan::test {
namespace {

template <size_t... I>
Plan every_action(std::index_sequence<I...>) {
  Plan plan{.container = "every"};
  (plan.steps.push_back(step("step-" + std::to_string(I), std::variant_alternative_t<I, AnyAction>{})), ...);
  return plan;
}

}  // namespace

Plan every_action() { return every_action(std::make_index_sequence<std::variant_size_v<AnyAction>>{}); }

Plan small_plan() {
  const std::string cgroup = "/sys/fs/cgroup/cloche/web";
  const auto config = [](std::string field) { return Why{Why::Kind::config, std::move(field)}; };
  const auto standard = [](std::string why) { return Why{Why::Kind::standard, std::move(why)}; };
  Plan plan{.container = "web"};
  plan.steps = {
      step("cgroup", CreateCgroup{cgroup}, Side::host, config("linux.cgroupsPath")),
      step("cgroup-controllers", EnableControllers{"/sys/fs/cgroup", cgroup, {"memory", "cpu", "pids"}},
           Side::host, config("linux.resources")),
      step("cgroup-memory-max", WriteCgroup{cgroup, "memory.max", "536870912"}, Side::host,
           {Why::Kind::flag, "--memory 512M"}),
      step("cgroup-cpu-max", WriteCgroup{cgroup, "cpu.max", "150000 100000"}, Side::host,
           {Why::Kind::flag, "--cpus 1.5"}),
      step("cgroup-pids-max", WriteCgroup{cgroup, "pids.max", "512"}, Side::host,
           standard("a bound on processes, so that a fork bomb ends in the container")),
      step("devices",
           LimitDevices{cgroup,
                        {{.allow = false, .access = "rwm"},
                         {.allow = true, .type = "c", .major = 1, .minor = 3, .access = "rwm"}}},
           Side::host, standard("devices are denied unless allowed")),
      step("clone", CloneProcess{{"mount", "pid", "uts", "ipc", "network", "user"}, cgroup}, Side::host,
           config("linux.namespaces")),
      step("uid-map", WriteIdMap{"uid", "direct", {{0, 200000, 65536}}}, Side::host,
           config("linux.uidMappings")),
      step("gid-map", WriteIdMap{"gid", "direct", {{0, 200000, 65536}}}, Side::host,
           config("linux.gidMappings")),
      step("become-root", BecomeRoot{}),
      step("cgroup-namespace", UnshareNamespace{"cgroup"}, Side::container, config("linux.namespaces")),
      step("time-namespace", EnterTimeNamespace{{86400, 0}, {-5, 250000000}}, Side::container,
           config("linux.timeOffsets")),
      step("hostname", SetHostname{"web"}, Side::container, config("hostname")),
      step("loopback", LoopbackUp{}, Side::container, standard("programs expect 127.0.0.1")),
      step("propagation", SetPropagation{"private"}, Side::container, standard("mounts stay inside")),
      step("root", BindRoot{.path = "/srv/web/rootfs"}, Side::container, config("root.path")),
      step("mount:/proc",
           MountFs{.type = "proc",
                   .source = "proc",
                   .target = "/proc",
                   .attributes = {"nosuid", "nodev", "noexec"}},
           Side::container, config("mounts[0]")),
      step("mount:/dev",
           MountFs{.type = "tmpfs",
                   .source = "tmpfs",
                   .target = "/dev",
                   .attributes = {"nosuid", "noexec"},
                   .options = {"mode=755", "size=64k"}},
           Side::container, config("mounts[1]")),
      step("device:/dev/null",
           MakeDevice{.path = "/dev/null", .type = "c", .major = 1, .minor = 3, .how = "bind"},
           Side::container, standard("devices every program expects")),
      step("mask:/proc/kcore", MaskPath{"/proc/kcore"}, Side::container, config("linux.maskedPaths")),
      step("mask:/sys/devices/virtual/powercap", MaskPath{"/sys/devices/virtual/powercap"}, Side::container,
           config("linux.maskedPaths")),
      step("readonly:/proc/sys", ReadonlyPath{"/proc/sys"}, Side::container, config("linux.readonlyPaths")),
      step("pivot-root", PivotRoot{}, Side::container, standard("the host's files go out of reach")),
      step("rlimit-nofile", SetRlimit{"RLIMIT_NOFILE", 1024, 4096}, Side::container,
           config("process.rlimits[0]")),
      step("bounding-set", LimitBoundingSet{{"CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE"}},
           Side::container, config("process.capabilities.bounding")),
      step("user", SetUser{.uid = 1000, .gid = 1000, .groups = {27, 44}}, Side::container,
           config("process.user")),
      step("capabilities", SetCapabilities{{"CAP_CHOWN"}, {"CAP_CHOWN"}, {}, {}}, Side::container,
           config("process.capabilities")),
      step("no-new-privs", NoNewPrivileges{}, Side::container, config("process.noNewPrivileges")),
      step("seccomp", LoadSeccomp{.profile = "default", .filter = {}}, Side::container,
           standard("calls that containers do not need")),
      step("cwd", ChangeDirectory{"/"}, Side::container, config("process.cwd")),
      step("execute", Execute{{"sh", "-c", "echo hello"}, {"PATH=/bin:/usr/bin", "TERM=xterm"}},
           Side::container, config("process.args")),
  };
  plan.notes = {{"io limits", "the io controller is not asked for, so disk transfers are not limited"}};
  return plan;
}

}  // namespace cloche::plan::test
