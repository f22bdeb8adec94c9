// The container's first process before it becomes the command: a list of named verbs, one for each kind of step
// that the container side does. It runs between clone3 and exec, alone in its address space's copy, and never
// returns to its caller.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "plan/plan.h"
#include "runtime/prepared.h"
#include "runtime/protocol.h"
#include "runtime/shared_record.h"
#include "sys/fd.h"

namespace cloche::runtime {

class ContainerSide {
 public:
  ContainerSide(const plan::Plan& plan, Prepared& prepared, SharedRecord& record, ContainerEnd host)
      : plan_(plan), prepared_(prepared), record_(record), host_(std::move(host)) {}

  // Performs the container's steps after `first`; ends in exec, or in _exit(125) after the failure is written down.
  [[noreturn]] void run(size_t first);

 private:
  friend struct ListenerHandover;
  // After the failure is written down.
  [[noreturn]] void give_up(size_t index, const sys::Error& error);
  sys::Result<> begin();
  sys::Result<> leave_mark();
  sys::Result<> open_places();
  sys::Result<> perform(size_t index);
  // The plan is the only list: where it gives a host's step to this side, the plan is wrong.
  template <class HostAction>
  sys::Result<> act(const HostAction&) {
    return sys::fail_because("this step belongs to the host side");
  }

  // container_namespaces.cpp
  sys::Result<> act(const plan::JoinNamespace& step);
  sys::Result<> act(const plan::UnshareNamespace& step);
  sys::Result<> act(const plan::EnterTimeNamespace& step);
  sys::Result<> act(const plan::BecomeRoot& step);
  sys::Result<> act(const plan::SetHostname& step);
  sys::Result<> act(const plan::SetDomainname& step);
  sys::Result<> act(const plan::LoopbackUp& step);
  sys::Result<> act(const plan::WriteSysctl& step);
  // container_root.cpp
  sys::Result<> act(const plan::SetPropagation& step);
  sys::Result<> act(const plan::BindRoot& step);
  sys::Result<> act(const plan::TmpfsRoot& step);
  sys::Result<> act(const plan::MountScratch& step);
  sys::Result<> act(const plan::MountOverlay& step);
  sys::Result<> act(const plan::PivotRoot& step);
  sys::Result<> act(const plan::RootReadonly& step);
  sys::Result<> act(const plan::RootPropagation& step);
  // container_mounts.cpp
  sys::Result<> act(const plan::MountFs& step);
  sys::Result<> act(const plan::BindMount& step);
  sys::Result<> act(const plan::MakeDevice& step);
  sys::Result<> act(const plan::MakeSymlink& step);
  sys::Result<> act(const plan::MakeDirectory& step);
  sys::Result<> act(const plan::MaskPath& step);
  sys::Result<> act(const plan::ReadonlyPath& step);
  // container_process.cpp
  sys::Result<> act(const plan::ResetSignals& step);
  sys::Result<> act(const plan::NewSession& step);
  sys::Result<> act(const plan::NewKeyring& step);
  sys::Result<> act(const plan::OpenTerminal& step);
  sys::Result<> act(const plan::SetRlimit& step);
  sys::Result<> act(const plan::SetOomScore& step);
  sys::Result<> act(const plan::SetPersonality& step);
  sys::Result<> act(const plan::SetScheduler& step);
  sys::Result<> act(const plan::SetIoPriority& step);
  sys::Result<> act(const plan::SetMemoryPolicy& step);
  sys::Result<> act(const plan::SetAffinity& step);
  sys::Result<> act(const plan::SetExecLabel& step);
  sys::Result<> act(const plan::LimitBoundingSet& step);
  sys::Result<> act(const plan::SetUser& step);
  sys::Result<> act(const plan::SetCapabilities& step);
  sys::Result<> act(const plan::DieWithCaller& step);
  sys::Result<> act(const plan::NoNewPrivileges& step);
  sys::Result<> act(const plan::LoadSeccomp& step);
  sys::Result<> load_with_listener(const std::string& metadata);  // container_listener.cpp
  sys::Result<> act(const plan::ChangeDirectory& step);
  sys::Result<> act(const plan::CloseDescriptors& step);
  sys::Result<> act(const plan::RunHooks& step);
  sys::Result<> act(const plan::AwaitStart& step);
  sys::Result<> act(const plan::FindCommand& step);
  sys::Result<> act(const plan::Execute& step);

  sys::Result<> attach_new_root(sys::Fd root);
  // Where a path of the container is resolved from: the mount on /proc, /sys or /dev that a step of this plan made, so
  // that nothing below them depends on what the image has there; else the root.
  struct Place {
    const sys::Fd& from;
    std::string rest;
  };
  [[nodiscard]] Place place_of(const std::string& path) const;
  sys::Result<sys::Fd> directory_for(const std::string& path);
  sys::Result<sys::Fd> directory_target(const std::string& target);
  void keep_anchor(const std::string& target, sys::Fd mount);
  sys::Result<> copy_up(const plan::MountFs& step, const sys::Fd& directory, const sys::Fd& mount);
  // Where the options want it, once the copy is in it.
  sys::Result<> become_readonly(const plan::MountFs& step, const sys::Fd& mount);
  // Whatever of the host is still held and no longer needed: before others run, or wait.
  sys::Result<> let_go();
  sys::Result<sys::Fd> target_for(const sys::Fd& source, const std::string& target);
  sys::Result<sys::Fd> host_null();
  sys::Error execute_by_init(const plan::Execute& step, const std::vector<std::string>& env);
  // A detached copy of the mount at a path of the host.
  sys::Result<sys::Fd> tree_at(const std::string& path, bool recursive);

  const plan::Plan& plan_;
  Prepared& prepared_;
  SharedRecord& record_;
  ContainerEnd host_;
  uint32_t index_ = 0;  // of the step being performed

  sys::Fd host_proc_;  // the host's /proc, opened before anything of the container is visible
  sys::Fd root_;  // the new root's mount
  sys::Fd scratch_;  // where overlays keep upper and work directories
  std::map<std::string, sys::Fd, std::less<>>
      anchors_;  // "/dev", "/proc", "/sys": the mounts that steps made there
  // Files of /proc/self, opened while they are this process's to open.
  sys::Result<sys::Fd> timens_offsets_, oom_score_;
  std::string pid_;  // as the host sees it
  sys::Fd devpts_;  // the mount on /dev/pts, likewise
  sys::Fd empty_;  // the read-only tmpfs that covers masked directories, once one is attached
  std::map<std::string, sys::Fd> places_;  // see open_places
  std::string command_;  // the path that FindCommand settled on
  std::string home_;
};

}  // namespace cloche::runtime
