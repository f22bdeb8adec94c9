// The script's lines for cgroups, namespaces and the process itself.
#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "plan/planner.h"
#include "plan/script_writer.h"
#include "plan/shell.h"
#include "plan/words.h"
#include "spec/sysctl.h"

namespace cloche::plan {
namespace {

// Options of unshare(1) and nsenter(1) for the OCI words.
std::string namespace_option(std::string_view type) {
  if (type == "network") return "--net";
  for (const std::string_view word : {"mount", "pid", "uts", "ipc", "user", "cgroup", "time"}) {
    if (word == type) return fmt::format("--{}", type);
  }
  return "";
}

std::string capability_list(const Strings& names) {
  std::string out = "-all";
  for (const std::string& name : names) out += ",+" + capability_word(name);
  return out;
}

bool same_set(Strings a, Strings b) {
  std::ranges::sort(a);
  std::ranges::sort(b);
  return a == b;
}

}  // namespace

// ---- on the host -----------------------------------------------------------------------------------------------

void ScriptWriter::emit(const CreateCgroup& a) { line(fmt::format("mkdir -p -- {}", shell_word(a.path))); }

// systemd-run(1) starts a scope around the command that it executes itself; a process that is there already needs the bus.
void ScriptWriter::emit(const StartScope& a) {
  not_done(
      fmt::format("systemd's {0} is not started: run this script by `systemd-run {1}--scope --unit={0} "
                  "--slice={2} -p Delegate=yes`",
                  printable(a.unit), a.user ? "--user " : "", printable(a.slice)));
}

void ScriptWriter::emit(const EnterScope&) { line("# in the scope is this script, and what it starts"); }

void ScriptWriter::emit(const AttachToScope& a) {
  not_done(fmt::format("the process is not moved into systemd's {}", printable(a.unit)));
}

void ScriptWriter::emit(const SetScopeProperties& a) {
  not_done(fmt::format("the properties of systemd's {} stay as they are", printable(a.unit)));
}

void ScriptWriter::emit(const LeaveCgroup& a) {
  line(fmt::format("mkdir -p -- {}", shell_word(a.leaf)));
  line(fmt::format("echo $$ >{}/cgroup.procs", shell_word(a.leaf)));
}

void ScriptWriter::emit(const EnableControllers& a) {
  std::string value;
  for (const std::string& controller : a.controllers)
    value += fmt::format("{}+{}", value.empty() ? "" : " ", controller);
  if (value.empty() || !a.cgroup.starts_with(a.from + "/")) return line("# nothing to hand down");
  // Every cgroup above the container's, the topmost first.
  for (size_t end = a.from.size(); end < a.cgroup.size(); end = a.cgroup.find('/', end + 1)) {
    line(fmt::format("echo {} >{}/cgroup.subtree_control{}", shell_word(value),
                     shell_word(a.cgroup.substr(0, end)), a.only_count ? " || :" : ""));
    if (a.cgroup.find('/', end + 1) == std::string::npos) break;
  }
}

void ScriptWriter::emit(const WriteCgroup& a) {
  const auto write = [&](const std::string& file, const std::string& value) {
    return fmt::format("printf '%s\\n' {} >{}", shell_word(value), shell_word(a.cgroup + "/" + file));
  };
  if (!a.bfq) return line(write(a.file, a.value));
  // Either file may be missing, or refuse the disk.
  line(fmt::format("took=; {} && took=1; {} && took=1; [ \"$took\" ]", write(a.file, a.value),
                   write(kBfqWeight, *a.bfq)));
}

void ScriptWriter::emit(const LimitDevices&) {
  not_done("a device policy is a BPF program, loaded by bpf(2); no program of the base system loads one");
}

void ScriptWriter::emit(const MakeResctrlGroup& a) {
  const std::string path = shell_word(a.path);
  if (a.how == "existing") return line(fmt::format("[ -d {} ]", path));
  line(fmt::format("{}mkdir -- {}", a.how == "shared" ? fmt::format("[ -d {} ] || ", path) : "", path));
}

void ScriptWriter::emit(const WriteSchemata& a) {
  if (a.lines.empty()) return line("# nothing to share out");
  for (const std::string& text : a.lines)
    line(fmt::format("printf '%s\\n' {} >{}", shell_word(text), shell_word(a.group + "/schemata")));
}

void ScriptWriter::emit(const JoinResctrlGroup& a) {
  line(fmt::format("echo \"$pid\" >{}", shell_word(a.group + "/tasks")));
}

void ScriptWriter::emit(const CloneProcess& a) {
  std::string command;
  if (!joins_.empty()) command = "nsenter" + joins_ + " ";
  command += "unshare --fork";
  const bool user = std::ranges::find(a.namespaces, "user") != a.namespaces.end();
  for (const std::string& type : a.namespaces) {
    const std::string option = namespace_option(type);
    if (!option.empty()) command += " " + option;
    if (type == "mount") command += " --propagation unchanged";
  }
  // Until the ids are mapped the process is nobody, and nobody's rights would not outlive an execve.
  if (user) command += " --keep-caps";
  line(fmt::format("exec {} sh -c \"$shell1\"", command));
  if (a.cgroup.empty()) return;
  mapper_ += fmt::format("\n# {}. {}: its cgroup, before it makes a cgroup namespace\n", at_ + 1,
                         printable(plan_.steps[at_].id));
  mapper_ += fmt::format("echo \"$pid\" >{}/cgroup.procs\n", shell_word(a.cgroup));
}

void ScriptWriter::emit(const DenySetgroups&) { line("echo deny >\"/proc/$pid/setgroups\""); }

void ScriptWriter::emit(const WriteIdMap& a) {
  const bool helper = a.writer == "newuidmap" || a.writer == "newgidmap";
  std::string command = helper ? a.writer + " \"$pid\"" : "printf '%s %s %s\\n'";
  for (const spec::IDMapping& map : a.map)
    command += fmt::format(" {} {} {}", map.containerID, map.hostID, map.size);
  if (!helper) command += fmt::format(" >\"/proc/$pid/{}_map\"", a.kind == "gid" ? "gid" : "uid");
  line(command);
}

void ScriptWriter::emit(const GiveStreams& a) {
  line("for stream in 0 1 2; do");
  line(fmt::format(
      "  if [ -p /proc/self/fd/$stream ] || [ -t $stream ]; then chown {} /proc/self/fd/$stream || :; fi",
      a.uid));
  line("done");
}

void ScriptWriter::emit(const JoinNamespace& a) {
  joins_ += fmt::format(" {}", shell_word(namespace_option(a.type) + "=" + a.path));
  line("# with nsenter, below");
}

// ---- entering --------------------------------------------------------------------------------------------------

void ScriptWriter::emit(const UnshareNamespace& a) {
  next_shell("unshare " + shell_word(namespace_option(a.type)));
}

void ScriptWriter::emit(const EnterTimeNamespace& a) {
  if (a.monotonic.nanosecs != 0 || a.boottime.nanosecs != 0)
    not_done("unshare(1) moves clocks by whole seconds");
  // nsenter: on kernels before 6.3 only a child would be in the new namespace.
  next_shell(fmt::format(
      "unshare --time --monotonic={} --boottime={} nsenter --time=/proc/self/ns/time_for_children",
      a.monotonic.secs, a.boottime.secs));
}

void ScriptWriter::emit(const BecomeRoot& a) {
  next_shell(fmt::format("setpriv --reuid=0 --regid=0 {} --inh-caps=-all --ambient-caps=-all",
                         a.clear_groups ? "--clear-groups" : "--keep-groups"));
}

void ScriptWriter::emit(const SetHostname& a) { line(fmt::format("hostname -- {}", shell_word(a.name))); }
void ScriptWriter::emit(const SetDomainname& a) { line(fmt::format("domainname -- {}", shell_word(a.name))); }
// What is mounted is seen by criu alone, and goes with it.
void ScriptWriter::emit(const RestoreProcesses& a) {
  for (const MountPoint& point : a.points)
    line(fmt::format("[ -e {0} ] || {1} {0}", shell_word(a.root + point.path),
                     point.source.empty() ? "mkdir -p --" : "touch --"));
  // In the foreground: what ends with the script is what the script started.
  RestoreProcesses at_once = a;
  at_once.pauses = false;  // hooks are no part of the script
  // Numbers of one digit, as sh(1) takes them; 3 and 4 are the script's own. Streams and namespaces are five at most.
  int64_t number = 5;
  for (InheritedFd& fd : at_once.inherited) fd.number = number++;
  Strings args = criu_restore_arguments(at_once);
  std::erase_if(
      args, [](const std::string& arg) { return arg == "--restore-detached" || arg == "--restore-sibling"; });
  std::string streams;
  std::string show = "mount --rbind -- \"$0\" \"$0\" && mount --make-rprivate \"$0\"";
  line(fmt::format("mkdir -p -- {}", shell_word(a.place + "/cgroups/unified")));
  if (!a.cgroups.empty())
    show += fmt::format(" && mount --bind -- {} {}", shell_word(a.cgroups),
                        shell_word(a.place + "/cgroups/unified"));
  if (!a.shown.empty()) show += " && " + shown_apart(a);
  for (const InheritedFd& fd : at_once.inherited) {
    // The script's own terminal is the container's.
    const bool terminal = fd.source == "terminal";
    if (fd.source.size() == 1)
      streams += fmt::format(" {}<&{}", fd.number, fd.source);
    else
      streams += terminal ? fmt::format(" {}<>\"$(tty)\"", fd.number)
                          : fmt::format(" {}<{}", fd.number, shell_word(fd.source));
    if (!terminal) continue;
    const std::string console = shell_word((a.user_namespace ? a.shown : a.place) + "/console");
    if (!a.user_namespace) line(fmt::format("touch -- {}", console));
    show += fmt::format(" && mount --bind -- \"$(tty)\" {}", console);
  }
  if (a.readonly_root) show += " && mount -o remount,bind,ro \"$0\"";
  show += a.no_new_privileges ? " && exec setpriv --no-new-privs \"$@\"" : " && exec \"$@\"";
  line(fmt::format("unshare --mount --propagation slave sh -c {} \\", shell_word(show)));
  line(fmt::format("  {} {} {}{} >{} 2>&1", shell_word(a.root), shell_word(a.program), shell_words(args),
                   streams, shell_word(a.work + "/restore.log")));
  line(fmt::format("rm -r -- {0} && rmdir -- {1}", shell_word(a.place),
                   shell_word(a.place.substr(0, a.place.rfind('/')))));
}

void ScriptWriter::emit(const FinishRestore&) { line("# criu has not waited: its command is above"); }

void ScriptWriter::emit(const MoveNetDevice& a) {
  not_done(fmt::format("the device {} stays on the host: ip(8) keeps no addresses when it moves one",
                       shown(a.device)));
}
void ScriptWriter::emit(const LoopbackUp&) { line("ip link set lo up"); }

void ScriptWriter::emit(const WriteSysctl& a) {
  line(fmt::format("printf '%s\\n' {} >{}", shell_word(a.value),
                   shell_word("/proc/sys/" + spec::sysctl_file(a.key).value_or(a.key))));
}

// ---- the process -----------------------------------------------------------------------------------------------

// sh(1) keeps what was ignored when it was started.
void ScriptWriter::emit(const ResetSignals&) {
  reset_signals_ = true;
  line("# with env, in the last command");
  not_done("env(1) takes no signal out of the mask: what the caller blocked stays blocked");
}

void ScriptWriter::emit(const NewSession&) {
  if (terminal_) return not_done("the caller's terminal stays, which a new session would lose");
  next_shell("setsid");
}

void ScriptWriter::emit(const NewKeyring&) {
  not_done("keyctl(1), which makes keyrings, is not in the base system; the caller's session keyring stays");
}

void ScriptWriter::emit(const OpenTerminal&) {
  not_done(
      "a shell cannot open a pseudoterminal and hand it to a command; the caller's terminal or pipes stay");
}

void ScriptWriter::emit(const SetRlimit& a) {
  std::string name = a.type.starts_with("RLIMIT_") ? a.type.substr(7) : a.type;
  std::ranges::transform(name, name.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c; });
  const auto value = [](uint64_t n) {
    return n == std::numeric_limits<uint64_t>::max() ? std::string("unlimited") : fmt::to_string(n);
  };
  line(fmt::format("prlimit --pid $$ {}",
                   shell_word(fmt::format("--{}={}:{}", name, value(a.soft), value(a.hard)))));
}

