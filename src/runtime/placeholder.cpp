#include "runtime/placeholder.h"

#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sys/call.h"
#include "sys/files.h"

namespace cloche::runtime {
namespace {

// Nothing of the caller's stays open in it; a terminal's signals are not for it, and one of systemd's ends it at once.
[[noreturn]] void wait_for_ever(long caller) {
  const auto dies_with =
      sys::process_control(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0, "PR_SET_PDEATHSIG, SIGKILL");
  // The caller may have ended before that.
  if (!dies_with || sys::raw_call(SYS_getppid) != caller) _exit(1);
  (void)sys::close_range_from(0, false);
  (void)sys::new_session();
  (void)sys::default_signals();
  (void)sys::unblock_signals();
  for (;;) sys::raw_call(SYS_ppoll, nullptr, 0, nullptr, nullptr, 0);
}

}  // namespace

sys::Result<Placeholder> Placeholder::start() {
  const long caller = sys::raw_call(SYS_getpid);
  CLOCHE_TRY_ASSIGN(cloned, sys::clone_process({}));
  if (std::holds_alternative<sys::Child>(cloned)) wait_for_ever(caller);
  return Placeholder(std::get<sys::Parent>(std::move(cloned)));
}

sys::Result<> Placeholder::end() {
  if (!process_.pidfd.valid()) return {};
  const sys::Fd pidfd = std::move(process_.pidfd);
  (void)sys::signal_process(pidfd, SIGKILL);  // one that has ended by itself is waited for all the same
  CLOCHE_TRY(sys::wait_for(process_.child));
  return {};
}

}  // namespace cloche::runtime
