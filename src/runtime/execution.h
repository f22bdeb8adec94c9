// Executes a plan: the host's steps here, the container's in its first process, the two kept in step by the
// protocol. Nothing here decides what is done; that is the plan's.
#pragma once

#include <expected>
#include <functional>
#include <memory>
#include <optional>

#include "plan/plan.h"
#include "plan/record.h"
#include "runtime/host_side.h"
#include "runtime/prepared.h"
#include "runtime/protocol.h"
#include "runtime/shared_record.h"
#include "sys/process.h"

namespace cloche::runtime {

class Execution {
 public:
  // `plan` must outlive the execution. The calling process must have one thread.
  static sys::Result<Execution> prepare(const plan::Plan& plan, Prepared prepared);

  // Called when everything that the container will need is open and nothing of it runs yet: the last moment to refuse.
  // A failure is that of the step "clone".
  using BeforeClone = std::function<sys::Result<>()>;
  // Runs the plan until the command runs (the exec has succeeded) or, with await-start, until only `start` is
  // missing. On failure everything that the plan did on the host is undone and no process is left.
  std::expected<void, StepFailure> run(const BeforeClone& before_clone = {});

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] const sys::Fd& pidfd() const { return pidfd_; }
  // The terminal's master, when the plan opens one.
  [[nodiscard]] sys::Fd take_terminal() { return std::move(terminal_); }
  // Lets go of everything the plan opened; the cgroup can be removed then.
  void close_descriptors() {
    prepared_->trees.clear();
    prepared_->cgroup.reset();
  }
  // Names in the config's seccomp profile that no system call has here, left out of the filter.
  [[nodiscard]] std::vector<std::string> unknown_calls() const {
    return prepared_->filter ? prepared_->filter->unknown_calls : std::vector<std::string>();
  }
  // What was done so far, step by step.
  [[nodiscard]] plan::RunRecord record() const;
  // After a failed run: what was taken back, in words, in the order it was done.
  [[nodiscard]] const std::vector<std::string>& undone() const { return undone_; }

 private:
  Execution(const plan::Plan& plan, Prepared prepared, RecordMemory memory);

  std::expected<void, StepFailure> walk(const BeforeClone& before_clone);
  sys::Result<> clone(size_t index, const plan::CloneProcess& step);
  sys::Result<sys::Parent> clone_from_joined(size_t index, uint64_t flags);
  sys::Result<> join_and_clone(size_t index, uint64_t flags);
  [[noreturn]] void become_container(size_t first);
  std::expected<void, StepFailure> await(Message wanted, size_t next);
  std::expected<void, StepFailure> await_exec();
  // `seen`: what made us look, where it says more than that the other side has ended.
  [[nodiscard]] StepFailure container_failure(size_t near, sys::Error seen = {});
  [[nodiscard]] StepFailure failed_at(size_t index, sys::Error error) const;
  void abandon();

  const plan::Plan& plan_;
  std::unique_ptr<Prepared> prepared_;  // stays where it is: both sides hold references
  RecordMemory memory_;
  HostSide host_;
  std::optional<HostEnd> container_;
  sys::Fd container_socket_;  // the container's end, before the clone
  sys::Fd pidfd_, terminal_;
  pid_t pid_ = 0;
  std::vector<std::string> undone_;
  uint64_t began_at_ = 0;
};

}  // namespace cloche::runtime
