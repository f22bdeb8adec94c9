// A filter that hands system calls over: its listener goes to the agent before the process makes another call, since any
// call may be one that only the agent answers. seccomp_unotify(2); runtime-spec, config-linux.md, "The Container Process
// State".
#include <fmt/format.h>
#include <linux/seccomp.h>
#include <time.h>

#include <array>
#include <atomic>

#include "kernel/seccomp.h"
#include "runtime/container.h"
#include "runtime/container_side.h"
#include "runtime/hooks.h"
#include "runtime/json_text.h"
#include "spec/default_spec.h"
#include "sys/process.h"
#include "sys/sockets.h"

namespace cloche::runtime {
namespace {

std::string process_state(const std::string& container, const std::string& pid, const std::string& metadata) {
  return fmt::format(R"({{"ociVersion":"{}","fds":["seccompFd"],"pid":{}{},"state":{}}})",
                     spec::kWrittenVersion, pid,
                     metadata.empty() ? "" : R"(,"metadata":)" + json_string(metadata), container);
}

}  // namespace

// A thread that has no filter sends the listener while the filtered one, without a system call, waits for its end.
struct ListenerHandover {
  static constexpr int kNotYet = -1, kFailed = -2;

  ContainerSide& side;
  std::string state;
  std::atomic<int> listener = kNotYet;
  std::atomic<int> running = 0;

  static int send(void* self) {
    static_cast<ListenerHandover*>(self)->send();
    return 0;
  }

  void send() {
    constexpr timespec kPause{.tv_sec = 0, .tv_nsec = 20'000};
    while (listener == kNotYet) ::nanosleep(&kPause, nullptr);
    if (listener == kFailed) return;
    sys::Fd held(listener);
    const int raw = held.get();
    auto sent = sys::send_stream(side.prepared_.agent, state, std::span(&raw, 1));
    // Whatever the filter hands over from here on is the agent's; without one it is ENOSYS.
    held.reset();
    side.prepared_.agent.reset();
    if (sent) return;
    sys::Error error = std::move(sent).error();
    error.context.emplace_back("sending the listener to the agent at linux.seccomp.listenerPath");
    SharedStep& step = side.record_.steps[side.index_];
    step.state = StepState::failed;
    step.error = error.code;
    side.give_up(side.index_, error);
  }
};

sys::Result<> ContainerSide::load_with_listener(const std::string& metadata) {
  kernel::SeccompProgram& program = *prepared_.filter;
  // The process has no other thread but the one that must stay free.
  program.flags &= ~static_cast<uint32_t>(SECCOMP_FILTER_FLAG_TSYNC);
  std::string container = prepared_.oci_state;
  if (container.empty()) container = hook_state({.id = plan_.container, .ociVersion = spec::kWrittenVersion});
  container = state_for_hooks(std::move(container), pid_, status_at("startContainer"));
  ListenerHandover handover{.side = *this, .state = process_state(container, pid_, metadata)};
  std::vector<std::byte> stack(size_t{256} << 10);
  CLOCHE_TRY(sys::start_thread(stack, &ListenerHandover::send, &handover, handover.running));
  auto listener = kernel::load_seccomp_with_listener(program);
  handover.listener = listener ? listener->release() : ListenerHandover::kFailed;
  while (handover.running != 0) {
  }
  if (!listener) return std::unexpected(std::move(listener).error());
  return {};
}

}  // namespace cloche::runtime