void ScriptWriter::emit(const SetOomScore& a) {
  line(fmt::format("echo {} >/proc/self/oom_score_adj", a.adjustment));
}

void ScriptWriter::emit(const SetPersonality& a) {
  next_shell(a.domain == "LINUX32" ? "setarch linux32" : "setarch \"$(uname -m)\"");
}

void ScriptWriter::emit(const SetScheduler& a) {
  const spec::Scheduler& s = a.scheduler;
  struct Policy {
    std::string_view name, option;
  };
  constexpr Policy kPolicies[] = {{"SCHED_OTHER", "--other"}, {"SCHED_FIFO", "--fifo"},
                                  {"SCHED_RR", "--rr"},       {"SCHED_BATCH", "--batch"},
                                  {"SCHED_IDLE", "--idle"},   {"SCHED_DEADLINE", "--deadline"}};
  const auto* policy = std::ranges::find(kPolicies, std::string_view(s.policy), &Policy::name);
  if (policy == std::end(kPolicies)) return not_done("chrt(1) does not know the policy " + shown(s.policy));
  std::string command = "chrt";
  for (const std::string& flag : s.flags) {
    if (flag == "SCHED_FLAG_RESET_ON_FORK")
      command += " --reset-on-fork";
    else
      not_done("chrt(1) cannot set the flag " + shown(flag));
  }
  if (s.policy == "SCHED_DEADLINE") {
    command += fmt::format(" --sched-runtime {} --sched-deadline {} --sched-period {}", s.runtime, s.deadline,
                           s.period);
  }
  line(fmt::format("{} {} --pid {} $$", command, policy->option, s.priority));
  if (s.nice != 0) line(fmt::format("renice -n {} -p $$", s.nice));
}

