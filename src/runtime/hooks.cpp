#include "runtime/hooks.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sys/call.h"
#include "sys/files.h"
#include "sys/process.h"

namespace cloche::runtime {
namespace {

[[noreturn]] void become_hook(const spec::Hook& hook, const sys::Fd& input) {
  (void)sys::unblock_signals();
  if (sys::duplicate_to(input, 0)) {
    (void)sys::close_range_from(3, true);
    const sys::Error error =
        sys::execute({}, hook.path, hook.args.empty() ? spec::Strings{hook.path} : hook.args, hook.env);
    const std::string text = error.message() + "\n";
    sys::raw_call(SYS_write, 2, text.data(), text.size());
  }
  _exit(127);
}

sys::Result<> run_hook(const spec::Hook& hook, const std::string& state) {
  // A sealed memory file, not a pipe: a hook that never reads its input cannot block anyone.
  CLOCHE_TRY_ASSIGN(input, sys::sealed_memory_file("oci-state", state));
  sys::raw_call(SYS_lseek, input.get(), 0, SEEK_SET);
  CLOCHE_TRY_ASSIGN(cloned, sys::clone_process({}));
  if (std::holds_alternative<sys::Child>(cloned)) become_hook(hook, input);
  const sys::Parent& parent = std::get<sys::Parent>(cloned);
  bool late = false;
  if (hook.timeout) {
    pollfd ended{.fd = parent.pidfd.get(), .events = POLLIN, .revents = 0};
    late = ::poll(&ended, 1, *hook.timeout * 1000) == 0;
    if (late) (void)sys::signal_process(parent.pidfd, SIGKILL);
  }
  CLOCHE_TRY_ASSIGN(ending, sys::wait_for(parent.child));
  if (late) return sys::fail_because(fmt::format("it was killed after its timeout of {} s", *hook.timeout));
  if (ending.signal != 0) return sys::fail_because(fmt::format("it was ended by signal {}", ending.signal));
  if (ending.status != 0) return sys::fail_because(fmt::format("it ended with status {}", ending.status));
  return {};
}

}  // namespace

sys::Result<> run_hooks(const std::string& stage, const std::vector<spec::Hook>& hooks,
                        const std::string& state) {
  for (size_t i = 0; i < hooks.size(); ++i) {
    auto ran = run_hook(hooks[i], state);
    if (!ran)
      return sys::wrap(std::move(ran).error(),
                       fmt::format("{} hook {} of {}, {}", stage, i + 1, hooks.size(), hooks[i].path));
  }
  return {};
}

std::string state_for_hooks(std::string oci_state, const std::string& pid, std::string_view status) {
  constexpr std::string_view kPid = "\"@PID@\"", kStatus = "@STATUS@";
  if (const size_t at = oci_state.find(kPid); at != std::string::npos)
    oci_state.replace(at, kPid.size(), pid);
  if (const size_t at = oci_state.find(kStatus); at != std::string::npos)
    oci_state.replace(at, kStatus.size(), status);
  return oci_state;
}

std::string_view status_at(std::string_view stage) {
  if (stage == "startContainer") return "created";
  if (stage == "poststart") return "running";
  if (stage == "poststop") return "stopped";
  return "creating";
}

}  // namespace cloche::runtime
