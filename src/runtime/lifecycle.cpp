#include "runtime/lifecycle.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/syscall.h>

#include "kernel/cgroup.h"
#include "runtime/hooks.h"
#include "runtime/protocol.h"
#include "runtime/undo.h"
#include "spec/read.h"
#include "sys/call.h"
#include "sys/files.h"
#include "sys/process.h"

namespace cloche::runtime {
namespace {

sys::Failure unfit(Status status) {
  const char* why = status == Status::running   ? "it is running already"
                    : status == Status::stopped ? "it has stopped"
                    : status == Status::paused  ? "it is paused"
                    : status == Status::created ? "it is created but not started"
                                                : "its creation is still under way";
  return sys::fail_because(why);
}

sys::Result<std::vector<spec::Hook>> hooks_of(const Container& container,
                                              std::vector<spec::Hook> spec::Hooks::* stage) {
  CLOCHE_TRY_ASSIGN(config, container.directory.read_config());
  auto read = spec::read_spec(config);
  if (!read) return sys::fail_because(fmt::format("the saved config.json: {}", read.error().message()));
  if (!read->value.hooks) return std::vector<spec::Hook>{};
  return std::move((*read->value.hooks).*stage);
}

std::string state_at(const Container& container, const char* status) {
  const int64_t pid = container.init && status != std::string_view("stopped") ? container.init->pid : 0;
  return state_for_hooks(hook_state(container.state), fmt::format("{}", pid), status);
}

// Only one `start` at a time: the second one then finds the container running. The lock ends with the descriptor.
sys::Result<sys::Fd> lock(const ContainerDirectory& directory) {
  CLOCHE_TRY_ASSIGN(file, sys::open_at(directory.fd().get(), ".", O_RDONLY | O_DIRECTORY));
  long locked = 0;
  do {
    locked = sys::raw_call(SYS_flock, file.get(), LOCK_EX);
  } while (locked == -EINTR);
  if (locked < 0) return sys::fail(static_cast<int>(-locked), "flock(LOCK_EX)");
  return file;
}

// ECONNREFUSED and ENOENT: nobody waits there any more.
sys::Result<HostEnd> call_waiting(const Container& container) {
  auto socket = container.directory.connect_for_start();
  if (!socket && (socket.error().code == ECONNREFUSED || socket.error().code == ENOENT)) {
    (void)container.directory.forget_start();
    return unfit(is_alive(*container.init) ? Status::running : Status::stopped);
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
  constexpr int kPatienceMilliseconds = 10'000;
  CLOCHE_TRY_ASSIGN(ended, sys::await_end(init, kPatienceMilliseconds));
  if (ended) return {};
  return sys::fail_because(
      "its first process was killed but does not end: it hangs in the kernel, or a process of the container "
      "(from "
      "`exec --detach`) has ended and its parent outside has not waited for it yet");
}

}  // namespace

sys::Result<> start(const StateRoot& root, const std::string& id, Report& report) {
  CLOCHE_TRY_ASSIGN(container, load(root, id));
  if (container.status != Status::created) return unfit(container.status);
  CLOCHE_TRY_ASSIGN(turn, lock(container.directory));
  CLOCHE_TRY_ASSIGN(waiting, call_waiting(container));
  CLOCHE_TRY(waiting.start());
  CLOCHE_TRY_ASSIGN(answer, waiting.receive());
  (void)container.directory.forget_start();
  if (answer.failure) return std::unexpected(to_error(*answer.failure));
  if (!answer.end) return sys::fail_because("the container's process answered out of turn");

  auto hooks = hooks_of(container, &spec::Hooks::poststart);
  sys::Result<> ran;
  if (!hooks)
    ran = std::unexpected(std::move(hooks).error());
  else
    ran = run_hooks("poststart", *hooks, state_at(container, "running"));
  if (!ran) {
    (void)end_init(container);
    return sys::wrap(std::move(ran).error(), "the container was ended, since its poststart hooks failed");
  }
  (void)report;
  return {};
}

sys::Result<> clean_up(const Container& container, Report& report) {
  CLOCHE_TRY(undo(undo_actions(container.state)));
  // A failed hook is no reason to keep the container (runtime-spec, "Lifecycle", 13).
  const auto hooks = hooks_of(container, &spec::Hooks::poststop);
  if (!hooks && hooks.error().code != ENOENT) report.warnings.push_back(hooks.error().message());
  if (hooks)
    for (const spec::Hook& hook : *hooks)
      if (auto ran = run_hooks("poststop", {hook}, state_at(container, "stopped")); !ran)
        report.warnings.push_back(ran.error().message());
  return container.directory.remove();
}

sys::Result<> remove(const StateRoot& root, const std::string& id, bool force, Report& report) {
  auto directory = root.find(id);
  if (!directory && directory.error().code == ENOENT && force) return {};
  auto container = load(root, id);
  if (!container) {
    if (!force || !directory) return std::unexpected(std::move(container).error());
    // Nothing was left on the host before the state was written.
    return directory->remove();
  }
  // A `start` that was killed leaves the socket of a container that runs.
  if (container->status == Status::created && !container->directory.connect_for_start())
    container->status = Status::running;
  if (!force && container->status != Status::stopped && container->status != Status::created)
    return sys::fail_because(
        fmt::format("it is not stopped but {} (--force ends it)", name(container->status)));
  if (container->has_process() || container->status == Status::creating) {
    std::optional<sys::Fd> pidfd;
    if (container->init)
      if (auto opened = open_marked(*container->init)) pidfd = *std::move(opened);
    CLOCHE_TRY(end_init(*container));
    if (pidfd) CLOCHE_TRY(await_last(*pidfd));
  }
  return clean_up(*container, report);
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
