#include "runtime/execution.h"

#include <fmt/format.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "runtime/cgroup_stats.h"
#include "runtime/container_side.h"
#include "runtime/undo.h"
#include "sys/call.h"
#include "sys/files.h"
#include "sys/prefault.h"
#include "sys/sockets.h"

namespace cloche::runtime {
namespace {

uint64_t clone_flags(const std::vector<std::string>& namespaces) {
  uint64_t flags = 0;
  for (const std::string& ns : namespaces) flags |= sys::namespace_flag(ns);
  return flags;
}

// Dead but not yet waited for counts as ended.
bool has_ended(const sys::Fd& pidfd) {
  pollfd ended{.fd = pidfd.get(), .events = POLLIN, .revents = 0};
  return ::poll(&ended, 1, 0) == 1;
}

// How an ended child ended, without reaping it: whoever waits for the container still finds it.
std::string manner_of_death(const sys::Fd& pidfd) {
  siginfo_t info{};
  if (sys::raw_call(SYS_waitid, P_PIDFD, pidfd.get(), &info, WEXITED | WNOHANG | WNOWAIT, nullptr) < 0 ||
      info.si_pid == 0)
    return "the container's process is gone";
  if (info.si_code == CLD_EXITED)
    return fmt::format("the container's process ended with status {}", info.si_status);
  return fmt::format("the container's process was ended by signal {} ({})", info.si_status,
                     strsignal(info.si_status));
}

// What only the cgroup tells: a process ended by the kernel for want of memory looks like any that was killed.
std::string want_of_memory(const plan::Plan& plan) {
  const size_t at = plan.find("clone");
  if (at >= plan.steps.size()) return {};
  const auto* clone = std::get_if<plan::CloneProcess>(&plan.steps[at].action);
  if (clone == nullptr || clone->cgroup.empty()) return {};
  const auto events = sys::read_file(AT_FDCWD, clone->cgroup + "/memory.events");
  if (!events || flat_value(*events, "oom_kill") == 0) return {};
  std::string limit = sys::read_file(AT_FDCWD, clone->cgroup + "/memory.max").value_or("");
  while (limit.ends_with('\n')) limit.pop_back();
  return fmt::format(
      "the kernel ended it for want of memory: {}/memory.max is {}; a larger limit is needed to start in",
      clone->cgroup, limit);
}

bool joins(const plan::Plan& plan, std::string_view type) {
  return std::ranges::any_of(plan.steps, [&](const plan::Step& step) {
    const auto* join = std::get_if<plan::JoinNamespace>(&step.action);
    return join != nullptr && join->type == type;
  });
}

// Two are for the new process itself, unless a user namespace takes its right to them. From inside of a cgroup namespace,
// where the tree is mounted with nsdelegate, nothing is cloned from a cgroup outside of it into another (ENOENT;
// cgroup-v2.rst, "Delegation"). Of a time namespace see `clone_from_joined`.
bool joined_before_clone(const plan::Plan& plan, std::string_view type, uint64_t clone_flags) {
  if ((clone_flags & CLONE_NEWUSER) != 0) return true;
  return type == "time" ? joins(plan, "user") : type != "cgroup";
}

}  // namespace

sys::Result<Execution> Execution::prepare(const plan::Plan& plan, Prepared prepared) {
  if (!sys::single_threaded())
    return sys::fail_because("a container cannot be started from a process with several threads");
  if (plan.steps.size() > SharedRecord::kMostSteps)
    return sys::fail_because(
        fmt::format("the plan has {} steps, the limit is {}", plan.steps.size(), SharedRecord::kMostSteps));
  CLOCHE_TRY_ASSIGN(memory, RecordMemory::map());
  return Execution(plan, std::move(prepared), std::move(memory));
}

Execution::Execution(const plan::Plan& plan, Prepared prepared, RecordMemory memory)
    : plan_(plan),
      prepared_(std::make_unique<Prepared>(std::move(prepared))),
      memory_(std::move(memory)),
      host_(plan, *prepared_, memory_.get()),
      began_at_(stopwatch()) {}

StepFailure Execution::failed_at(size_t index, sys::Error error) const { return {index, std::move(error)}; }

std::expected<void, StepFailure> Execution::run(const BeforeClone& before_clone) {
  std::expected<void, StepFailure> result = host_.prepare();
  if (result) result = walk(before_clone);
  if (!result) abandon();
  return result;
}

std::expected<void, StepFailure> Execution::walk(const BeforeClone& before_clone) {
  bool cloned = false;
  bool container_may_run = false;  // it is not waiting for us
  for (size_t i = 0; i < plan_.steps.size(); ++i) {
    const plan::Step& step = plan_.steps[i];
    if (step.side == plan::Side::container) {
      if (cloned && !container_may_run) {
        if (auto said = container_->proceed(); !said)
          return std::unexpected(container_failure(i, std::move(said).error()));
        container_may_run = true;
      }
      if (std::holds_alternative<plan::AwaitStart>(step.action)) return await(Message::waiting, i);
      if (std::holds_alternative<plan::Execute>(step.action))
        if (auto executed = await_exec(); !executed) return executed;
      continue;
    }
    if (const auto* clone_step = std::get_if<plan::CloneProcess>(&step.action)) {
      if (before_clone)
        if (auto fit = before_clone(); !fit) return std::unexpected(failed_at(i, std::move(fit).error()));
      if (auto made = clone(i, *clone_step); !made) {
        // Of the joining process the record says which namespace it could not join.
        const FailureRecord& failure = memory_.get().failure;
        const size_t at = failure.version != 0 && failure.step < plan_.steps.size() ? failure.step : i;
        return std::unexpected(failed_at(at, std::move(made).error()));
      }
      cloned = true;
      // It waits for `proceed` where host steps follow the clone at once, and runs on where none do.
      container_may_run = i + 1 < plan_.steps.size() && plan_.steps[i + 1].side == plan::Side::container;
      continue;
    }
    const bool after_exec = i > 0 && plan_.find("exec") < i;
    if (cloned && container_may_run && !after_exec) {
      if (auto there = await(Message::arrived, i); !there) return there;
      container_may_run = false;
    }
    if (auto done = host_.perform(i); !done) return std::unexpected(failed_at(i, std::move(done).error()));
    if (std::holds_alternative<plan::RestoreProcesses>(step.action)) {
      auto pidfd = sys::open_pidfd(host_.container());
      if (!pidfd) return std::unexpected(failed_at(i, std::move(pidfd).error()));
      pid_ = host_.container();
      pidfd_ = *std::move(pidfd);
      terminal_ = host_.take_terminal();
    }
  }
  return {};
}

sys::Result<> Execution::clone(size_t index, const plan::CloneProcess& step) {
  CLOCHE_TRY_ASSIGN(ends, sys::packet_pair());
  container_.emplace(std::move(ends.first));
  container_socket_ = std::move(ends.second);
  return recorded(memory_.get(), static_cast<uint32_t>(index), [&]() -> sys::Result<> {
    const uint64_t flags = clone_flags(step.namespaces);
    sys::Parent parent;
    if (step.from_joined) {
      CLOCHE_TRY_ASSIGN(joined, clone_from_joined(index, flags));
      parent = std::move(joined);
    } else {
      CLOCHE_TRY_ASSIGN(outcome, sys::clone_process({.flags = flags, .cgroup = prepared_->cgroup.get()}));
      if (std::holds_alternative<sys::Child>(outcome)) become_container(index + 1);
      parent = std::get<sys::Parent>(std::move(outcome));
    }
    pid_ = parent.child;
    pidfd_ = std::move(parent.pidfd);
    host_.set_container(pid_);
    container_socket_.reset();
    prepared_->agent.reset();  // the container's from now on
    return {};
  });
}

void Execution::become_container(size_t first) {
  sys::prefault_container_side();
  container_.reset();
  ContainerSide(plan_, *prepared_, memory_.get(), ContainerEnd(std::move(container_socket_))).run(first);
}

// A short-lived process joins the namespaces and clones the container's process as the caller's child
// (CLONE_PARENT): a user or pid namespace that is joined concerns what is cloned afterwards, and the caller must
// stay where it is to run hooks and to wait. It works in the caller's memory, which nobody gets at by way of it: it stays
// in the caller's pid namespace, and the two are as undumpable from then on as the container's process.
sys::Result<sys::Parent> Execution::clone_from_joined(size_t index, uint64_t flags) {
  CLOCHE_TRY(sys::set_dumpable(false));
  // The kernel moves nobody into a time namespace whose memory another process sees (EUSERS): its clocks are in there.
  const bool joins_time = joins(plan_, "time") && joined_before_clone(plan_, "time", flags);
  SharedRecord& record = memory_.get();
  auto work = [&] {
    const auto done = join_and_clone(index, flags);
    // A namespace that cannot be joined is the failure of its own step, and is written down there.
    if (!done && record.failure.version == 0)
      record.failure = to_record(static_cast<uint32_t>(index), done.error());
    return done ? 0 : 125;
  };
  const auto ending = sys::run_child(
      joins_time ? sys::ChildMemory::copied : sys::ChildMemory::in_place,
      [](void* argument) { return (*static_cast<decltype(work)*>(argument))(); }, &work);
  sys::Error error;
  if (!ending) {
    error = ending.error();
  } else if (ending->exit_code() == 0 && record.spawned > 0) {
    // A child of this process: its number is its own until it is waited for.
    auto pidfd = sys::open_pidfd(record.spawned);
    if (pidfd) return sys::Parent{.child = record.spawned, .pidfd = *std::move(pidfd)};
    error = std::move(pidfd).error();
  } else if (record.failure.version != 0) {
    error = to_error(record.failure);
  } else {
    error.context = {"the joining process ended without a word"};
  }
  // What was cloned all the same must not run a command of which nobody knows.
  if (record.spawned > 0) {
    ::kill(record.spawned, SIGKILL);
    (void)sys::wait_for(record.spawned);
  }
  return std::unexpected(std::move(error));
}

sys::Result<> Execution::join_and_clone(size_t index, uint64_t flags) {
  SharedRecord& record = memory_.get();
  for (size_t i = index + 1; i < plan_.steps.size(); ++i) {
    const auto* join = std::get_if<plan::JoinNamespace>(&plan_.steps[i].action);
    if (join == nullptr || !joined_before_clone(plan_, join->type, flags)) continue;
    CLOCHE_TRY(recorded(record, static_cast<uint32_t>(i), [&] {
      return sys::join_namespace(prepared_->namespaces[join->type], sys::namespace_flag(join->type),
                                 join->path);
    }));
  }
  CLOCHE_TRY(sys::set_dumpable(false));  // a user namespace has set it back to fs.suid_dumpable
  CLOCHE_TRY_ASSIGN(cloned, sys::clone_process({.flags = flags | CLONE_PARENT,
                                                .cgroup = prepared_->cgroup.get(),
                                                .tell = &record.spawned}));
  if (std::holds_alternative<sys::Child>(cloned)) become_container(index + 1);
  return {};
}

std::expected<void, StepFailure> Execution::await(Message wanted, size_t next) {
  for (;;) {
    auto received = container_->receive();
    if (!received) return std::unexpected(failed_at(next, std::move(received).error()));
    if (received->end || received->message == Message::failed)
      return std::unexpected(container_failure(next));
    if (received->message == Message::terminal) {
      terminal_ = std::move(received->file);
      continue;
    }
    if (received->message == wanted) return {};
    return std::unexpected(
        failed_at(next, sys::fail_because("the container side spoke out of turn").error()));
  }
}

// The socket is closed on exec: its end without a message, while the last step was under way, is success. A
// command that ended at once looks the same; that it ran is what counts here.
std::expected<void, StepFailure> Execution::await_exec() {
  const size_t exec = plan_.find("exec");
  for (;;) {
    auto received = container_->receive();
    if (!received) return std::unexpected(failed_at(exec, std::move(received).error()));
    if (received->message == Message::terminal && !received->end) {
      terminal_ = std::move(received->file);
      continue;
    }
    // An init reports by packet: the shared memory went with the first exec.
    if (!received->end && received->failure && memory_.get().failure.version == 0)
      memory_.get().failure = *received->failure;
    SharedStep& last = memory_.get().steps[exec];
    if (received->end && memory_.get().failure.version == 0 && last.state == StepState::started) {
      last.state = StepState::ok;
      return {};
    }
    return std::unexpected(container_failure(exec));
  }
}

StepFailure Execution::container_failure(size_t near, sys::Error seen) {
  const SharedRecord& record = memory_.get();
  if (record.failure.version != 0)
    return {std::min<size_t>(record.failure.step, plan_.steps.size() - 1), to_error(record.failure)};
  // It died without writing anything down: say where it was.
  size_t at = near;
  for (size_t i = 0; i < plan_.steps.size(); ++i)
    if (record.steps[i].state == StepState::started) at = i;
  for (int rounds = 0; rounds < 100 && !has_ended(pidfd_); ++rounds) {
    pollfd ended{.fd = pidfd_.get(), .events = POLLIN, .revents = 0};
    ::poll(&ended, 1, 20);
  }
  if (seen.code != 0 && seen.code != EPIPE && !has_ended(pidfd_)) return {at, std::move(seen)};
  sys::Error error{.code = 0, .call = {}, .context = {manner_of_death(pidfd_)}};
  if (std::string why = want_of_memory(plan_); !why.empty()) error.context = {std::move(why)};
  return {at, std::move(error)};
}

void Execution::abandon() {
  host_.give_up();
  if (pidfd_.valid()) {
    (void)sys::signal_process(pidfd_, SIGKILL);
    (void)sys::wait_for(pid_);
    pidfd_.reset();
    undone_.push_back(fmt::format("the container's process {} was ended", pid_));
  }
  // Only what was done is undone.
  plan::Plan done = plan_;
  std::erase_if(done.steps, [&](const plan::Step& step) {
    const size_t at = plan_.find(step.id);
    return step.side == plan::Side::host && memory_.get().steps[at].state != StepState::ok;
  });
  prepared_->cgroup.reset();
  for (const plan::UndoAction& action : plan::undo_of(done)) {
    const auto gone = undo({action});
    undone_.push_back(gone ? action.text : fmt::format("{}: {}", action.text, gone.error().message()));
  }
}

plan::RunRecord Execution::record() const {
  plan::RunRecord run;
  run.pid = pid_;
  run.microseconds = static_cast<uint64_t>((stopwatch() - began_at_) / 1000);
  const SharedRecord& shared = memory_.get();
  for (size_t i = 0; i < plan_.steps.size(); ++i) {
    const SharedStep& step = shared.steps[i];
    if (step.state == StepState::not_run) continue;
    plan::StepRecord record;
    record.index = static_cast<uint32_t>(i);
    record.state =
        step.state == StepState::failed ? plan::StepRecord::State::failed : plan::StepRecord::State::ok;
    record.error = step.error;
    record.microseconds = step.microseconds;
    record.fallback = std::string(step.fallback, strnlen(step.fallback, sizeof step.fallback));
    if (shared.failure.version != 0 && shared.failure.step == i) {
      record.state = plan::StepRecord::State::failed;
      record.detail = to_error(shared.failure).message();
    }
    run.steps.push_back(std::move(record));
  }
  return run;
}

}  // namespace cloche::runtime
