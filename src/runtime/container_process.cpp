// The container side's verbs on the process itself: session, limits, identity, filters, and the command.
#include <fmt/format.h>
#include <linux/ioprio.h>
#include <sched.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "kernel/capabilities.h"
#include "kernel/rlimits.h"
#include "kernel/seccomp.h"
#include "runtime/command.h"
#include "runtime/container_side.h"
#include "runtime/hooks.h"
#include "runtime/placement.h"
#include "sys/call.h"
#include "sys/files.h"
#include "sys/flags.h"
#include "sys/process.h"

namespace cloche::runtime {
namespace {

// struct sched_attr of linux/sched/types.h (Linux 5.3's layout), which cannot be included beside the C library's
// sched.h: both define sched_param.
struct SchedulingAttributes {
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;  // nanoseconds
  uint32_t util_min, util_max;
};

// Unknown names were reported with the config; they can be neither kept nor given.
kernel::CapabilitySet capability_set(const std::vector<std::string>& names) {
  return kernel::parse_capabilities(names).set;
}

}  // namespace

// Before the session, so that a `create`d container can be killed as any process can.
sys::Result<> ContainerSide::act(const plan::ResetSignals&) {
  CLOCHE_TRY(sys::default_signals());
  return sys::unblock_signals();
}

sys::Result<> ContainerSide::act(const plan::NewSession&) { return sys::new_session(); }
sys::Result<> ContainerSide::act(const plan::NewKeyring& step) {
  auto joined = sys::join_session_keyring(step.name);
  // A kernel without keyrings has none to leak; EDQUOT and the like are real failures.
  if (!joined && joined.error().code == ENOSYS) {
    note_fallback(record_, index_, "the kernel has no keyrings");
    return {};
  }
  return joined;
}

sys::Result<> ContainerSide::act(const plan::SetRlimit& step) {
  const auto resource = kernel::find_rlimit(step.type);
  if (!resource) return sys::fail_because(fmt::format("{} is no resource limit", step.type));
  return kernel::set_rlimit(*resource, {.soft = step.soft, .hard = step.hard});
}

sys::Result<> ContainerSide::act(const plan::SetOomScore& step) {
  if (!oom_score_) return std::unexpected(oom_score_.error());
  return sys::write_once(*oom_score_, fmt::format("{}", step.adjustment), "/proc/self/oom_score_adj");
}

sys::Result<> ContainerSide::act(const plan::SetPersonality& step) {
  return sys::set_personality(step.domain == "LINUX32" ? PER_LINUX32 : PER_LINUX);
}

// sched_setattr(2): glibc has no wrapper, so the structure of include/uapi/linux/sched/types.h is filled here.
sys::Result<> ContainerSide::act(const plan::SetScheduler& step) {
  struct PolicyName {
    std::string_view name;
    unsigned value;
  };
  constexpr PolicyName kPolicies[] = {{"SCHED_OTHER", 0},   {"SCHED_FIFO", 1}, {"SCHED_RR", 2},
                                      {"SCHED_BATCH", 3},   {"SCHED_ISO", 4},  {"SCHED_IDLE", 5},
                                      {"SCHED_DEADLINE", 6}};
  constexpr PolicyName kFlags[] = {{"SCHED_FLAG_RESET_ON_FORK", 0x01}, {"SCHED_FLAG_RECLAIM", 0x02},
                                   {"SCHED_FLAG_DL_OVERRUN", 0x04},    {"SCHED_FLAG_KEEP_POLICY", 0x08},
                                   {"SCHED_FLAG_KEEP_PARAMS", 0x10},   {"SCHED_FLAG_UTIL_CLAMP_MIN", 0x20},
                                   {"SCHED_FLAG_UTIL_CLAMP_MAX", 0x40}};
  SchedulingAttributes attr{};
  attr.size = sizeof attr;
  const spec::Scheduler& wanted = step.scheduler;
  const auto* policy = std::ranges::find(kPolicies, wanted.policy, &PolicyName::name);
  if (policy == std::end(kPolicies))
    return sys::fail_because(fmt::format("{} is no scheduling policy", wanted.policy));
  attr.policy = policy->value;
  attr.nice = wanted.nice;
  attr.priority = static_cast<uint32_t>(wanted.priority);
  attr.runtime = wanted.runtime;
  attr.deadline = wanted.deadline;
  attr.period = wanted.period;
  for (const std::string& name : wanted.flags) {
    const auto* flag = std::ranges::find(kFlags, name, &PolicyName::name);
    if (flag == std::end(kFlags)) return sys::fail_because(fmt::format("{} is no scheduler flag", name));
    attr.flags |= flag->value;
  }
  const long raw = sys::raw_call(SYS_sched_setattr, 0, &attr, 0);
  if (raw < 0)
    return sys::fail(static_cast<int>(-raw), fmt::format("sched_setattr(0, {{{}}})", wanted.policy));
  return {};
}

sys::Result<> ContainerSide::act(const plan::SetIoPriority& step) {
  const int io_class = step.io_class == "IOPRIO_CLASS_RT"     ? IOPRIO_CLASS_RT
                       : step.io_class == "IOPRIO_CLASS_IDLE" ? IOPRIO_CLASS_IDLE
                                                              : IOPRIO_CLASS_BE;
  const long raw =
      sys::raw_call(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(io_class, step.priority));
  if (raw < 0)
    return sys::fail(static_cast<int>(-raw), fmt::format("ioprio_set({}, {})", step.io_class, step.priority));
  return {};
}

sys::Result<> ContainerSide::act(const plan::SetMemoryPolicy& step) { return set_memory_policy(step.policy); }
sys::Result<> ContainerSide::act(const plan::SetAffinity& step) { return set_affinity(step.cpus); }

sys::Result<> ContainerSide::act(const plan::SetExecLabel& step) {
  const std::string text = step.module == "apparmor" ? "exec " + step.label : step.label;
  if (step.module == "apparmor") {
    auto written = sys::write_file(host_proc_.get(), "self/attr/apparmor/exec", text);
    if (written || written.error().code != ENOENT) return written;
  }
  return sys::write_file(host_proc_.get(), "self/attr/exec", text);
}

sys::Result<> ContainerSide::act(const plan::LimitBoundingSet& step) {
  return kernel::drop_bounding(capability_set(step.keep));
}

sys::Result<> ContainerSide::act(const plan::SetUser& step) {
  // Whoever the command runs as may reopen its own pipes and terminal through /proc/self/fd; files stay their owner's.
  if (!give_streams(step.uid)) note_fallback(record_, index_, "a stream kept its owner");
  if (step.uid != 0) CLOCHE_TRY(sys::process_control(PR_SET_KEEPCAPS, 1, 0, 0, 0, "PR_SET_KEEPCAPS, 1"));
  if (step.set_groups) CLOCHE_TRY(sys::set_groups(step.groups));
  CLOCHE_TRY(sys::set_gid(step.gid));
  CLOCHE_TRY(sys::set_uid(step.uid));
  sys::raw_call(SYS_umask, step.umask.value_or(022));
  return {};
}

sys::Result<> ContainerSide::act(const plan::SetCapabilities& step) {
  CLOCHE_TRY(kernel::set_capabilities(capability_set(step.effective), capability_set(step.permitted),
                                      capability_set(step.inheritable)));
  return kernel::set_ambient(capability_set(step.ambient));
}

// Whoever ended before the call is not noticed by the kernel.
sys::Result<> ContainerSide::act(const plan::DieWithCaller&) {
  CLOCHE_TRY(sys::process_control(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0, "PR_SET_PDEATHSIG, SIGKILL"));
  return host_.check_caller();
}

sys::Result<> ContainerSide::act(const plan::NoNewPrivileges&) {
  return sys::process_control(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, "PR_SET_NO_NEW_PRIVS, 1");
}

sys::Result<> ContainerSide::act(const plan::LoadSeccomp& step) {
  if (step.profile == "default" && !prepared_.filter)
    return kernel::load_seccomp(kernel::default_seccomp_program());
  if (!prepared_.filter) return sys::fail_because("the filter was not compiled before the clone");
  if (prepared_.filter->notifies) return load_with_listener(step.filter->listenerMetadata);
  return kernel::load_seccomp(*prepared_.filter);
}

// At a container's start a working directory that is not there is made, as every runtime does. getcwd(2) answers "(unreachable)/..." for
// a directory outside the root: a descriptor that leaked in would show itself so (CVE-2024-21626).
sys::Result<> ContainerSide::act(const plan::ChangeDirectory& step) {
  const auto enter = [&]() -> sys::Result<> {
    const long raw = sys::raw_call(SYS_chdir, step.path.c_str());
    if (raw >= 0) return {};
    return sys::fail(static_cast<int>(-raw), fmt::format("chdir({})", sys::in_quotes(step.path)));
  };
  auto entered = enter();
  if (!entered && step.make && entered.error().code == ENOENT) {
    CLOCHE_TRY_ASSIGN(slash, sys::open_at(AT_FDCWD, "/", O_PATH | O_DIRECTORY));
    if (sys::make_directory_in_root(slash, step.path, 0755)) entered = enter();
  }
  CLOCHE_TRY(entered);
  char where[4096];
  const long length = sys::raw_call(SYS_getcwd, where, sizeof where);
  if (length < 0) return sys::fail(static_cast<int>(-length), "getcwd()");
  if (where[0] != '/') return sys::fail_because("the working directory lies outside the container's root");
  return {};
}

// Marked, not closed: the report of a failed exec still has to leave through one of them.
sys::Result<> ContainerSide::act(const plan::CloseDescriptors& step) {
  CLOCHE_TRY(sys::close_range_from(3 + step.preserve, true));
  return {};
}

sys::Result<> ContainerSide::act(const plan::RunHooks& step) {
  const auto state = state_for_hooks(prepared_.oci_state, pid_, status_at(step.stage));
  if (step.stage != "startContainer") return run_hooks(step.stage, step.hooks, state);
  CLOCHE_TRY(let_go());
  // The filter is this process's a step later: it still has to fork for the hooks.
  size_t filter = index_;
  while (filter < plan_.steps.size() &&
         !std::holds_alternative<plan::LoadSeccomp>(plan_.steps[filter].action))
    ++filter;
  if (filter == plan_.steps.size()) return run_hooks(step.stage, step.hooks, state);
  return run_hooks(step.stage, step.hooks, state,
                   [&] { return act(std::get<plan::LoadSeccomp>(plan_.steps[filter].action)); });
}

sys::Result<> ContainerSide::act(const plan::AwaitStart&) {
  CLOCHE_TRY(let_go());
  CLOCHE_TRY(host_.waiting());
  CLOCHE_TRY_ASSIGN(agent, host_.await_start(prepared_.start_listener));
  prepared_.agent = std::move(agent);
  prepared_.start_listener.reset();
  return {};
}

sys::Result<> ContainerSide::act(const plan::FindCommand& step) {
  CLOCHE_TRY_ASSIGN(found, find_command(step.command, step.search_path));
  command_ = std::move(found);
  return {};
}

// The init keeps our end of the socket until the command's own exec has succeeded or failed. It cannot look for the
// reason of a failure: what would be the reason of each is handed along.
sys::Error ContainerSide::execute_by_init(const plan::Execute& step, const std::vector<std::string>& env) {
  if (auto kept = host_.keep_over_exec(); !kept) return std::move(kept).error();
  std::vector<std::string> init_args{
      "cloche-init", fmt::format("{},{}{}", host_.socket().get(), index_, step.init ? "" : ",exec"),
      exec_failure_reasons(command_), command_};
  init_args.insert(init_args.end(), step.args.begin(), step.args.end());
  return sys::execute(prepared_.init, "cloche-init", init_args, env);
}

sys::Result<> ContainerSide::act(const plan::Execute& step) {
  std::vector<std::string> env = step.env;
  if (std::ranges::none_of(env, [](const std::string& entry) { return entry.starts_with("HOME="); }))
    env.push_back("HOME=" + home_of(static_cast<uint32_t>(sys::raw_call(SYS_geteuid))));
  if (command_.empty()) {
    CLOCHE_TRY_ASSIGN(found, find_command(step.args.front(), search_path_of(env)));
    command_ = std::move(found);
  }
  sys::Error error =
      step.init || step.sealed ? execute_by_init(step, env) : sys::execute({}, command_, step.args, env);
  explain_exec_failure(error, command_);
  return std::unexpected(std::move(error));
}

}  // namespace cloche::runtime
