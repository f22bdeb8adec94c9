#include <fmt/format.h>
#include <signal.h>
#include <string.h>

#include <algorithm>
#include <set>

#include "kernel/cgroup.h"
#include "runtime/lifecycle.h"
#include "sys/number.h"
#include "sys/process.h"

namespace cloche::runtime {
namespace {

// "container not running" is what containerd and CRI-O look for.
sys::Failure not_running() { return sys::fail_because("container not running"); }

// To each process once, until a round finds no new one: what forks meanwhile is found in the next.
sys::Result<> signal_everything(const Container& container, int signal) {
  constexpr int kMostRounds = 100;
  std::set<int> seen;
  for (int round = 0; round < kMostRounds; ++round) {
    CLOCHE_TRY_ASSIGN(pids, processes_of(container));
    bool found_new = false;
    for (const int pid : pids) {
      if (!seen.insert(pid).second) continue;
      found_new = true;
      const auto pidfd = sys::open_pidfd(pid);
      if (pidfd) (void)sys::signal_process(*pidfd, signal);
    }
    if (!found_new) return {};
  }
  return {};
}

}  // namespace

sys::Result<int> parse_signal(std::string_view text) {
  const auto unknown = [&] { return sys::fail_because(fmt::format("unknown signal \"{}\"", text)); };
  if (const auto number = sys::whole_number<int>(text)) {
    if (*number < 0 || *number > SIGRTMAX) return unknown();
    return *number;
  }
  std::string name(text);
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return static_cast<char>(toupper(c)); });
  if (name.starts_with("SIG")) name.erase(0, 3);
  for (int signal = 1; signal < NSIG; ++signal)
    if (const char* known = ::sigabbrev_np(signal); known != nullptr && name == known) return signal;
  if (name == "IOT") return SIGABRT;
  if (name == "CLD") return SIGCHLD;
  // RTMIN, RTMIN+n, RTMAX, RTMAX-n
  if (name.starts_with("RTMIN") || name.starts_with("RTMAX")) {
    const int base = name.starts_with("RTMIN") ? SIGRTMIN : SIGRTMAX;
    const std::string_view offset = std::string_view(name).substr(5);
    if (offset.empty()) return base;
    const auto by = sys::whole_number<int>(offset.substr(1));
    if (by && *by >= 0 && offset[0] == (base == SIGRTMIN ? '+' : '-') && *by <= SIGRTMAX - SIGRTMIN)
      return base == SIGRTMIN ? base + *by : base - *by;
  }
  return unknown();
}

sys::Result<> kill(const StateRoot& root, const std::string& id, int signal, bool all) {
  CLOCHE_TRY_ASSIGN(container, load(root, id));
  if (all) {
    if (signal == SIGKILL && !container.state.cgroup.empty()) {
      auto killed = kernel::kill_all(container.state.cgroup);
      if (killed || killed.error().code == ENOENT) return {};
      return killed;
    }
    return signal_everything(container, signal);
  }
  if (!container.has_process()) return not_running();
  auto pidfd = open_marked(*container.init);
  if (!pidfd) return not_running();
  auto sent = sys::signal_process(*pidfd, signal);
  if (!sent && sent.error().code == ESRCH) return not_running();
  return sent;
}

}  // namespace cloche::runtime
