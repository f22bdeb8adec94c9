#include "cli/run_flags.h"

#include <fmt/format.h>

#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

namespace cloche::cli {
namespace {

// A flag that may be given several times, each time with exactly one value.
void repeated(CLI::App& app, const std::string& names, engine::Strings& into, const std::string& help,
              const char* value) {
  app.add_option(names, into, help)->type_name(value)->allow_extra_args(false)->take_all();
}

void declare_limits(CLI::App& app, engine::RunOptions& o) {
  const auto limit = [&](const char* names, std::string& into, const char* help, const char* value) {
    app.add_option(names, into, help)->type_name(value)->group("Limits (cgroup v2)");
  };
  limit("-m,--memory", o.memory, "memory.max: beyond it the container is out of memory", "SIZE");
  limit("--memory-high", o.memory_high, "memory.high: beyond it the container is slowed down", "SIZE");
  limit("--memory-low,--memory-reservation", o.memory_low, "memory.low: protected from reclaim", "SIZE");
  limit("--memory-swap", o.memory_swap, "memory and swap together, as Docker counts it", "SIZE");
  limit("--cpus", o.cpus, "cpu.max: processor time, in CPUs (1.5)", "N");
  limit("--cpu-weight", o.cpu_weight, "cpu.weight: share when the CPUs are busy (1..10000)", "N");
  limit("--cpuset-cpus", o.cpuset_cpus, "cpuset.cpus: on these CPUs only (0-2,4)", "LIST");
  limit("--cpuset-mems", o.cpuset_mems, "cpuset.mems: memory of these nodes only", "LIST");
  limit("--pids-limit", o.pids_limit, "pids.max: processes and threads", "N");
  limit("--io-weight", o.io_weight, "io.weight: share of the disks (1..10000)", "N");
  limit("--cgroup-parent", o.cgroup_parent, "the cgroup to make the container's in", "PATH");
  repeated(app, "--io-max", o.io_max, "io.max: \"MAJOR:MINOR rbps=N wbps=N riops=N wiops=N\"", "LINE");
  repeated(app, "--io-latency", o.io_latency, "io.latency: \"MAJOR:MINOR target=MICROSECONDS\"", "LINE");
  repeated(app, "--cgroup-conf", o.cgroup_conf, "any other file of the cgroup", "FILE=VALUE");
  for (const char* name : {"--io-max", "--io-latency", "--cgroup-conf"})
    app.get_option(name)->group("Limits (cgroup v2)");
}

void declare_namespaces(CLI::App& app, engine::RunOptions& o) {
  const auto space = [&](const char* names, std::string& into, const char* help) {
    app.add_option(names, into, help)->type_name("new|host|path:FILE")->group("Namespaces");
  };
  space("--pid", o.pid, "process ids");
  space("--net,--network", o.network, "network devices, addresses, ports");
  space("--ipc", o.ipc, "System V IPC and message queues");
  space("--uts", o.uts, "host name");
  space("--cgroupns", o.cgroup, "the view of the cgroup tree");
  space("--time", o.time, "monotonic and boot-time clocks");
  space("--userns", o.user, "user and group ids; also auto (subordinate ids) and own (your id as root)");
  repeated(app, "--uidmap", o.uid_map, "one range of user ids", "CONTAINER:HOST:SIZE");
  repeated(app, "--gidmap", o.gid_map, "one range of group ids", "CONTAINER:HOST:SIZE");
  repeated(app, "--time-offset", o.time_offsets, "moves monotonic or boottime", "CLOCK=SECONDS");
  for (const char* name : {"--uidmap", "--gidmap", "--time-offset"})
    app.get_option(name)->group("Namespaces");
}

void declare_files(CLI::App& app, engine::RunOptions& o) {
  repeated(app, "-v,--volume", o.volumes, "shows a path of the host inside (ro, rro, idmap, ...)",
           "SOURCE:TARGET[:OPTIONS]");
  repeated(app, "--mount", o.mounts, "the same in Docker's long form; type=bind or type=tmpfs",
           "KEY=VALUE,...");
  repeated(app, "--tmpfs", o.tmpfs, "an empty tmpfs", "TARGET[:OPTIONS]");
  repeated(app, "--device", o.devices, "gives a device of the host", "DEVICE[:INSIDE[:rwm]]");
  repeated(app, "--device-cgroup-rule", o.device_rules, "allows devices in the device policy",
           "\"c 10:229 rwm\"");
  repeated(app, "--show", o.shown, "image host: leaves /home, /root, ... as on the host (read-only)", "PATH");
  for (const char* name : {"--volume", "--mount", "--tmpfs", "--device", "--device-cgroup-rule", "--show"})
    app.get_option(name)->group("Files");
  app.add_flag("--read-only", o.read_only, "the root file system is read-only")->group("Files");
  app.add_option("--scratch-size", o.scratch_size, "bound of the writable layer (64m, 10%)")
      ->type_name("SIZE")
      ->group("Files");
}

void declare_process(CLI::App& app, engine::RunOptions& o) {
  const char* group = "The process";
  app.add_option("-u,--user", o.run_as, "runs as this user")->type_name("USER[:GROUP]")->group(group);
  app.add_option("-w,--workdir", o.workdir, "working directory")->type_name("PATH")->group(group);
  app.add_option("--umask", o.umask, "file mode mask")->type_name("OCTAL")->group(group);
  app.add_option("--oom-score-adj", o.oom_score_adj, "who is killed first when memory runs out")
      ->type_name("N")
      ->check(CLI::Range(-1000, 1000))
      ->group(group);
  repeated(app, "--group-add", o.groups, "one more group", "GROUP");
  repeated(app, "-e,--env", o.env, "sets a variable; without a value, the caller's", "NAME[=VALUE]");
  repeated(app, "--env-file", o.env_files, "variables from a file", "FILE");
  repeated(app, "--ulimit", o.ulimits, "a resource limit", "NAME=SOFT[:HARD]");
  repeated(app, "--sysctl", o.sysctls, "a kernel parameter of the container's own namespaces", "KEY=VALUE");
  for (const char* name : {"--group-add", "--env", "--env-file", "--ulimit", "--sysctl"})
    app.get_option(name)->group(group);
}

void declare_restrictions(CLI::App& app, engine::RunOptions& o) {
  const char* group = "Restrictions";
  repeated(app, "--cap-add", o.cap_add, "keeps a capability", "NAME");
  repeated(app, "--cap-drop", o.cap_drop, "drops a capability (ALL drops every one)", "NAME");
  repeated(app, "--mask", o.mask, "covers one more path", "PATH");
  repeated(app, "--unmask", o.unmask, "leaves a path uncovered and writable (all: every one)", "PATH");
  for (const char* name : {"--cap-add", "--cap-drop", "--mask", "--unmask"})
    app.get_option(name)->group(group);
  app.add_option("--seccomp", o.seccomp, "system call filter")
      ->type_name("default|unconfined|FILE")
      ->group(group);
  app.add_flag("--new-privileges", o.new_privileges, "leaves no_new_privs off: sudo and ping work inside")
      ->group(group);
}

}  // namespace

void declare_run_flags(CLI::App& app, engine::RunOptions& o) {
  app.add_option("--name", o.name, "the container's name (and host name)")->type_name("NAME");
  app.add_option("--hostname", o.hostname, "the host name inside")->type_name("NAME");
  app.add_flag("-i,--interactive", o.interactive, "passes standard input on");
  app.add_flag("-t,--tty", o.terminal,
               "gives the command a terminal, and yours as its input if you are at one");
  app.add_flag("--init", o.init, "process 1 is a small init that forwards signals and reaps");
  app.add_flag("--rm", o.remove, "accepted for habit's sake: nothing of a foreground container is kept");
  declare_limits(app, o);
  declare_namespaces(app, o);
  declare_files(app, o);
  declare_process(app, o);
  declare_restrictions(app, o);
  // Everything from the image's name on is the image and the command's, also what looks like a flag: it stays in
  // app.remaining().
  app.prefix_command();
}

std::expected<void, std::string> take_image_and_command(const CLI::App& app, engine::RunOptions& o) {
  engine::Strings rest = app.remaining();
  if (rest.empty()) return std::unexpected("which image? write: cloche run [FLAGS] host -- COMMAND");
  if (rest[0].starts_with("-"))
    return std::unexpected(fmt::format("run has no flag {} (cloche run --help lists them)", rest[0]));
  o.image = rest[0];
  rest.erase(rest.begin());
  if (!rest.empty() && rest[0] == "--") rest.erase(rest.begin());
  if (rest.empty())
    return std::unexpected(fmt::format("which command? write: cloche run {} -- COMMAND", o.image));
  o.command = std::move(rest);
  return {};
}

}  // namespace cloche::cli
