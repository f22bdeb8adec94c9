#include "runtime/lifecycle.h"

#include <fcntl.h>
#include <fmt/format.h>

#include "kernel/cgroup.h"
#include "runtime/facts.h"
#include "runtime/hooks.h"
#include "runtime/protocol.h"
#include "runtime/undo.h"
#include "spec/read.h"
#include "sys/files.h"
#include "sys/flags.h"
#include "sys/process.h"
#include "sys/sockets.h"

namespace cloche::runtime {
namespace {

constexpr int kPatience = 10'000;  // milliseconds; a safety net, each wait ends at its event

sys::Failure unfit(Status status) {
  const char* why = status == Status::running   ? "it is running already"
                    : status == Status::stopped ? "it has stopped"
                    : status == Status::paused  ? "it is paused"
                    : status == Status::created ? "it is created but not started"
                                                : "its creation is still under way";
  return sys::fail_because(why);
}

// `name` is the stage's key. Most configurations have no hooks of it, and need not be parsed to see that: a key is
// spelt as it is, unless something in the text is escaped (RFC 8259, section 7).
sys::Result<std::vector<spec::Hook>> hooks_of(const Container& container, std::string_view name,
                                              std::vector<spec::Hook> spec::Hooks::* stage) {
  CLOCHE_TRY_ASSIGN(text, container.directory.read_config());
  if (!text.contains(name) && !text.contains('\\')) return std::vector<spec::Hook>{};
  CLOCHE_TRY_ASSIGN(spec, config_of(container));
  if (!spec.hooks) return std::vector<spec::Hook>{};
  return std::move((*spec.hooks).*stage);
}

// A process whose socket is closed has been started, or is about to be dead.
bool goes_on(const ProcessMark& init) { return !is_ending(init) && is_alive(init); }

// ECONNREFUSED and ENOENT: nobody waits there any more.
sys::Result<HostEnd> call_waiting(const Container& container) {
  auto socket = container.directory.connect_for_start();
  if (!socket && (socket.error().code == ECONNREFUSED || socket.error().code == ENOENT)) {
    (void)container.directory.forget_start();
    return unfit(goes_on(*container.init) ? Status::running : Status::stopped);
  }
  if (!socket) return std::unexpected(std::move(socket).error());
  return HostEnd(*std::move(socket));
}

sys::Result<> end_init(const Container& container) {
  if (!container.init) return {};
  auto pidfd = open_marked(*container.init);
  if (!pidfd) return {};
  return sys::signal_process(*pidfd, SIGKILL);
}

// The first process of a pid namespace ends last, after every other one has been waited for by its parent.
sys::Result<> await_last(const sys::Fd& init) {
  CLOCHE_TRY_ASSIGN(ended, sys::await_end(init, kPatience));
  if (ended) return {};
  return sys::fail_because(
      "its first process was killed but does not end: it hangs in the kernel, or a process of the container "
      "(from `exec --detach`) has ended and its parent outside has not waited for it yet");
}

sys::Result<> end_process(const ProcessMark& mark) {
  auto pidfd = open_marked(mark);
  if (!pidfd && !is_alive(mark)) return {};
  if (!pidfd) return std::unexpected(std::move(pidfd).error());
  auto sent = sys::signal_process(*pidfd, SIGKILL);
  if (!sent && sent.error().code != ESRCH) return sent;
  return await_last(*pidfd);
}

// Who makes it undoes on a failure what it did, by path: nothing may be taken away beside it. A `run` in the foreground
// lives on when that is over. What hangs (a hook without a timeout) is ended.
sys::Result<> await_creation(const Container& container) {
  constexpr int kPause = 5;  // milliseconds
  const ProcessMark& creator = container.state.creator;
  auto pidfd = open_marked(creator);
  if (!pidfd && !is_alive(creator)) return {};
  if (!pidfd) return std::unexpected(std::move(pidfd).error());
  for (int waited = 0; waited < kPatience; waited += kPause) {
    if (container.directory.is_made()) return {};
    CLOCHE_TRY_ASSIGN(ended, sys::await_end(*pidfd, kPause));
    if (ended) return {};
  }
  return end_process(creator);
}

// Before the container goes on: without its agent it can be started again later.
sys::Result<sys::Fd> connect_to_agent(const Container& container) {
  if (container.state.agent.empty()) return sys::Fd();
  auto agent = sys::connect_stream(container.state.agent);
  if (agent) return agent;
  return sys::wrap(std::move(agent).error(), "linux.seccomp.listenerPath: no agent listens there");
}

// For `delete`. A `start` may wait for a hook as long as it likes: with `force` it loses its container.
sys::Result<sys::Fd> claim(const ContainerDirectory& directory, bool force) {
  auto lock = directory.lock(kPatience);
  if (!lock && lock.error().code == ETIMEDOUT && force) {
    if (const auto init = directory.read_init()) CLOCHE_TRY(end_process(*init));
    lock = directory.lock(kPatience);
  }
  if (!lock && lock.error().code == ETIMEDOUT)
    return sys::fail_because("another command (start, delete) is still at it: try again when that has ended");
  return lock;
}

// What may be left of a container whose state nobody can read.
std::string cgroup_words(const ContainerDirectory& directory, const std::optional<ProcessMark>& init) {
  if (init && is_alive(*init)) {
    const auto text = sys::read_file(AT_FDCWD, fmt::format("/proc/{}/cgroup", init->pid), 65536);
    if (text) return fmt::format("the cgroup {} (in /sys/fs/cgroup)", parse_own_cgroup(*text));
  }
  if (const auto text = directory.read_config())
    if (const auto read = spec::read_spec(*text);
        read && read->value.linux_ && !read->value.linux_->cgroupsPath.empty())
      return fmt::format("the cgroup {} (in /sys/fs/cgroup)",
                         sys::in_quotes(read->value.linux_->cgroupsPath));
  return "the cgroup that was made for it";
}

sys::Result<> remove_unreadable(const ContainerDirectory& directory, sys::Error why) {
  const auto init = directory.read_init();
  const std::string cgroup = cgroup_words(directory, init);
  if (init) CLOCHE_TRY(end_process(*init));
  CLOCHE_TRY(directory.remove());
  return sys::wrap(
      std::move(why),
      fmt::format("its process was ended and its directory removed, but what else to remove is not known "
                  "without its state: {} may be left",
                  cgroup));
}

// What the kernel refused now it may do another time; what is in the file stays as it is.
bool may_be_read_yet(const sys::Error& error) {
  return error.code != 0 && error.code != EFBIG && error.code != EISDIR && error.code != ELOOP;
}

sys::Result<> remove_loaded(Container& container, bool force, Report& report) {
  // A `start` that was killed leaves the socket of a container that runs.
  if (container.status == Status::created && !container.directory.connect_for_start() &&
      goes_on(*container.init))
    container.status = Status::running;
  if (!force && container.status != Status::stopped && container.status != Status::created)
    return sys::fail_because(
        fmt::format("it is not stopped but {} (--force ends it)", name(container.status)));
  if (container.init) CLOCHE_TRY(end_process(*container.init));
  return clean_up(container, report);
}

}  // namespace

sys::Result<> start(const StateRoot& root, const std::string& id, Report& report) {
  auto directory = root.find(id);
  if (!directory) return not_found(std::move(directory).error());
  // The second of two finds the container running.
  auto turn = directory->lock();
  if (!turn) return not_found(std::move(turn).error());
  CLOCHE_TRY_ASSIGN(container, load(*std::move(directory)));
  if (container.status != Status::created) return unfit(container.status);
  CLOCHE_TRY_ASSIGN(agent, connect_to_agent(container));
  CLOCHE_TRY_ASSIGN(waiting, call_waiting(container));
  auto told = waiting.start(agent);
  // It has ended meanwhile, also before it took the connection up. What it said before that can still be read.
  if (!told && told.error().code != EPIPE && told.error().code != ECONNRESET) return told;
  CLOCHE_TRY_ASSIGN(answer, waiting.receive());
  auto forgotten = container.directory.forget_start();
  if (answer.failure) return std::unexpected(to_error(*answer.failure));
  if (answer.end && (answer.reset || !told))
    return sys::fail_because("the container's process ended before it heard of it");
  if (!forgotten)
    report.warnings.push_back(
        sys::wrap(std::move(forgotten).error(), "the container runs, and may be shown as created")
            .error()
            .message());
  if (!answer.end) return sys::fail_because("the container's process answered out of turn");

  auto hooks = hooks_of(container, "poststart", &spec::Hooks::poststart);
  sys::Result<> ran;
  if (!hooks)
    ran = std::unexpected(std::move(hooks).error());
  else
    ran = run_hooks(
        "poststart", *hooks,
        state_for_hooks(hook_state(container.state), fmt::format("{}", container.init->pid), "running"));
  if (!ran) {
    (void)end_init(container);
    return sys::wrap(std::move(ran).error(), "the container was ended, since its poststart hooks failed");
  }
  return {};
}

// A failed hook is no reason to keep the container (runtime-spec, "Lifecycle", 13).
void run_poststop(const std::vector<spec::Hook>& hooks, const SavedState& state, Report& report) {
  const std::string text = state_for_hooks(hook_state(state), "0", "stopped");
  for (const spec::Hook& hook : hooks)
    if (auto ran = run_hooks("poststop", {hook}, text); !ran)
      report.warnings.push_back(ran.error().message());
}

sys::Result<> clean_up(const Container& container, Report& report) {
  CLOCHE_TRY(undo(undo_actions(container.state)));
  const auto hooks = hooks_of(container, "poststop", &spec::Hooks::poststop);
  if (!hooks && hooks.error().code != ENOENT) report.warnings.push_back(hooks.error().message());
  if (hooks) run_poststop(*hooks, container.state, report);
  return container.directory.remove();
}

sys::Result<> remove(const StateRoot& root, const std::string& id, bool force, Report& report) {
  for (;;) {
    auto directory = root.find(id);
    if (!directory && directory.error().code == ENOENT && force) return {};
    if (!directory) return not_found(std::move(directory).error());
    auto lock = claim(*directory, force);
    if (!lock && lock.error().code == ENOENT && force) return {};
    if (!lock) return not_found(std::move(lock).error());
    const auto state = directory->read_state();
    if (!state && force) {
      if (state.error().code == ENOENT)
        return directory->remove();  // before the state nothing is on the host
      if (may_be_read_yet(state.error())) return std::unexpected(state.error());
      return remove_unreadable(*directory, state.error());
    }
    CLOCHE_TRY_ASSIGN(container, load(*std::move(directory)));
    if (container.being_made && !force) return unfit(Status::creating);
    if (!container.being_made) return remove_loaded(container, force, report);
    lock->reset();  // it takes the lock when it gives up
    CLOCHE_TRY(await_creation(container));
  }
}

sys::Result<> pause(const StateRoot& root, const std::string& id) {
  CLOCHE_TRY_ASSIGN(container, load(root, id));
  if (container.status != Status::running && container.status != Status::created)
    return unfit(container.status);
  if (container.state.cgroup.empty())
    return sys::fail_because("the container has no cgroup of its own, and only a cgroup can be frozen");
  return kernel::freeze(container.state.cgroup, true);
}

sys::Result<> resume(const StateRoot& root, const std::string& id) {
  CLOCHE_TRY_ASSIGN(container, load(root, id));
  if (container.status != Status::paused)
    return sys::fail_because(fmt::format("it is not paused but {}", name(container.status)));
  return kernel::freeze(container.state.cgroup, false);
}

}  // namespace cloche::runtime
