#include "runtime/launch.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "kernel/cgroup.h"
#include "plan/planner.h"
#include "plan/undo.h"
#include "runtime/bundle.h"
#include "runtime/checkpoint.h"
#include "runtime/container.h"
#include "runtime/execution.h"
#include "runtime/explanation.h"
#include "runtime/foreground.h"
#include "runtime/handover.h"
#include "runtime/left_to_exit.h"
#include "runtime/lifecycle.h"
#include "runtime/own_program.h"
#include "runtime/standard_streams.h"
#include "runtime/step_error.h"
#include "runtime/systemd.h"
#include "runtime/undo.h"
#include "sys/call.h"
#include "sys/files.h"
#include "sys/sockets.h"

namespace cloche::runtime {
namespace {

enum class Way { create, run, run_detached };

// One attempt to make a container: everything that the execution refers to lives here, in one place.
class Launch {
 public:
  Launch(const StateRoot& root, const LaunchOptions& options, Way way, Report& report)
      : root_(root), options_(options), way_(way), report_(report) {}

  // The container is there, or nothing is.
  sys::Result<> make() {
    CLOCHE_TRY(plan());
    CLOCHE_TRY(write_down());
    auto executed = execute();
    if (executed) executed = hand_out();
    if (executed) return {};
    give_up(executed.error());
    return executed;
  }

  sys::Result<int> stay(Foreground& foreground);

 private:
  sys::Result<> plan();
  sys::Result<std::expected<plan::Plan, plan::Refusal>> make_plan();
  [[nodiscard]] const char* verb() const;
  sys::Result<> check_terminal() const;
  sys::Result<> check_cgroup() const;
  sys::Result<sys::Fd> make_directory();
  sys::Result<> write_down();
  sys::Result<> execute();
  sys::Result<> hand_out();
  void give_up(sys::Error& error);
  [[nodiscard]] bool hooks_began() const;
  [[nodiscard]] bool terminal() const { return spec().process && spec().process->terminal; }
  // Moved out of the bundle once: a copy would be the largest thing in memory.
  [[nodiscard]] const spec::Spec& spec() const { return request_.spec; }

