#include "runtime/hooks.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "runtime/last_line.h"
#include "runtime/shared_record.h"
#include "sys/call.h"
#include "sys/files.h"
#include "sys/flags.h"
#include "sys/process.h"

namespace cloche::runtime {
namespace {

using Restrict = std::function<sys::Result<>()>;

constexpr int kNoExec = 127;  // as a shell says it
constexpr size_t kMostKept = 4096;

// The hook's standard error. A file, not a pipe: nobody has to read while the hook runs, and a process that it leaves
// behind is not killed by writing there.
sys::Result<sys::Fd> memory_for_errors() {
  constexpr unsigned kCloexec = 0x1U, kAllowSealing = 0x2U, kNoexecSeal = 0x8U;
  // vm.memfd_noexec=2 (Linux 6.3) refuses any other; older kernels refuse the flag.
  long raw = sys::raw_call(SYS_memfd_create, "hook-stderr", kCloexec | kNoexecSeal);
  if (raw == -EINVAL) raw = sys::raw_call(SYS_memfd_create, "hook-stderr", kCloexec | kAllowSealing);
  if (raw < 0) return sys::fail(static_cast<int>(-raw), "memfd_create(\"hook-stderr\")");
  return sys::Fd(static_cast<int>(raw));
}

// Why there is no hook, as a record in the place of what the hook would have written.
[[noreturn]] void give_up(const sys::Fd& errors, const sys::Error& error) {
  const FailureRecord record = to_record(0, error);
  sys::raw_call(SYS_write, errors.get(), &record, sizeof record);
  _exit(kNoExec);
}

[[noreturn]] void become_hook(const spec::Hook& hook, const sys::Fd& input, const sys::Fd& errors,
                              const Restrict& restrict) {
  for (const sys::Result<>& ready : {sys::unblock_signals(), sys::duplicate_to(input, 0),
                                     sys::duplicate_to(errors, 2), sys::close_range_from(3, true)})
    if (!ready) give_up(errors, ready.error());
  if (restrict)
    if (auto restricted = restrict(); !restricted) give_up(errors, restricted.error());
  sys::Error error =
      sys::execute({}, hook.path, hook.args.empty() ? spec::Strings{hook.path} : hook.args, hook.env);
  error.call = fmt::format("execve({})", sys::in_quotes(hook.path));
  give_up(errors, error);
}

// The last kMostKept bytes. Nothing can be added from now on: a process that the hook left behind would fill memory
// that nobody reads.
std::string take_errors(const sys::Fd& errors) {
  sys::raw_call(SYS_fcntl, errors.get(), F_ADD_SEALS, F_SEAL_GROW);
  const auto st = sys::stat_fd(errors);
  if (!st || st->st_size <= 0) return {};
  const auto size = static_cast<size_t>(st->st_size);
  std::string text(std::min(size, kMostKept), '\0');
  const long got = sys::raw_call(SYS_pread64, errors.get(), text.data(), text.size(), size - text.size());
  text.resize(got > 0 ? static_cast<size_t>(got) : 0);
  return text;
}

// A hook could write such a record itself, and gains nothing by it.
std::optional<sys::Error> why_no_hook(std::string_view errors, const sys::Ending& ending) {
  FailureRecord record{};
  if (ending.status != kNoExec || errors.size() != sizeof record) return {};
  std::memcpy(&record, errors.data(), sizeof record);
  if (record.version != FailureRecord::kVersion) return {};
  return to_error(record);
}

// Until the hook has ended; false, and killed, when that takes longer than its timeout.
sys::Result<bool> await_hook(const sys::Fd& pidfd, int64_t seconds) {
  constexpr int64_t kMostAtOnce = 86'400;  // its milliseconds fit into an int
  while (seconds > 0) {
    const int64_t now = std::min(seconds, kMostAtOnce);
    CLOCHE_TRY_ASSIGN(ended, sys::await_end(pidfd, static_cast<int>(now * 1000)));
    if (ended) return true;
    seconds -= now;
  }
  (void)sys::signal_process(pidfd, SIGKILL);
  return false;
}

sys::Result<> judge(const spec::Hook& hook, bool late, const sys::Ending& ending, const std::string& errors) {
  if (auto why = why_no_hook(errors, ending)) return std::unexpected(*std::move(why));
  std::string what;
  if (late)
    what = fmt::format("it was killed after its timeout of {} s", hook.timeout.value_or(0));
  else if (ending.signal != 0)
    what = fmt::format("it was ended by signal {}", ending.signal);
  else if (ending.status != 0)
    what = fmt::format("it ended with status {}", ending.status);
  if (what.empty()) {
    if (!errors.empty()) sys::raw_call(SYS_write, 2, errors.data(), errors.size());
    return {};
  }
  if (const std::string line = last_line(errors); !line.empty()) what += fmt::format(" (stderr: {})", line);
  return sys::fail_because(std::move(what));
}

sys::Result<> run_hook(const spec::Hook& hook, const std::string& state, const Restrict& restrict) {
  // A sealed memory file, not a pipe: a hook that never reads its input cannot block anyone.
  CLOCHE_TRY_ASSIGN(input, sys::sealed_memory_file("oci-state", state));
  const long rewound = sys::raw_call(SYS_lseek, input.get(), 0, SEEK_SET);
  if (rewound < 0) return sys::fail(static_cast<int>(-rewound), "lseek(the state for the hook, 0)");
  CLOCHE_TRY_ASSIGN(errors, memory_for_errors());
  CLOCHE_TRY_ASSIGN(cloned, sys::clone_process({}));
  if (std::holds_alternative<sys::Child>(cloned)) become_hook(hook, input, errors, restrict);
  const sys::Parent& parent = std::get<sys::Parent>(cloned);
  sys::Result<bool> in_time = true;
  if (hook.timeout) in_time = await_hook(parent.pidfd, *hook.timeout);
  CLOCHE_TRY_ASSIGN(ending, sys::wait_for(parent.child));
  CLOCHE_TRY(in_time);
  return judge(hook, !*in_time, ending, take_errors(errors));
}

}  // namespace

sys::Result<> run_hooks(const std::string& stage, const std::vector<spec::Hook>& hooks,
                        const std::string& state, const Restrict& restrict) {
  for (size_t i = 0; i < hooks.size(); ++i) {
    auto ran = run_hook(hooks[i], state, restrict);
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
