// The container's process, from its session to its exec. Used for the first process and for `exec`.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "plan/builder.h"

namespace cloche::plan {
namespace {

constexpr const char* kDefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

constexpr std::array<std::string_view, 16> kRlimits = {
    "RLIMIT_AS",      "RLIMIT_CORE",     "RLIMIT_CPU",        "RLIMIT_DATA",   "RLIMIT_FSIZE", "RLIMIT_LOCKS",
    "RLIMIT_MEMLOCK", "RLIMIT_MSGQUEUE", "RLIMIT_NICE",       "RLIMIT_NOFILE", "RLIMIT_NPROC", "RLIMIT_RSS",
    "RLIMIT_RTPRIO",  "RLIMIT_RTTIME",   "RLIMIT_SIGPENDING", "RLIMIT_STACK"};

// capabilities(7), up to CAP_CHECKPOINT_RESTORE (Linux 5.9).
constexpr std::array<std::string_view, 41> kCapabilities = {"CAP_CHOWN",
                                                            "CAP_DAC_OVERRIDE",
                                                            "CAP_DAC_READ_SEARCH",
                                                            "CAP_FOWNER",
                                                            "CAP_FSETID",
                                                            "CAP_KILL",
                                                            "CAP_SETGID",
                                                            "CAP_SETUID",
                                                            "CAP_SETPCAP",
                                                            "CAP_LINUX_IMMUTABLE",
                                                            "CAP_NET_BIND_SERVICE",
                                                            "CAP_NET_BROADCAST",
                                                            "CAP_NET_ADMIN",
                                                            "CAP_NET_RAW",
                                                            "CAP_IPC_LOCK",
                                                            "CAP_IPC_OWNER",
                                                            "CAP_SYS_MODULE",
                                                            "CAP_SYS_RAWIO",
                                                            "CAP_SYS_CHROOT",
                                                            "CAP_SYS_PTRACE",
                                                            "CAP_SYS_PACCT",
                                                            "CAP_SYS_ADMIN",
                                                            "CAP_SYS_BOOT",
                                                            "CAP_SYS_NICE",
                                                            "CAP_SYS_RESOURCE",
                                                            "CAP_SYS_TIME",
                                                            "CAP_SYS_TTY_CONFIG",
                                                            "CAP_MKNOD",
                                                            "CAP_LEASE",
                                                            "CAP_AUDIT_WRITE",
                                                            "CAP_AUDIT_CONTROL",
                                                            "CAP_SETFCAP",
                                                            "CAP_MAC_OVERRIDE",
                                                            "CAP_MAC_ADMIN",
                                                            "CAP_SYSLOG",
                                                            "CAP_WAKE_ALARM",
                                                            "CAP_BLOCK_SUSPEND",
                                                            "CAP_AUDIT_READ",
                                                            "CAP_PERFMON",
                                                            "CAP_BPF",
                                                            "CAP_CHECKPOINT_RESTORE"};

constexpr std::string_view kNotify = "SCMP_ACT_NOTIFY";
constexpr std::array<std::string_view, 7> kPolicies = {
    "SCHED_OTHER", "SCHED_FIFO", "SCHED_RR", "SCHED_BATCH", "SCHED_ISO", "SCHED_IDLE", "SCHED_DEADLINE"};
constexpr std::array<std::string_view, 3> kIoClasses = {"IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE",
                                                        "IOPRIO_CLASS_IDLE"};

bool has(const auto& list, std::string_view word) { return std::ranges::find(list, word) != list.end(); }

Planned check_rlimits(const ProcessWish& wish) {
  Strings seen;
  for (size_t i = 0; i < wish.process.rlimits.size(); ++i) {
    const auto& limit = wish.process.rlimits[i];
    const auto field = fmt::format("{}.rlimits[{}]", wish.field, i);
    if (!has(kRlimits, limit.type))
      return refuse(field + ".type", fmt::format("\"{}\" is no resource of getrlimit(2)", limit.type));
    if (has(seen, limit.type)) return refuse(field, fmt::format("{} is set twice", limit.type));
    if (limit.soft > limit.hard)
      return refuse(field + ".soft", fmt::format("the soft limit of {} ({}) is above the hard one ({})",
                                                 limit.type, limit.soft, limit.hard));
    seen.push_back(limit.type);
  }
  return {};
}

Planned check_environment(const ProcessWish& wish) {
  for (size_t i = 0; i < wish.process.env.size(); ++i) {
    const auto& entry = wish.process.env[i];
    const auto field = fmt::format("{}.env[{}]", wish.field, i);
    if (entry.find('=') == std::string::npos || entry.starts_with('='))
      return refuse(field, fmt::format("\"{}\" is not of the form NAME=value", entry));
    if (entry.find('\0') != std::string::npos) return refuse(field, "the entry holds a zero byte");
  }
  for (size_t i = 0; i < wish.process.args.size(); ++i)
    if (wish.process.args[i].find('\0') != std::string::npos)
      return refuse(fmt::format("{}.args[{}]", wish.field, i), "the argument holds a zero byte");
  return {};
}

Planned check_scheduling(const ProcessWish& wish) {
  if (const auto& s = wish.process.scheduler) {
    const auto field = wish.field + ".scheduler";
    if (!has(kPolicies, s->policy))
      return refuse(field + ".policy", fmt::format("\"{}\" is no policy of sched(7)", s->policy));
    if (s->nice < -20 || s->nice > 19) return refuse(field + ".nice", "a nice value is -20 to 19");
    if (s->policy == "SCHED_DEADLINE" ? s->runtime == 0 : (s->runtime || s->deadline || s->period) != 0)
      return refuse(field + ".runtime",
                    "runtime, deadline and period belong to SCHED_DEADLINE, which needs them");
  }
  if (const auto& io = wish.process.ioPriority) {
    const auto field = wish.field + ".ioPriority";
    if (!has(kIoClasses, io->class_))
      return refuse(field + ".class", fmt::format("\"{}\" is no class of ioprio_set(2)", io->class_));
    if (io->priority < 0 || io->priority > 7) return refuse(field + ".priority", "an I/O priority is 0 to 7");
  }
  return {};
}

// 4294967295 is "unchanged" to setresuid(2) and its kin: the process would keep root's.
Planned check_user(const ProcessWish& wish) {
  constexpr uint32_t kNoId = 0xffffffff;
  constexpr size_t kMostGroups = 65536;  // NGROUPS_MAX
  const auto& user = wish.process.user;
  const auto no_id = [&](const std::string& field) {
    return refuse(fmt::format("{}.user.{}", wish.field, field),
                  "4294967295 is no id: the highest is 4294967294");
  };
  if (user.uid == kNoId) return no_id("uid");
  if (user.gid == kNoId) return no_id("gid");
  for (size_t i = 0; i < user.additionalGids.size(); ++i)
    if (user.additionalGids[i] == kNoId) return no_id(fmt::format("additionalGids[{}]", i));
  if (user.additionalGids.size() > kMostGroups)
    return refuse(wish.field + ".user.additionalGids",
                  fmt::format("{} groups are more than the {} the kernel takes", user.additionalGids.size(),
                              kMostGroups));
  return {};
}

Planned check_labels(const Builder& b, const ProcessWish& wish) {
  const auto& p = wish.process;
  if (!p.apparmorProfile.empty() && !b.facts.apparmor)
    return refuse(wish.field + ".apparmorProfile",
                  fmt::format("the profile \"{}\" cannot be applied: AppArmor is not "
                              "enabled on this host",
                              p.apparmorProfile));
  if (!p.selinuxLabel.empty() && !b.facts.selinux)
    return refuse(wish.field + ".selinuxLabel",
                  fmt::format("the label \"{}\" cannot be applied: SELinux is not "
                              "enabled on this host",
                              p.selinuxLabel));
  if (!b.os.mountLabel.empty() && !b.facts.selinux)
    return refuse("linux.mountLabel",
                  fmt::format("the label \"{}\" cannot be given to mounts: SELinux is not "
                              "enabled on this host",
                              b.os.mountLabel));
  return {};
}

Planned check_seccomp(const Builder& b, const ProcessWish& wish) {
  if (!wish.seccomp) return {};
  const spec::Seccomp& filter = *wish.seccomp;
  if (filter.defaultAction.empty()) return refuse("linux.seccomp.defaultAction", "a filter needs one");
  if (filter.defaultAction == kNotify)
    return refuse(
        "linux.seccomp.defaultAction",
        "SCMP_ACT_NOTIFY is for calls that a rule of syscalls names: with every call handed over, no "
        "agent could be asked");
  if (hands_calls_over(filter) && filter.listenerPath.empty())
    return refuse("linux.seccomp.listenerPath",
                  "SCMP_ACT_NOTIFY needs the path of the socket at which an agent waits for the calls");
  constexpr std::string_view kWaitKillable = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV";
  if (!has(filter.flags, kWaitKillable)) return {};
  if (!hands_calls_over(filter))
    return refuse("linux.seccomp.flags", fmt::format("{} needs a call with SCMP_ACT_NOTIFY", kWaitKillable));
  if (constexpr KernelVersion kSince{5, 19}; b.facts.kernel < kSince)
    return refuse("linux.seccomp.flags", fmt::format("{} needs Linux 5.19, this is {}.{}", kWaitKillable,
                                                     b.facts.kernel.major, b.facts.kernel.minor));
  return {};
}

// Names that this program does not know are left out, and said: fewer rights, never more.
Strings known(Builder& b, const Strings& names, const char* set) {
  Strings out;
  for (const auto& name : names) {
    if (!has(kCapabilities, name))
      b.note("capability " + name, fmt::format("left out of the {} set: no such capability is known", set));
    else if (!has(out, name))
      out.push_back(name);
  }
  return out;
}

Planned plan_capabilities(Builder& b, const ProcessWish& wish, SetCapabilities& sets,
                          LimitBoundingSet& bound) {
  if (!wish.process.capabilities) return {};
  const auto& wanted = *wish.process.capabilities;
  bound.keep = known(b, wanted.bounding, "bounding");
  sets = {.effective = known(b, wanted.effective, "effective"),
          .permitted = known(b, wanted.permitted, "permitted"),
          .inheritable = known(b, wanted.inheritable, "inheritable"),
          .ambient = {}};
  for (const auto& name : sets.effective)
    if (!has(sets.permitted, name))
      return refuse(wish.field + ".capabilities.effective",
                    fmt::format("{} can only be effective when it is permitted "
                                "too (capabilities(7))",
                                name));
  for (const auto& name : known(b, wanted.ambient, "ambient")) {
    if (has(sets.permitted, name) && has(sets.inheritable, name))
      sets.ambient.push_back(name);
    else
      b.note("capability " + name, "left out of the ambient set: it must be permitted and inheritable too");
  }
  return {};
}

std::string path_of(const Strings& env) {
  std::string path = kDefaultPath;
  for (const auto& entry : env)
    if (entry.starts_with("PATH=")) path = entry.substr(5);
  return path;
}

void plan_seccomp(Builder& b, const ProcessWish& wish) {
  if (wish.seccomp)
    b.container("seccomp", LoadSeccomp{"config", wish.seccomp}, b.why("linux.seccomp"));
  else if (wish.default_seccomp)
    b.container("seccomp", LoadSeccomp{"default", {}},
                Builder::standard("calls that containers do not need are refused"));
}

// execveat(2) without a condition; a rule with one may or may not let it pass.
bool lets_execveat_pass(const spec::Seccomp& filter) {
  const auto passes = [](std::string_view action) {
    return action == "SCMP_ACT_ALLOW" || action == "SCMP_ACT_LOG";
  };
  bool named = false;
  for (const auto& rule : filter.syscalls) {
    if (!has(rule.names, "execveat")) continue;
    named = true;
    if (passes(rule.action) && rule.args.empty()) return true;
  }
  return !named && passes(filter.defaultAction);
}

// With no_new_privs a program's file gives of its capabilities what the executing process has in its permitted set
// (capabilities(7)), and an exec between takes that away from who is not root, but for the ambient ones.
bool keeps_rights_for_the_file(const spec::Process& process) {
  if (!process.noNewPrivileges || process.user.uid == 0 || !process.capabilities) return false;
  const auto& ambient = process.capabilities->ambient;
  return std::ranges::any_of(process.capabilities->permitted, [&](const std::string& name) {
    return std::ranges::find(ambient, name) == ambient.end();
  });
}

bool needs_sealed_program(const spec::Process& process, const std::optional<spec::Seccomp>& filter) {
  return !process.apparmorProfile.empty() || !process.selinuxLabel.empty() ||
         (filter && !lets_execveat_pass(*filter)) || keeps_rights_for_the_file(process);
}

// The command is looked for before the working directory is entered: "./x" means a file there all the same.
std::string from_working_directory(const spec::Process& process) {
  const std::string& command = process.args[0];
  if (command.starts_with('/') || command.find('/') == std::string::npos) return command;
  return absolute_in_container(process.cwd) + "/" + command;
}

}  // namespace

Planned check_process(const Builder& b, const ProcessWish& wish) {
  const auto& p = wish.process;
  if (p.args.empty() || p.args[0].empty()) return refuse(wish.field + ".args", "there is no command to run");
  if (!p.cwd.starts_with('/'))
    return refuse(wish.field + ".cwd",
                  fmt::format("the working directory \"{}\" must be an absolute path", p.cwd));
  if (p.user.umask.value_or(0) > 0777) return refuse(wish.field + ".user.umask", "a umask is at most 0777");
  if (p.oomScoreAdj && (*p.oomScoreAdj < -1000 || *p.oomScoreAdj > 1000))
    return refuse(wish.field + ".oomScoreAdj", "an oom score adjustment is -1000 to 1000");
  CLOCHE_PLAN(check_environment(wish));
  CLOCHE_PLAN(check_user(wish));
  CLOCHE_PLAN(check_rlimits(wish));
  CLOCHE_PLAN(check_scheduling(wish));
  CLOCHE_PLAN(check_labels(b, wish));
  return check_seccomp(b, wish);
}

bool hands_calls_over(const spec::Seccomp& filter) {
  return std::ranges::any_of(filter.syscalls,
                             [](const spec::SeccompSyscall& rule) { return rule.action == kNotify; });
}

void plan_listener(Builder& b, const ProcessWish& wish) {
  if (!wish.seccomp || wish.seccomp->listenerPath.empty()) return;
  if (hands_calls_over(*wish.seccomp))
    b.host("seccomp-listener", ConnectListener{wish.seccomp->listenerPath, b.request.await_start},
           b.why("linux.seccomp.listenerPath"));
  else
    b.note("linux.seccomp.listenerPath", "not used: no call has the action SCMP_ACT_NOTIFY");
}

Planned plan_process_setup(Builder& b, const ProcessWish& wish) {
  const auto& p = wish.process;
  b.container("signals", ResetSignals{}, Builder::standard("the caller's settings would outlive the exec"));
  b.container("session", NewSession{},
              Builder::standard("signals and terminals of the caller stay with the caller"));
  if (p.terminal) {
    const auto box = p.consoleSize.value_or(spec::Box{});
    b.container("terminal", OpenTerminal{.rows = box.height, .columns = box.width},
                b.why(wish.field + ".terminal"));
  }
  for (size_t i = 0; i < p.rlimits.size(); ++i)
    b.container("rlimit:" + p.rlimits[i].type,
                SetRlimit{p.rlimits[i].type, p.rlimits[i].soft, p.rlimits[i].hard},
                b.why(fmt::format("{}.rlimits[{}]", wish.field, i)));
  if (p.oomScoreAdj)
    b.container("oom-score", SetOomScore{*p.oomScoreAdj}, b.why(wish.field + ".oomScoreAdj"));
  if (b.os.personality) {
    const auto& wanted = *b.os.personality;
    if (wanted.domain != "LINUX" && wanted.domain != "LINUX32")
      return refuse("linux.personality.domain",
                    fmt::format("\"{}\" is neither LINUX nor LINUX32", wanted.domain));
    if (!wanted.flags.empty())
      return refuse(
          "linux.personality.flags",
          fmt::format("\"{}\" is not supported: the specification defines no flags", wanted.flags.front()));
    b.container("personality", SetPersonality{wanted.domain, wanted.flags}, b.why("linux.personality"));
  }
  if (p.scheduler) b.container("scheduler", SetScheduler{*p.scheduler}, b.why(wish.field + ".scheduler"));
  if (p.ioPriority)
    b.container("io-priority", SetIoPriority{p.ioPriority->class_, p.ioPriority->priority},
                b.why(wish.field + ".ioPriority"));
  if (b.os.memoryPolicy) {
    constexpr KernelVersion kWeighted{6, 9};
    if (b.os.memoryPolicy->mode == "MPOL_WEIGHTED_INTERLEAVE" && b.facts.kernel < kWeighted)
      return refuse("linux.memoryPolicy.mode",
                    fmt::format("MPOL_WEIGHTED_INTERLEAVE needs Linux 6.9, this is {}.{}",
                                b.facts.kernel.major, b.facts.kernel.minor));
    b.container("memory-policy", SetMemoryPolicy{*b.os.memoryPolicy}, b.why("linux.memoryPolicy"));
  }
  b.container("command", FindCommand{from_working_directory(p), path_of(p.env)}, b.why(wish.field + ".args"));
  return {};
}

bool needs_sealed_program(const spec::Spec& spec) {
  // Who may trace in a pid namespace that is there already sees the starting process, and its file.
  const auto joins_processes = [](const spec::Namespace& ns) { return ns.type == "pid" && !ns.path.empty(); };
  if (spec.linux_ && std::ranges::any_of(spec.linux_->namespaces, joins_processes)) return true;
  return spec.process &&
         needs_sealed_program(*spec.process, spec.linux_ ? spec.linux_->seccomp : std::nullopt);
}

namespace {

// Of `cloche run`; a config's list is its writer's. The primary group alone is left by a set-group-id program, and what
// it is denied with it (CVE-2022-2989).
std::vector<uint32_t> groups_of(const Builder& b, const ProcessWish& wish) {
  const spec::User& user = wish.process.user;
  std::vector<uint32_t> groups = user.additionalGids;
  if (std::holds_alternative<HostRoot>(b.request.root) && wish.set_groups && user.uid != 0 &&
      std::ranges::find(groups, user.gid) == groups.end())
    groups.push_back(user.gid);
  return groups;
}

}  // namespace

Planned plan_process_finish(Builder& b, const ProcessWish& wish) {
  const auto& p = wish.process;
  if (!b.facts.sealed_program && needs_sealed_program(p, wish.seccomp))
    return refuse(
        wish.field,
        "with a label, a filter without execveat, or capabilities for a program's file, the runtime has to "
        "run from a sealed copy of itself, and this one does not");
  if (wish.init && wish.seccomp && !lets_execveat_pass(*wish.seccomp))
    return refuse("linux.seccomp",
                  "the init is executed by execveat(2), which the filter does not allow: allow it, or "
                  "leave --init out");
  if (!p.apparmorProfile.empty())
    b.container("label", SetExecLabel{"apparmor", p.apparmorProfile}, b.why(wish.field + ".apparmorProfile"));
  if (!p.selinuxLabel.empty())
    b.container("label", SetExecLabel{"selinux", p.selinuxLabel}, b.why(wish.field + ".selinuxLabel"));

  SetCapabilities sets;
  LimitBoundingSet bound;
  CLOCHE_PLAN(plan_capabilities(b, wish, sets, bound));
  const Why caps_why =
      p.capabilities ? b.why(wish.field + ".capabilities") : Builder::standard("no capability was asked for");
  b.container("bounding-set", std::move(bound), caps_why);
  // As the container's root: images name working directories that their user may not enter by itself.
  b.container("cwd", ChangeDirectory{absolute_in_container(p.cwd), !wish.joining},
              b.why(wish.field + ".cwd"));
  // Without no_new_privs the kernel loads a filter only from a holder of CAP_SYS_ADMIN (seccomp(2)): before
  // the rights go. With it, as late as can be, so that the filter need not allow what set-up does.
  if (!p.noNewPrivileges) plan_seccomp(b, wish);
  b.container("user",
              SetUser{.uid = p.user.uid,
                      .gid = p.user.gid,
                      .groups = groups_of(b, wish),
                      .umask = p.user.umask,
                      .set_groups = wish.set_groups},
              b.why(wish.field + ".user"));
  b.container("capabilities", std::move(sets), caps_why);
  if (b.request.die_with_caller)
    b.container("die-with-caller", DieWithCaller{},
                Builder::standard("nobody would find the container later"));
  if (p.noNewPrivileges)
    b.container("no-new-privs", NoNewPrivileges{}, b.why(wish.field + ".noNewPrivileges"));
  // They run the image's programs: with the command's ids and rights, and under its filter. One with a listener is
  // loaded once, so they inherit it.
  const bool before_hooks = wish.seccomp && hands_calls_over(*wish.seccomp);
  if (p.noNewPrivileges && before_hooks) plan_seccomp(b, wish);
  plan_hooks(b, Side::container, "startContainer");
  if (p.noNewPrivileges && !before_hooks) plan_seccomp(b, wish);
  b.container("close-fds", CloseDescriptors{wish.preserve_fds},
              Builder::standard("no descriptor of the host reaches the command"));
  b.container("exec", Execute{p.args, p.env, wish.init, !wish.init && !needs_sealed_program(p, wish.seccomp)},
              b.why(wish.field + ".args"));
  return {};
}

void plan_hooks(Builder& b, Side side, const std::string& stage) {
  if (!b.spec.hooks) return;
  const auto& all = *b.spec.hooks;
  const auto& hooks = stage == "prestart"          ? all.prestart
                      : stage == "createRuntime"   ? all.createRuntime
                      : stage == "createContainer" ? all.createContainer
                      : stage == "startContainer"  ? all.startContainer
                                                   : all.poststart;
  if (hooks.empty()) return;
  if (side == Side::host)
    b.host("hooks:" + stage, RunHooks{stage, hooks}, b.why("hooks." + stage));
  else
    b.container("hooks:" + stage, RunHooks{stage, hooks}, b.why("hooks." + stage));
}

}  // namespace cloche::plan
