// The host side's verbs: the steps that the calling process does, with its own rights, before and after the clone.
#pragma once

#include <optional>

#include "plan/plan.h"
#include "runtime/criu.h"
#include "runtime/placeholder.h"
#include "runtime/prepared.h"
#include "runtime/shared_record.h"
#include "sys/fd.h"

namespace cloche::runtime {

class HostSide {
 public:
  HostSide(const plan::Plan& plan, Prepared& prepared, SharedRecord& record)
      : plan_(plan), prepared_(prepared), record_(record) {}

  // What steps of both sides need before the clone: descriptors opened, filters compiled. A failure is that step's.
  std::expected<void, StepFailure> prepare();
  // Performs one host step other than the clone and writes it down.
  sys::Result<> perform(size_t index);
  // The clone knows the pid; steps after it need it.
  void set_container(pid_t pid) { pid_ = pid; }
  [[nodiscard]] pid_t container() const { return pid_; }
  // The master of a terminal that was made on this side.
  [[nodiscard]] sys::Fd take_terminal() { return std::move(terminal_); }
  // Ends what waits for the rest of the plan: a criu, which takes back what it has made, then the placeholder.
  void give_up() {
    criu_.reset();
    placeholder_.reset();
  }

 private:
  template <class ContainerAction>
  sys::Result<> act(const ContainerAction&) {
    return sys::fail_because("this step belongs to the container side");
  }
  sys::Result<> act(const plan::CreateCgroup& step);
  sys::Result<> act(const plan::StartScope& step);
  sys::Result<> act(const plan::EnterScope& step);
  sys::Result<> act(const plan::AttachToScope& step);
  sys::Result<> act(const plan::SetScopeProperties& step);
  sys::Result<> act(const plan::LeaveCgroup& step);
  sys::Result<> act(const plan::EnableControllers& step);
  sys::Result<> act(const plan::WriteCgroup& step);
  sys::Result<> act(const plan::LimitDevices& step);
  sys::Result<> act(const plan::OpenTree& step);
  sys::Result<> act(const plan::IdmapTree& step);
  sys::Result<> act(const plan::DenySetgroups& step);
  sys::Result<> act(const plan::WriteIdMap& step);
  sys::Result<> act(const plan::GiveStreams& step);
  sys::Result<> act(const plan::RunHooks& step);
  sys::Result<> act(const plan::MakeResctrlGroup& step);
  sys::Result<> act(const plan::WriteSchemata& step);
  sys::Result<> act(const plan::JoinResctrlGroup& step);
  sys::Result<> act(const plan::SetAffinity& step);
  sys::Result<> act(const plan::ConnectListener& step);
  sys::Result<> act(const plan::MoveNetDevice& step);
  sys::Result<> act(const plan::RestoreProcesses& step);
  sys::Result<> act(const plan::FinishRestore& step);

  sys::Result<> prepare_step(const plan::Action& action);
  [[nodiscard]] std::string process_file(const char* name) const;
  // Into a file of the container's cgroup, whose path is for the error.
  sys::Result<> write_to_cgroup(const std::string& path, const std::string& name, const std::string& value);
  sys::Result<> set_restored(pid_t pid);

  const plan::Plan& plan_;
  Prepared& prepared_;
  SharedRecord& record_;
  pid_t pid_ = 0;
  sys::Fd terminal_;
  std::optional<Placeholder> placeholder_;  // in the scope, until EnterScope
  std::optional<CriuPlace> criu_place_;
  std::optional<RunningCriu> criu_;  // waits for FinishRestore
  bool made_group_ = false;  // by the last MakeResctrlGroup
  uint32_t index_ = 0;
};

}  // namespace cloche::runtime