void ScriptWriter::emit(const SetIoPriority& a) {
  const int io_class = a.io_class == "IOPRIO_CLASS_RT" ? 1 : a.io_class == "IOPRIO_CLASS_IDLE" ? 3 : 2;
  line(fmt::format("ionice -c {}{} -p $$", io_class, io_class == 3 ? "" : fmt::format(" -n {}", a.priority)));
}

void ScriptWriter::emit(const SetMemoryPolicy&) {
  not_done("numactl(8), which sets memory policies, is not in the base system");
}

void ScriptWriter::emit(const SetAffinity& a) {
  line(fmt::format("taskset --cpu-list --pid {} $$", shell_word(a.cpus)));
}

void ScriptWriter::emit(const SetExecLabel& a) {
  setpriv_.push_back(
      shell_word((a.module == "apparmor" ? "--apparmor-profile=" : "--selinux-label=") + a.label));
  line("# with setpriv, in the last command");
}

void ScriptWriter::emit(const LimitBoundingSet& a) {
  bounding_ = &a;
  setpriv_.push_back(shell_word("--bounding-set=" + capability_list(a.keep)));
  line("# with setpriv, in the last command");
}

void ScriptWriter::emit(const SetUser& a) {
  uid_ = a.uid;
  setpriv_.push_back(fmt::format("--reuid={} --regid={}", a.uid, a.gid));
  if (!a.set_groups) {
    setpriv_.emplace_back("--keep-groups");
  } else if (a.groups.empty()) {
    setpriv_.emplace_back("--clear-groups");
  } else {
    setpriv_.push_back(fmt::format("--groups={}", fmt::join(a.groups, ",")));
  }
  line(fmt::format("umask {:04o}  # the rest with setpriv, in the last command", a.umask.value_or(022)));
}

