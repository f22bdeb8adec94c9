#include "runtime/exec.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "plan/planner.h"
#include "runtime/container.h"
#include "runtime/execution.h"
#include "runtime/explanation.h"
#include "runtime/facts.h"
#include "runtime/foreground.h"
#include "runtime/handover.h"
#include "runtime/hooks.h"
#include "runtime/left_to_exit.h"
#include "runtime/step_error.h"
#include "runtime/systemd.h"
#include "spec/read.h"
#include "spec/validate.h"
#include "sys/files.h"
#include "sys/process.h"
#include "sys/sockets.h"

namespace cloche::runtime {
namespace {

// What containerd and CRI-O look for.
constexpr const char kNotRunning[] = "container not running";

constexpr const char* kTypes[] = {"pid", "uts", "ipc", "network", "cgroup", "time", "mount"};

void add_missing(spec::Strings& to, const std::string& name) {
  if (std::ranges::find(to, name) == to.end()) to.push_back(name);
}

// The config's process with the flags put in.
sys::Result<spec::Process> process_from_flags(const spec::Spec& spec, const ExecOptions& options) {
  if (!spec.process)
    return sys::fail_because("the container's config has no process to start from: use --process");
  spec::Process process = *spec.process;
  process.args = options.args;
  process.terminal = options.terminal;
  process.consoleSize.reset();
  process.env.insert(process.env.end(), options.env.begin(), options.env.end());
  if (!options.cwd.empty()) process.cwd = options.cwd;
  if (options.uid) process.user.uid = *options.uid;
  if (options.gid) process.user.gid = *options.gid;
  for (const uint32_t gid : options.additional_gids) process.user.additionalGids.push_back(gid);
  if (!options.apparmor.empty()) process.apparmorProfile = options.apparmor;
  if (!options.label.empty()) process.selinuxLabel = options.label;
  if (options.no_new_privileges) process.noNewPrivileges = *options.no_new_privileges;
  if (!options.capabilities.empty() && !process.capabilities) process.capabilities.emplace();
  for (const std::string& name : options.capabilities)
    for (auto* set : {&process.capabilities->bounding, &process.capabilities->effective,
                      &process.capabilities->permitted})
      add_missing(*set, name);
  return process;
}

// Where the process goes: the container's cgroup, or that of its init when the container has made cgroups of its own
// and processes may only be in the leaves (cgroups(7), "no internal processes").
sys::Result<std::string> cgroup_for(const Container& container, const plan::HostFacts& facts,
                                    const std::string& below) {
  const std::string& own = container.state.cgroup;
  if (own.empty()) return std::string();
  if (!below.empty()) {
    if (below.find("..") != std::string::npos)
      return sys::fail_because("--cgroup: the path must not hold \"..\"");
    return fmt::format("{}/{}", own, below.starts_with('/') ? below.substr(1) : below);
  }
  const auto handed_down = sys::read_file(AT_FDCWD, own + "/cgroup.subtree_control", 4096);
  if (!handed_down || handed_down->find_first_not_of('\n') == std::string::npos) return own;
  CLOCHE_TRY_ASSIGN(text,
                    sys::read_file(AT_FDCWD, fmt::format("/proc/{}/cgroup", container.init->pid), 65536));
  return facts.cgroup.mount + parse_own_cgroup(text);
}

struct Joined {
  std::vector<plan::JoinNamespace> namespaces;
  bool user = false, setgroups_denied = false;
};

// Every namespace of the container's init that is not ours.
sys::Result<Joined> namespaces_of(pid_t init, bool privileged) {
  const auto differs = [&](std::string_view type) -> sys::Result<bool> {
    const auto file = sys::namespace_file(type);
    auto theirs = sys::read_link(AT_FDCWD, fmt::format("/proc/{}/ns/{}", init, file));
    if (!theirs && theirs.error().code == ENOENT) return false;  // a kernel without such namespaces
    if (!theirs) return std::unexpected(std::move(theirs).error());
    CLOCHE_TRY_ASSIGN(ours, sys::read_link(AT_FDCWD, fmt::format("/proc/self/ns/{}", file)));
    return *theirs != ours;
  };
  const auto path = [&](std::string_view type) {
    return fmt::format("/proc/{}/ns/{}", init, sys::namespace_file(type));
  };
  Joined joined;
  CLOCHE_TRY_ASSIGN(user, differs("user"));
  joined.user = user;
  // Rights over the others come with the user namespace, unless the caller has them already: then some of the others
  // may belong to the host.
  if (user && !privileged) joined.namespaces.push_back({"user", path("user")});
  for (const char* type : kTypes) {
    CLOCHE_TRY_ASSIGN(other, differs(type));
    if (other) joined.namespaces.push_back({type, path(type)});
  }
  if (user && privileged) joined.namespaces.push_back({"user", path("user")});
  if (user) {
    const auto setgroups = sys::read_file(AT_FDCWD, fmt::format("/proc/{}/setgroups", init), 64);
    joined.setgroups_denied = setgroups && setgroups->starts_with("deny");
  }
  return joined;
}

sys::Result<> check_status(const Container& container, const ExecOptions& options) {
  if (container.status == Status::paused && !options.ignore_paused)
    return sys::fail_because("it is paused (with --ignore-paused the command waits until it is resumed)");
  if (!container.has_process())
    return sys::fail_because(fmt::format("it is not running but {}", name(container.status)));
  return {};
}

sys::Result<> check_terminal(bool terminal, const ExecOptions& options) {
  if (terminal && options.detach && options.console_socket.empty())
    return sys::fail_because(
        "a detached process's terminal needs a --console-socket to send it to (cannot allocate tty if the "
        "runtime "
        "will detach without setting console socket)");
  if (!options.console_socket.empty() && !(terminal && options.detach))
    return sys::fail_because("--console-socket: only a detached process with a terminal has one to send");
  return {};
}

sys::Result<sys::Fd> connect_if(const std::string& path) {
  if (path.empty()) return sys::Fd();
  return sys::connect_stream(path);
}

// A user in a session's own cgroup may not move a process into one of the manager's: the cgroup above both is root's
// (cgroup-v2.rst, "Delegation Containment"). The manager may.
std::optional<plan::AttachToScope> attached_by_manager(const Container& container,
                                                       const plan::HostFacts& facts,
                                                       const std::string& cgroup) {
  const auto scope = scope_of(container.state);
  if (!scope || !scope->user || facts.privileged || cgroup != container.state.cgroup) return {};
  const size_t manager = cgroup.find("/user@");
  if (manager == std::string::npos) return {};
  const std::string delegated = cgroup.substr(0, cgroup.find('/', manager + 1)) + "/";
  if ((facts.cgroup.mount + facts.cgroup.own + "/").starts_with(delegated)) return {};
  return plan::AttachToScope{.unit = scope->unit, .cgroup = cgroup, .user = true};
}

sys::Result<plan::Plan> plan_exec(const Container& container, const ExecOptions& options, spec::Spec spec,
                                  spec::Process process, plan::HostFacts& facts) {
  FactsWanted wanted;
  wanted.modules = !process.apparmorProfile.empty() || !process.selinuxLabel.empty();
  wanted.resctrl = spec.linux_ && spec.linux_->intelRdt;
  CLOCHE_TRY_ASSIGN(gathered, gather_facts(wanted));
  facts = std::move(gathered);
  CLOCHE_TRY_ASSIGN(joined, namespaces_of(static_cast<pid_t>(container.init->pid), facts.privileged));
  CLOCHE_TRY_ASSIGN(cgroup, cgroup_for(container, facts, options.cgroup));
  plan::ExecRequest request{.id = options.id,
                            .process = std::move(process),
                            .namespaces = std::move(joined.namespaces),
                            .cgroup = std::move(cgroup),
                            .setgroups_denied = joined.setgroups_denied,
                            .user_namespace = joined.user,
                            .preserve_fds = options.preserve_fds};
  if (!request.process.execCPUAffinity && spec.process)
    request.process.execCPUAffinity = spec.process->execCPUAffinity;
  if (spec.linux_) {
    request.seccomp = std::move(spec.linux_->seccomp);
    request.personality = spec.linux_->personality;
    request.memory_policy = spec.linux_->memoryPolicy;
    request.intel_rdt = spec.linux_->intelRdt;
  }
  request.scope = attached_by_manager(container, facts, request.cgroup);
  if (request.scope) request.cgroup.clear();
  auto planned = plan::make_exec_plan(request, facts);
  if (!planned) return std::unexpected(refusal_error(planned.error()));
  return *std::move(planned);
}

// The namespaces were opened by number: they are this container's if its init is still the same process after that.
sys::Result<> check_init(const Container& container) {
  if (is_alive(*container.init)) return {};
  return sys::fail_because(kNotRunning);
}

// What the kernel makes of a container that ends meanwhile: ENOENT for its namespaces' files, ENOMEM for a process in a
// pid namespace without its first one (pid_namespaces(7)), ENOENT or ENODEV for its cgroup.
sys::Error exec_error(const plan::Plan& plan, const StepFailure& failure, const plan::HostFacts& facts,
                      const Container& container) {
  const plan::Action& action = plan.steps[failure.step].action;
  const bool by_its_end = failure.error.code == ENOMEM ||
                          std::holds_alternative<plan::JoinNamespace>(action) ||
                          std::holds_alternative<plan::CloneProcess>(action);
  if (by_its_end && !is_alive(*container.init)) return sys::fail_because(kNotRunning).error();
  return step_error(plan, failure, facts);
}

sys::Result<> hand_out(Execution& execution, const ExecOptions& options, const sys::Fd& console,
                       const sys::Fd& pidfd_socket, const sys::Fd& terminal) {
  if (console.valid()) CLOCHE_TRY(hand_over(console, terminal, "/dev/ptmx"));
  if (pidfd_socket.valid()) CLOCHE_TRY(hand_over(pidfd_socket, execution.pidfd(), "pidfd"));
  if (!options.pid_file.empty()) CLOCHE_TRY(write_pid_file(options.pid_file, execution.pid()));
  return {};
}

// All that is large, left to the end of the process (left_to_exit.h).
struct Work {
  std::optional<Container> container;
  plan::HostFacts facts;
  plan::Plan plan;
  std::optional<Execution> execution;
};

sys::Result<int> exec(Work& work, const StateRoot& root, const ExecOptions& options, Report& report) {
  CLOCHE_TRY_ASSIGN(loaded, load(root, options.id));
  const Container& container = work.container.emplace(std::move(loaded));
  CLOCHE_TRY(check_status(container, options));
  CLOCHE_TRY_ASSIGN(spec, config_of(container));
  spec::Process process;
  if (options.process) {
    process = *options.process;
  } else {
    CLOCHE_TRY_ASSIGN(made, process_from_flags(spec, options));
    process = std::move(made);
  }
  auto valid = spec::validate_process(process, "process");
  if (!valid) return sys::fail_because(valid.error().message());
  CLOCHE_TRY(check_terminal(process.terminal, options));
  CLOCHE_TRY_ASSIGN(console, connect_if(options.console_socket));
  CLOCHE_TRY_ASSIGN(pidfd_socket, connect_if(options.pidfd_socket));
  plan::HostFacts& facts = work.facts;
  auto planned = plan_exec(container, options, std::move(spec), std::move(process), facts);
  if (!planned) {
    CLOCHE_TRY(check_init(container));  // what has ended has no namespaces to look at
    return std::unexpected(std::move(planned).error());
  }
  work.plan = *std::move(planned);
  const plan::Plan& plan = work.plan;
  for (const plan::Note& note : plan.notes) report.notes.push_back(note.subject + ": " + note.text);

  std::optional<Foreground> foreground;
  if (!options.detach) {
    CLOCHE_TRY_ASSIGN(ready, Foreground::prepare());
    foreground.emplace(std::move(ready));
  }
  Prepared prepared;
  prepared.oci_state = state_for_hooks(hook_state(container.state), fmt::format("{}", container.init->pid),
                                       name(container.status));
  CLOCHE_TRY_ASSIGN(made, Execution::prepare(plan, std::move(prepared)));
  Execution& execution = work.execution.emplace(std::move(made));
  const auto ran = execution.run([&] { return check_init(container); });
  if (!ran) {
    keep_explanation(root, options.id,
                     {.what = fmt::format("exec in container \"{}\"", options.id),
                      .plan = plan,
                      .failure = ran.error(),
                      .facts = facts,
                      .record = execution.record(),
                      .undone = execution.undone()});
    return std::unexpected(exec_error(plan, ran.error(), facts, container));
  }
  if (options.record) report.steps = step_lines(plan, execution.record());
  const sys::Fd terminal = execution.take_terminal();
  if (auto given = hand_out(execution, options, console, pidfd_socket, terminal); !given) {
    (void)sys::signal_process(execution.pidfd(), SIGKILL);
    (void)sys::wait_for(execution.pid());
    return std::unexpected(std::move(given).error());
  }
  if (options.detach) return 0;
  CLOCHE_TRY_ASSIGN(ending, foreground->stand_by(execution.pid(), execution.pidfd(), terminal, true));
  return ending.exit_code();
}

}  // namespace

sys::Result<int> exec(const StateRoot& root, const ExecOptions& options, Report& report) {
  auto work = std::make_unique<Work>();
  auto ended = exec(*work, root, options, report);
  leave_to_exit(std::move(work));
  return ended;
}

}  // namespace cloche::runtime
