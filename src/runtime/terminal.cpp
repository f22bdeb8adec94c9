#include "runtime/terminal.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "sys/call.h"
#include "sys/files.h"

namespace cloche::runtime {

sys::Result<Terminal> open_terminal(const sys::Fd& devpts, uint32_t rows, uint32_t columns) {
  CLOCHE_TRY_ASSIGN(master, sys::open_at(devpts.get(), "ptmx", O_RDWR | O_NOCTTY | O_NOFOLLOW));
  const auto control = [&](unsigned long request, const void* argument, const char* shown) -> sys::Result<> {
    const long raw = sys::raw_call(SYS_ioctl, master.get(), request, argument);
    if (raw < 0) return sys::fail(static_cast<int>(-raw), fmt::format("ioctl({}, {})", master.get(), shown));
    return {};
  };
  const int unlock = 0;
  CLOCHE_TRY(control(TIOCSPTLCK, &unlock, "TIOCSPTLCK"));
  if (rows != 0 || columns != 0) {
    const winsize size{.ws_row = static_cast<uint16_t>(rows),
                       .ws_col = static_cast<uint16_t>(columns),
                       .ws_xpixel = 0,
                       .ws_ypixel = 0};
    CLOCHE_TRY(control(TIOCSWINSZ, &size, "TIOCSWINSZ"));
  }
  const long peer = sys::raw_call(SYS_ioctl, master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (peer < 0) return sys::fail(static_cast<int>(-peer), "ioctl(TIOCGPTPEER)");
  return Terminal{std::move(master), sys::Fd(static_cast<int>(peer))};
}

}  // namespace cloche::runtime