void ScriptWriter::emit(const SetCapabilities& a) {
  setpriv_.push_back(shell_word("--inh-caps=" + capability_list(a.inheritable)));
  setpriv_.push_back(shell_word("--ambient-caps=" + capability_list(a.ambient)));
  line("# with setpriv, in the last command");
  // For uid 0 the kernel makes the permitted set anew at execve: all of the bounding set (capabilities(7)).
  if (uid_ == 0 && bounding_ != nullptr && !same_set(a.permitted, bounding_->keep)) {
    not_done("setpriv(1) sets no permitted set; as uid 0 the command gets the whole bounding set");
  }
}

void ScriptWriter::emit(const DieWithCaller&) {
  setpriv_.emplace_back("--pdeathsig=KILL");
  line("# with setpriv, in the last command");
}

void ScriptWriter::emit(const NoNewPrivileges&) {
  setpriv_.emplace_back("--no-new-privs");
  line("# with setpriv, in the last command");
}

void ScriptWriter::emit(const LoadSeccomp&) {
  not_done(
      "setpriv(1) loads a seccomp filter from util-linux 2.41 on, and nothing in the base system compiles "
      "one");
}

void ScriptWriter::emit(const ConnectListener&) {
  not_done("no program of the base system sends a descriptor to a socket");
}

