#include "runtime/host_side.h"

#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "kernel/cgroup.h"
#include "kernel/device_policy.h"
#include "kernel/id_maps.h"
#include "kernel/net_device.h"
#include "kernel/resctrl.h"
#include "kernel/seccomp.h"
#include "plan/planner.h"
#include "runtime/criu.h"
#include "runtime/criu_images.h"
#include "runtime/hooks.h"
#include "runtime/init_program.h"
#include "runtime/placement.h"
#include "runtime/process_mark.h"
#include "runtime/systemd.h"
#include "runtime/terminal.h"
#include "sys/call.h"
#include "sys/files.h"
#include "sys/flags.h"
#include "sys/mounts.h"
#include "sys/number.h"
#include "sys/process.h"
#include "sys/sockets.h"

namespace cloche::runtime {
namespace {

sys::Result<pid_t> written_pid(const CriuPlace& place) {
  CLOCHE_TRY_ASSIGN(text, sys::read_file(AT_FDCWD, place.pid()));
  const pid_t pid = sys::whole_number<pid_t>(text).value_or(0);
  if (pid <= 0) return sys::fail_because(fmt::format("criu wrote {} as the pid", sys::in_quotes(text)));
  return pid;
}

}  // namespace

sys::Result<> HostSide::prepare_step(const plan::Action& action) {
  if (const auto* join = std::get_if<plan::JoinNamespace>(&action)) {
    CLOCHE_TRY_ASSIGN(ns, sys::open_at(AT_FDCWD, join->path, O_RDONLY));
    prepared_.namespaces[join->type] = std::move(ns);
  } else if (const auto* seccomp = std::get_if<plan::LoadSeccomp>(&action);
             seccomp != nullptr && seccomp->filter) {
    CLOCHE_TRY_ASSIGN(compiled, kernel::compile_seccomp(*seccomp->filter));
    prepared_.filter = std::move(compiled);
  } else if (seccomp != nullptr) {
    // Compiled when Cloche was built, unless the container keeps a capability that the profile has rules for.
    kernel::CapabilitySet keeps;
    if (const size_t at = plan_.find("bounding-set"); at < plan_.steps.size())
      keeps = kernel::parse_capabilities(std::get<plan::LimitBoundingSet>(plan_.steps[at].action).keep).set;
    if (!(keeps & kernel::default_seccomp_conditions()).empty()) {
      CLOCHE_TRY_ASSIGN(compiled, kernel::default_seccomp_program_for(keeps));
      prepared_.filter = std::move(compiled);
    }
  } else if (const auto* execute = std::get_if<plan::Execute>(&action);
             execute != nullptr && (execute->init || execute->sealed)) {
    CLOCHE_TRY_ASSIGN(program, init_program());
    prepared_.init = std::move(program);
  } else if (const auto* clone = std::get_if<plan::CloneProcess>(&action);
             clone != nullptr && !clone->cgroup.empty() && !prepared_.cgroup.valid()) {
    // `exec` enters a cgroup that exists; a plan that makes one opens it in that step.
    if (plan_.find("cgroup") == plan_.steps.size()) {
      CLOCHE_TRY_ASSIGN(directory, sys::open_at(AT_FDCWD, clone->cgroup, O_PATH | O_DIRECTORY));
      prepared_.cgroup = std::move(directory);
    }
  }
  return {};
}

std::expected<void, StepFailure> HostSide::prepare() {
  auto proc = sys::open_at(AT_FDCWD, "/proc", O_PATH | O_DIRECTORY);
  if (!proc) return std::unexpected(StepFailure{0, std::move(proc).error()});
  prepared_.proc = *std::move(proc);
  for (size_t i = 0; i < plan_.steps.size(); ++i) {
    if (auto ready = prepare_step(plan_.steps[i].action); !ready) {
      sys::Error error = std::move(ready).error();
      record_.failure = to_record(static_cast<uint32_t>(i), error);
      record_.steps[i].state = StepState::failed;
      record_.steps[i].error = error.code;
      return std::unexpected(StepFailure{i, std::move(error)});
    }
  }
  return {};
}

sys::Result<> HostSide::perform(size_t index) {
  index_ = static_cast<uint32_t>(index);
  return recorded(record_, index_, [&] {
    return std::visit([&](const auto& action) { return act(action); }, plan_.steps[index].action);
  });
}

std::string HostSide::process_file(const char* name) const { return fmt::format("/proc/{}/{}", pid_, name); }

sys::Result<> HostSide::act(const plan::CreateCgroup& step) {
  CLOCHE_TRY_ASSIGN(made, kernel::make_cgroup(step.path));
  if (made.existed) note_fallback(record_, index_, "it was there, empty: used as it is");
  prepared_.cgroup = std::move(made.directory);
  return {};
}

sys::Result<> HostSide::act(const plan::StartScope& step) {
  if (step.placeholder) {
    CLOCHE_TRY_ASSIGN(started, Placeholder::start());
    placeholder_.emplace(std::move(started));
  }
  CLOCHE_TRY(start_scope(step, placeholder_ ? placeholder_->pid() : pid_));
  auto directory = sys::open_at(AT_FDCWD, step.cgroup, O_RDONLY | O_DIRECTORY);
  if (!directory) {
    (void)stop_scope(step.cgroup, step.user);
    return std::unexpected(std::move(directory).error());
  }
  prepared_.cgroup = *std::move(directory);
  return {};
}

sys::Result<> HostSide::act(const plan::EnterScope& step) {
  if (!placeholder_) return sys::fail_because("no placeholder is in the scope");
  CLOCHE_TRY(write_to_cgroup(step.cgroup, "cgroup.procs", fmt::format("{}", pid_)));
  return placeholder_->end();
}

sys::Result<> HostSide::act(const plan::AttachToScope& step) { return attach_to_scope(step, pid_); }

sys::Result<> HostSide::act(const plan::SetScopeProperties& step) { return set_scope_properties(step); }

sys::Result<> HostSide::act(const plan::LeaveCgroup& step) { return kernel::move_to_leaf(step.leaf); }

sys::Result<> HostSide::act(const plan::EnableControllers& step) {
  auto enabled = kernel::enable_controllers(step.from, step.cgroup, step.controllers);
  if (enabled || !step.only_count) return enabled;
  note_fallback(record_, index_, fmt::format("not counted: {}", sys::errno_name(enabled.error().code)));
  return {};
}

sys::Result<> HostSide::write_to_cgroup(const std::string& path, const std::string& name,
                                        const std::string& value) {
  CLOCHE_TRY_ASSIGN(file, sys::open_at(prepared_.cgroup.get(), name, O_WRONLY));
  return sys::write_once(file, value, path + "/" + name);
}

sys::Result<> HostSide::act(const plan::WriteCgroup& step) {
  auto written = write_to_cgroup(step.cgroup, step.file, step.value);
  if (!step.bfq) return written;
  auto beside = write_to_cgroup(step.cgroup, plan::kBfqWeight, *step.bfq);
  if (written && beside) return {};
  // The file that is there says more of what failed.
  if (!written && !beside) return written.error().code == ENOENT ? std::move(beside) : std::move(written);
  const sys::Error& missing = written ? beside.error() : written.error();
  if (missing.code != ENOENT && missing.code != EOPNOTSUPP)
    return written ? std::move(beside) : std::move(written);
  note_fallback(
      record_, index_,
      fmt::format("not in {}: {}", written ? plan::kBfqWeight : step.file, sys::errno_name(missing.code)));
  return {};
}

sys::Result<> HostSide::act(const plan::LimitDevices& step) {
  CLOCHE_TRY_ASSIGN(program, kernel::load_device_program(step.rules));
  return kernel::attach_device_program(prepared_.cgroup, program);
}

sys::Result<> HostSide::act(const plan::OpenTree& step) {
  CLOCHE_TRY_ASSIGN(tree, sys::clone_tree(AT_FDCWD, step.path, step.recursive));
  // A copy of a shared mount is shared: what the container mounts in it must not come back to the host unasked.
  if (!step.peer) CLOCHE_TRY(sys::set_mount_attributes(tree, {.propagation = MS_SLAVE}, true));
  prepared_.trees[step.slot] = std::move(tree);
  return {};
}

sys::Result<> HostSide::act(const plan::IdmapTree& step) {
  const auto tree = prepared_.trees.find(step.slot);
  if (tree == prepared_.trees.end()) return sys::fail_because("the tree to map was not opened");
  CLOCHE_TRY_ASSIGN(ns, step.uids.empty() ? sys::open_at(AT_FDCWD, process_file("ns/user"), O_RDONLY)
                                          : kernel::user_namespace_with(step.uids, step.gids));
  return sys::set_mount_attributes(tree->second, {.set = MOUNT_ATTR_IDMAP, .user_namespace = ns.get()},
                                   step.recursive);
}

sys::Result<> HostSide::act(const plan::DenySetgroups&) {
  return sys::write_file(AT_FDCWD, process_file("setgroups"), "deny");
}

sys::Result<> HostSide::act(const plan::WriteIdMap& step) {
  return step.writer == "direct" ? kernel::write_id_map(pid_, step.kind, step.map)
                                 : kernel::write_id_map_by_helper(pid_, step.writer, step.map);
}

sys::Result<> HostSide::act(const plan::GiveStreams& step) {
  // Another's, or on a file system that has no owners: the command can use it all the same.
  if (!give_streams(step.uid)) note_fallback(record_, index_, "a stream kept its owner");
  return {};
}

sys::Result<> HostSide::act(const plan::MakeResctrlGroup& step) {
  made_group_ = false;
  if (step.how == "existing") {
    CLOCHE_TRY_ASSIGN(st, sys::stat_at(AT_FDCWD, step.path));
    if (!S_ISDIR(st.st_mode)) return sys::fail(ENOTDIR, fmt::format("stat({})", sys::in_quotes(step.path)));
    return {};
  }
  CLOCHE_TRY_ASSIGN(made, kernel::make_resctrl_group(step.path));
  if (!made && step.how == "new")
    return sys::fail_because(fmt::format("{} is there already, and somebody else's", step.path));
  made_group_ = made;
  if (!made) note_fallback(record_, index_, "it was there: used if it shares as asked for");
  return {};
}

sys::Result<> HostSide::act(const plan::WriteSchemata& step) {
  return made_group_ ? kernel::write_schemata(step.group, step.lines)
                     : kernel::compare_schemata(step.group, step.lines);
}

sys::Result<> HostSide::act(const plan::JoinResctrlGroup& step) {
  return kernel::join_resctrl_group(step.group, pid_);
}

sys::Result<> HostSide::act(const plan::SetAffinity& step) { return set_affinity(step.cpus); }

sys::Result<> HostSide::act(const plan::RunHooks& step) {
  return run_hooks(step.stage, step.hooks,
                   state_for_hooks(prepared_.oci_state, fmt::format("{}", pid_), status_at(step.stage)));
}

sys::Result<> HostSide::act(const plan::ConnectListener& step) {
  if (step.by_start) {
    CLOCHE_TRY_ASSIGN(place, sys::stat_at(AT_FDCWD, step.path));
    if (!S_ISSOCK(place.st_mode)) return sys::fail_because(step.path + " is no socket");
    return {};
  }
  CLOCHE_TRY_ASSIGN(socket, sys::connect_stream(step.path));
  prepared_.agent = std::move(socket);
  return {};
}

sys::Result<> HostSide::set_restored(pid_t pid) {
  pid_ = pid;
  if (!prepared_.init_mark.valid()) return {};
  CLOCHE_TRY_ASSIGN(mark, mark_of(pid_));
  CLOCHE_TRY(sys::write_once(prepared_.init_mark, to_line(mark), "init"));
  prepared_.init_mark.reset();
  return {};
}

// It is this process's child: criu makes it as a sibling of its own.
sys::Result<> HostSide::act(const plan::RestoreProcesses& step) {
  CLOCHE_TRY_ASSIGN(place, CriuPlace::make(step.place));
  sys::Fd slave;
  if (std::ranges::find(step.inherited, "terminal", &plan::InheritedFd::source) != step.inherited.end()) {
    CLOCHE_TRY_ASSIGN(pts, sys::open_at(AT_FDCWD, "/dev/pts", O_PATH | O_DIRECTORY));
    CLOCHE_TRY_ASSIGN(pair, open_terminal(pts, 0, 0));
    terminal_ = std::move(pair.master);
    slave = std::move(pair.slave);
    if (step.user_namespace) CLOCHE_TRY(give_terminal(slave, step.images));
  }
  std::vector<std::pair<std::string, sys::Fd>> trees;
  for (const plan::ShownTree& tree : step.trees)
    trees.emplace_back(tree.name, std::move(prepared_.trees[tree.slot]));
  CLOCHE_TRY_ASSIGN(running, RunningCriu::start({.program = step.program,
                                                 .args = plan::criu_restore_arguments(step),
                                                 .keep = {},
                                                 .log = step.work + "/restore.log",
                                                 .root = step.root,
                                                 .points = step.points,
                                                 .inherited = step.inherited,
                                                 .cgroups = step.cgroups,
                                                 .terminal = std::move(slave),
                                                 .pauses = step.pauses,
                                                 .shown = step.shown,
                                                 .trees = std::move(trees),
                                                 .images = step.user_namespace ? step.images : "",
                                                 .readonly_root = step.readonly_root,
                                                 .no_new_privileges = step.no_new_privileges},
                                                place));
  if (step.pauses) {
    CLOCHE_TRY_ASSIGN(pid, running.await_namespaces());
    criu_place_.emplace(std::move(place));
    criu_.emplace(std::move(running));
    pid_ = pid;
    return {};
  }
  CLOCHE_TRY(running.finish());
  CLOCHE_TRY_ASSIGN(pid, written_pid(place));
  return set_restored(pid);
}

sys::Result<> HostSide::act(const plan::FinishRestore&) {
  if (!criu_) return sys::fail_because("no criu waits");
  CLOCHE_TRY(criu_->finish());
  criu_.reset();
  criu_place_.reset();
  return set_restored(pid_);
}

sys::Result<> HostSide::act(const plan::MoveNetDevice& step) {
  CLOCHE_TRY_ASSIGN(
      ns, sys::open_at(AT_FDCWD, step.network.empty() ? process_file("ns/net") : step.network, O_RDONLY));
  return kernel::move_net_device(step.device, step.name, ns);
}

}  // namespace cloche::runtime
