// The script's parts while it is being written. Internal to script*.cpp.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "plan/facts.h"
#include "plan/plan.h"

namespace cloche::plan {

class ScriptWriter {
 public:
  ScriptWriter(const Plan& plan, const HostFacts& facts);
  std::string write();

 private:
  struct Mark {
    size_t index;
    std::string reason;
  };

  // Which part a step belongs to; parts run in this order, `mapper` beside `container`.
  enum class Part { host, outer, mapper, container };
  [[nodiscard]] Part part_of(size_t index) const;
  [[nodiscard]] bool is_early(size_t index) const;

  void step(size_t index, std::string_view moved = {});
  void early_steps();
  void line(std::string_view text);
  void not_done(std::string_view reason);
  // Ends the running shell: `command` replaces it and starts the next one.
  void next_shell(std::string_view command);
  void make_directory(const std::string& word);
  void mounted_on(const std::string& word);
  void copied_tmpfs(const MountFs& a, const Strings& options, bool readonly);

  [[nodiscard]] std::string assemble();
  [[nodiscard]] std::string header() const;
  [[nodiscard]] std::string host_part() const;
  [[nodiscard]] std::string start_command() const;
  [[nodiscard]] std::string shown_apart(const RestoreProcesses& a) const;
  [[nodiscard]] std::string source_of(const std::string& slot, const std::string& path) const;

  void emit(const CreateCgroup&);
  void emit(const StartScope&);
  void emit(const EnterScope&);
  void emit(const AttachToScope&);
  void emit(const SetScopeProperties&);
  void emit(const LeaveCgroup&);
  void emit(const EnableControllers&);
  void emit(const WriteCgroup&);
  void emit(const LimitDevices&);
  void emit(const OpenTree&);
  void emit(const CloneProcess&);
  void emit(const DenySetgroups&);
  void emit(const WriteIdMap&);
  void emit(const IdmapTree&);
  void emit(const GiveStreams&);
  void emit(const JoinNamespace&);
  void emit(const UnshareNamespace&);
  void emit(const EnterTimeNamespace&);
  void emit(const BecomeRoot&);
  void emit(const SetPropagation&);
  void emit(const BindRoot&);
  void emit(const TmpfsRoot&);
  void emit(const MountScratch&);
  void emit(const MountOverlay&);
  void emit(const MountFs&);
  void emit(const BindMount&);
  void emit(const MakeDevice&);
  void emit(const MakeSymlink&);
  void emit(const MakeDirectory&);
  void emit(const MaskPath&);
  void emit(const ReadonlyPath&);
  void emit(const PivotRoot&);
  void emit(const RootReadonly&);
  void emit(const RootPropagation&);
  void emit(const SetHostname&);
  void emit(const SetDomainname&);
  void emit(const LoopbackUp&);
  void emit(const MoveNetDevice&);
  void emit(const RestoreProcesses&);
  void emit(const FinishRestore&);
  void emit(const WriteSysctl&);
  void emit(const ResetSignals&);
  void emit(const NewSession&);
  void emit(const NewKeyring&);
  void emit(const OpenTerminal&);
  void emit(const SetRlimit&);
  void emit(const SetOomScore&);
  void emit(const SetPersonality&);
  void emit(const SetScheduler&);
  void emit(const SetIoPriority&);
  void emit(const SetExecLabel&);
  void emit(const LimitBoundingSet&);
  void emit(const SetUser&);
  void emit(const SetCapabilities&);
  void emit(const DieWithCaller&);
  void emit(const NoNewPrivileges&);
  void emit(const LoadSeccomp&);
  void emit(const ConnectListener&);
  void emit(const ChangeDirectory&);
  void emit(const CloseDescriptors&);
  void emit(const RunHooks&);
  void emit(const AwaitStart&);
  void emit(const FindCommand&);
  void emit(const Execute&);
  void emit(const MakeResctrlGroup&);
  void emit(const WriteSchemata&);
  void emit(const JoinResctrlGroup&);
  void emit(const SetMemoryPolicy&);
  void emit(const SetAffinity&);

  const Plan& plan_;
  const HostFacts& facts_;
  size_t clone_, pivot_;   // indices; steps.size() where there is none
  bool bundle_ = false;    // the root holds no programs that we can count on
  bool terminal_ = false;
  bool reset_signals_ = false;  // by the last command
  size_t at_ = 0;          // the step being written
  std::string* part_ = nullptr;
  std::string host_, outer_, mapper_;
  std::vector<std::string> shells_;  // of the container's first process, each started by the one before
  std::vector<Mark> marks_;
  std::map<std::string, size_t> slots_;  // slot -> number of its directory below $work/trees
  std::map<std::string, std::string> opened_;  // slot -> its path, of a restore
  std::string joins_;                    // nsenter(1) options
  std::set<std::string> made_;           // directories that are there already
  Strings setpriv_;                      // options of the last command
  const LimitBoundingSet* bounding_ = nullptr;
  uint32_t uid_ = 0;
  std::string directory_ = "/";
};

}  // namespace cloche::plan