void ScriptWriter::emit(const ChangeDirectory& a) {
  directory_ = a.path;
  if (bundle_) return line("# with env, in the last command; as the command's user");
  const std::string path = shell_word(a.path);
  if (a.make) line(fmt::format("[ -d {0} ] || mkdir -p -- {0}", path));
  line(fmt::format("cd -- {}", path));
}

void ScriptWriter::emit(const CloseDescriptors& a) {
  std::string command = "exec";
  for (uint32_t fd = 3 + std::min<uint32_t>(a.preserve, 7); fd < 10; ++fd)
    command += fmt::format(" {}>&-", fd);
  if (command != "exec") line(command);
  not_done("a shell names descriptors 0 to 9 only; those above stay open if the caller had them");
}

void ScriptWriter::emit(const RunHooks& a) {
  not_done(fmt::format("{} of a runtime, which hands them the container's state",
                       counted(a.hooks.size(), "hook")));
}

void ScriptWriter::emit(const AwaitStart&) { not_done("the command starts at once"); }

void ScriptWriter::emit(const FindCommand& a) {
  const std::string command = shell_word(a.command);
  const bool path = a.command.find('/') != std::string::npos;
  const std::string found =
      path ? fmt::format("[ -e {} ]", command)
           : fmt::format("(PATH={}; command -v -- {} >/dev/null)", shell_word(a.search_path), command);
  line(fmt::format("{} || {{ printf '%s: not found\\n' {} >&2; exit 127; }}", found, command));
  if (path)
    line(fmt::format(
        "[ -x {0} ] && [ ! -d {0} ] || {{ printf '%s: cannot be executed\\n' {0} >&2; exit 126; }}",
        command));
}

// setpriv before env: env is found by the host's PATH, and it is what brings the container's.
void ScriptWriter::emit(const Execute& a) {
  if (a.init)
    not_done("the command itself is process 1: it has to reap, and gets no signal that it does not handle");
  if (a.args.empty()) return not_done("there is no command");
  if (a.args.front().find('=') != std::string::npos) {
    not_done("env(1) takes a command with = in its name for a variable");
    return line("exit 125");
  }
  const bool home = std::ranges::any_of(a.env, [](const std::string& v) { return v.starts_with("HOME="); });
  if (!home) {
    line("home=/");
    line("if [ -r /etc/passwd ]; then");
    line("  while IFS=: read -r _ _ uid _ _ path _; do");
    line(fmt::format("    if [ \"$uid\" = {} ]; then home=$path; break; fi", uid_));
    line("  done </etc/passwd");
    line("fi");
  }
  const std::string by_hand =
      bundle_ && pivot_ < plan_.steps.size() ? "\"$loader\" --library-path \"$libraries\" ./bin/" : "";
  std::string command = "exec";
  if (!setpriv_.empty()) {
    command += fmt::format(" {}setpriv", by_hand);
    for (const std::string& option : setpriv_) command += " \\\n  " + option;
    command += " \\\n  --";
  }
  command += fmt::format(" {}env -i{}", by_hand, reset_signals_ ? " --default-signal" : "");
  if (!by_hand.empty()) command += fmt::format(" -C {}", shell_word(directory_));
  command += " --";
  for (const std::string& variable : a.env) {
    if (variable.find('=') != std::string::npos) command += " \\\n  " + shell_word(variable);
  }
  if (!home) command += " \\\n  HOME=\"$home\"";
  line(fmt::format("{} \\\n  {}", command, shell_words(a.args)));
}

}  // namespace cloche::plan