  const StateRoot& root_;
  const LaunchOptions& options_;
  const Way way_;
  Report& report_;
  Bundle bundle_;
  plan::Request request_;
  plan::HostFacts facts_;
  plan::Plan plan_;
  SavedState state_;
  sys::Fd console_, pidfd_socket_, terminal_;
  std::optional<ContainerDirectory> directory_;
  std::optional<Execution> execution_;
};

sys::Result<> Launch::check_terminal() const {
  const bool detached = way_ != Way::run;
  if (terminal() && detached && options_.console_socket.empty())
    return sys::fail_because(
        "process.terminal: a detached container's terminal needs a --console-socket to send it to (cannot "
        "allocate "
        "tty if the runtime will detach without setting console socket)");
  if (!options_.console_socket.empty() && !(terminal() && detached))
    return sys::fail_because(
        "--console-socket: only a detached container with process.terminal has a terminal to send (cannot "
        "use console "
        "socket if the runtime will not detach or allocate tty)");
  return {};
}

const char* Launch::verb() const {
  return way_ == Way::create ? "create" : options_.restore ? "restore" : "run";
}

sys::Result<std::expected<plan::Plan, plan::Refusal>> Launch::make_plan() {
  if (!options_.restore) {
    if (!terminal()) state_.streams = streams_given();
    return plan::make_plan(request_, facts_);
  }
  CLOCHE_TRY_ASSIGN(restore, restore_request(*options_.restore, request_));
  if (!terminal()) state_.streams = streams_given(restore.streams);
  return plan::make_restore_plan(restore, facts_);
}

sys::Result<> Launch::plan() {
  if (const auto problem = id_problem(options_.id)) return sys::fail_because(*problem);
  CLOCHE_TRY_ASSIGN(bundle, read_bundle(options_.bundle, options_.config, report_));
  bundle_ = std::move(bundle);
  CLOCHE_TRY_ASSIGN(request, request_for(bundle_, options_, way_ == Way::create));
  request_ = std::move(request);
  if (options_.systemd_cgroup) CLOCHE_TRY(find_systemd_helper());
  if (!options_.restore && plan::needs_sealed_program(spec())) CLOCHE_TRY(run_sealed());
  CLOCHE_TRY(check_terminal());
  if (!options_.console_socket.empty()) {
    CLOCHE_TRY_ASSIGN(socket, sys::connect_stream(options_.console_socket));
    console_ = std::move(socket);
  }
  if (!options_.pidfd_socket.empty()) {
    CLOCHE_TRY_ASSIGN(socket, sys::connect_stream(options_.pidfd_socket));
    pidfd_socket_ = std::move(socket);
  }
  CLOCHE_TRY_ASSIGN(facts, facts_for(spec(), options_));
  facts_ = std::move(facts);
  CLOCHE_TRY_ASSIGN(planned, make_plan());
  if (!planned) return std::unexpected(refusal_error(planned.error()));
  plan_ = *std::move(planned);
  for (const plan::Note& note : plan_.notes) report_.notes.push_back(note.subject + ": " + note.text);
  return {};
}

// What is undone later must be this container's own.
sys::Result<> Launch::check_cgroup() const {
  if (state_.cgroup.empty()) return {};
  const auto inside = kernel::processes_in(state_.cgroup);
  if (!inside || inside->empty()) return {};
  if (options_.systemd_cgroup) {
    const std::string unit = state_.cgroup.substr(state_.cgroup.rfind('/') + 1);
    return sys::fail_because(
        systemd_words({"StartTransientUnit", "org.freedesktop.systemd1.UnitExists",
                       fmt::format("its cgroup {} holds {} processes", state_.cgroup, inside->size())},
                      facts_.systemd.user, unit));
  }
  return sys::fail_because(
      fmt::format("linux.cgroupsPath: the cgroup {} is there already and holds {} processes", state_.cgroup,
                  inside->size()));
}

// `delete --force` takes a directory without a state for the rest of an interrupted creation: until the state is
// written the lock is held, and a directory that was lost before that is made again.
sys::Result<sys::Fd> Launch::make_directory() {
  constexpr int kMostRounds = 100;
  for (int round = 1;; ++round) {
    auto made = root_.make(options_.id);
    if (!made && made.error().code == EEXIST)
      return sys::fail_because("a container with this id exists already (container ID already in use)");
    auto lock = made ? made->lock() : sys::Result<sys::Fd>(std::unexpected(made.error()));
    if (!lock && lock.error().code == ENOENT && round < kMostRounds) continue;
    if (!lock) {
      if (made) (void)made->remove();
      return lock;
    }
    directory_ = *std::move(made);
    return lock;
  }
}

sys::Result<> Launch::write_down() {
  state_ = {
      .id = options_.id,
      .ociVersion = spec().ociVersion,
      .bundle = bundle_.path,
      .rootfs = std::get<plan::BundleRoot>(request_.root).path,
      .created = timestamp(),
      .owner = facts_.user.empty() ? (facts_.uid == 0 ? "root" : fmt::format("{}", facts_.uid)) : facts_.user,
      .annotations = spec().annotations,
      .streams = std::move(state_.streams),
      .undo = saved(plan::undo_of(plan_))};
  if (const size_t at = plan_.find("cgroup"); at < plan_.steps.size())
    if (const auto* made = std::get_if<plan::CreateCgroup>(&plan_.steps[at].action))
      state_.cgroup = made->path;
  if (const size_t at = plan_.find("scope"); at < plan_.steps.size())
    if (const auto* scope = std::get_if<plan::StartScope>(&plan_.steps[at].action))
      state_.cgroup = scope->cgroup;
  if (const size_t at = plan_.find("seccomp-listener"); at < plan_.steps.size())
    state_.agent = std::get<plan::ConnectListener>(plan_.steps[at].action).path;
  CLOCHE_TRY_ASSIGN(creator, mark_of(static_cast<pid_t>(sys::raw_call(SYS_getpid))));
  state_.creator = creator;
  CLOCHE_TRY_ASSIGN(lock, make_directory());
  auto written = check_cgroup();
  if (written) written = directory_->write_state(state_);
  if (written) written = directory_->write_config(bundle_.config);
  if (!written) (void)directory_->remove();
  return written;
}

sys::Result<> Launch::execute() {
  Prepared prepared;
  prepared.oci_state = hook_state(state_);
  CLOCHE_TRY_ASSIGN(init, directory_->make_init());
  prepared.init_mark = std::move(init);
  if (way_ == Way::create) {
    CLOCHE_TRY_ASSIGN(listener, directory_->listen_for_start());
    prepared.start_listener = std::move(listener);
  }
  CLOCHE_TRY_ASSIGN(execution, Execution::prepare(plan_, std::move(prepared)));
  execution_.emplace(std::move(execution));
  const auto ran = execution_->run();
  if (!ran) {
    keep_explanation(root_, options_.id,
                     {.what = fmt::format("{} container \"{}\"", verb(), options_.id),
                      .plan = plan_,
                      .failure = ran.error(),
                      .facts = facts_,
                      .record = execution_->record(),
                      .undone = execution_->undone()});
    return std::unexpected(step_error(plan_, ran.error(), facts_));
  }
  terminal_ = execution_->take_terminal();
  if (const auto unknown = execution_->unknown_calls(); !unknown.empty())
    report_.notes.push_back(
        fmt::format("linux.seccomp.syscalls: left out, since libseccomp knows no such calls: {}",
                    fmt::join(unknown, ", ")));
  if (options_.record) report_.steps = step_lines(plan_, execution_->record());
  return {};
}

// What the caller asked to be given. Without it the caller could not manage the container: it ends.
sys::Result<> Launch::hand_out() {
  sys::Result<> given;
  if (console_.valid()) given = hand_over(console_, terminal_, "/dev/ptmx");
  if (given && pidfd_socket_.valid()) given = hand_over(pidfd_socket_, execution_->pidfd(), "pidfd");
  if (given && !options_.pid_file.empty()) given = write_pid_file(options_.pid_file, execution_->pid());
  if (given) given = directory_->mark_made();
  if (given) return given;
  (void)sys::signal_process(execution_->pidfd(), SIGKILL);
  (void)sys::wait_for(execution_->pid());
  (void)undo(plan_);
  return given;
}

// The host's, which may have set up what poststop hooks take down.
bool Launch::hooks_began() const {
  if (!execution_) return false;
  return std::ranges::any_of(execution_->record().steps, [&](const plan::StepRecord& step) {
    const std::string& id = plan_.steps[step.index].id;
    return id == "hooks:prestart" || id == "hooks:createRuntime";
  });
}

// The executor has undone what it did. Where that failed the state stays: it holds what is still to be done.
void Launch::give_up(sys::Error& error) {
  const auto lock = directory_->lock();
  if (!lock && lock.error().code == ENOENT) return;  // deleted meanwhile, its poststop hooks with it
  if (!state_.cgroup.empty() && sys::stat_at(AT_FDCWD, state_.cgroup)) {
    const auto inside = kernel::processes_in(state_.cgroup);
    if (inside && !inside->empty()) {
      error.context.push_back(
          fmt::format("processes are left in {}: `delete --force {}` tries to end them again", state_.cgroup,
                      options_.id));
      return;
    }
  }
  if (hooks_began()) run_poststop(spec().hooks->poststop, state_, report_);
  (void)directory_->remove();
}

sys::Result<int> Launch::stay(Foreground& foreground) {
  CLOCHE_TRY_ASSIGN(ending, foreground.stand_by(execution_->pid(), execution_->pidfd(), terminal_, true));
  if (options_.keep) return ending.exit_code();
  const auto lock = directory_->lock();
  if (!lock && lock.error().code == ENOENT) return ending.exit_code();  // deleted meanwhile
  if (!lock) return std::unexpected(lock.error());
  const Container container{.directory = std::move(*directory_), .state = state_};
  CLOCHE_TRY(clean_up(container, report_));
  return ending.exit_code();
}

sys::Result<> make(const StateRoot& root, const LaunchOptions& options, Way way, Report& report) {
  auto launch = std::make_unique<Launch>(root, options, way, report);
  CLOCHE_TRY(launch->make());
  leave_to_exit(std::move(launch));
  return {};
}

}  // namespace

sys::Result<> create(const StateRoot& root, const LaunchOptions& options, Report& report) {
  return make(root, options, Way::create, report);
}

sys::Result<int> run(const StateRoot& root, const LaunchOptions& options, Report& report) {
  if (options.detach) {
    CLOCHE_TRY(make(root, options, Way::run_detached, report));
    return 0;
  }
  CLOCHE_TRY_ASSIGN(foreground, Foreground::prepare());
  auto launch = std::make_unique<Launch>(root, options, Way::run, report);
  CLOCHE_TRY(launch->make());
  auto ended = launch->stay(foreground);
  leave_to_exit(std::move(launch));
  return ended;
}

}  // namespace cloche::runtime
