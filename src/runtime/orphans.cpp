#include "runtime/orphans.h"

#include <dirent.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <vector>

#include "runtime/process_mark.h"
#include "sys/process.h"

namespace cloche::runtime {
namespace {

std::vector<pid_t> children() {
  std::vector<pid_t> found;
  DIR* proc = ::opendir("/proc");
  if (proc == nullptr) return found;
  const pid_t self = ::getpid();
  while (const dirent* entry = ::readdir(proc)) {
    const auto pid = static_cast<pid_t>(std::strtol(entry->d_name, nullptr, 10));
    if (pid <= 0) continue;
    if (const auto stat = stat_of(pid); stat && stat->parent == self) found.push_back(pid);
  }
  ::closedir(proc);
  return found;
}

}  // namespace

sys::Result<> adopt_orphans() {
  return sys::process_control(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0, "PR_SET_CHILD_SUBREAPER, 1");
}

// The children of a child that is killed come to us in turn, and are found in the next round.
void end_orphans() {
  constexpr int kMostRounds = 1000;  // as deep as a tree of processes may hang on one
  for (int round = 0; round < kMostRounds; ++round) {
    const auto pids = children();
    if (pids.empty()) return;
    for (const pid_t pid : pids) ::kill(pid, SIGKILL);
    for (const pid_t pid : pids) (void)sys::wait_for(pid);
  }
}

}  // namespace cloche::runtime
