#include "kernel/id_maps.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <linux/sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sys/call.h"
#include "sys/files.h"
#include "sys/process.h"
#include "sys/program.h"

namespace cloche::kernel {
namespace {

sys::Result<std::string> helper_path(const std::string& program) {
  for (const char* directory : {"/usr/bin", "/usr/local/bin", "/bin", "/usr/sbin", "/run/wrappers/bin"}) {
    std::string path = fmt::format("{}/{}", directory, program);
    if (sys::executable(path)) return path;
  }
  return sys::fail_because(fmt::format("{} is not installed (Debian's package uidmap)", program));
}

}  // namespace

std::string id_map_text(const std::vector<spec::IDMapping>& map) {
  std::string text;
  for (const spec::IDMapping& range : map)
    text += fmt::format("{} {} {}\n", range.containerID, range.hostID, range.size);
  return text;
}

sys::Result<> write_id_map(pid_t pid, const std::string& kind, const std::vector<spec::IDMapping>& map) {
  return sys::write_file(AT_FDCWD, fmt::format("/proc/{}/{}_map", pid, kind), id_map_text(map));
}

sys::Result<> write_id_map_by_helper(pid_t pid, const std::string& program,
                                     const std::vector<spec::IDMapping>& map) {
  CLOCHE_TRY_ASSIGN(path, helper_path(program));
  std::vector<std::string> args{program, fmt::format("{}", pid)};
  for (const spec::IDMapping& range : map)
    for (const uint32_t number : {range.containerID, range.hostID, range.size})
      args.push_back(fmt::format("{}", number));
  CLOCHE_TRY_ASSIGN(
      ended, sys::run_program({.path = path, .args = args, .env = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}}));
  if (ended.ending.exit_code() == 0) return {};
  std::string& said = ended.text;
  while (said.ends_with('\n')) said.pop_back();
  return sys::fail_because(
      fmt::format("{}: {}", fmt::join(args, " "),
                  said.empty() ? fmt::format("ended with {}", ended.ending.exit_code()) : said));
}

sys::Result<sys::Fd> user_namespace_with(const std::vector<spec::IDMapping>& uids,
                                         const std::vector<spec::IDMapping>& gids) {
  const long maker = sys::raw_call(SYS_getpid);
  CLOCHE_TRY_ASSIGN(cloned, sys::clone_process({.flags = CLONE_NEWUSER}));
  if (std::holds_alternative<sys::Child>(cloned)) {
    // Holds the namespace until its maker has it by descriptor, and dies with its maker at the latest.
    (void)sys::process_control(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0, "PR_SET_PDEATHSIG, SIGKILL");
    // One that ended before the call is not noticed by the kernel.
    while (sys::raw_call(SYS_getppid) == maker) sys::raw_call(SYS_pause);
    _exit(0);
  }
  const sys::Parent holder = std::get<sys::Parent>(std::move(cloned));
  sys::Result<sys::Fd> ns = [&]() -> sys::Result<sys::Fd> {
    CLOCHE_TRY(write_id_map(holder.child, "uid", uids));
    CLOCHE_TRY(write_id_map(holder.child, "gid", gids.empty() ? uids : gids));
    return sys::open_at(AT_FDCWD, fmt::format("/proc/{}/ns/user", holder.child), O_RDONLY);
  }();
  // What cannot be ended must not be waited for: it ends with us.
  CLOCHE_TRY(sys::signal_process(holder.pidfd, SIGKILL));
  CLOCHE_TRY(sys::wait_for(holder.child));
  return ns;
}

}  // namespace cloche::kernel
