// The container side's terminal: a pair of the container's own devpts, reached by descriptor only.
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include "runtime/container_side.h"
#include "sys/call.h"
#include "sys/files.h"
#include "sys/mounts.h"

namespace cloche::runtime {
namespace {

sys::Result<long> control(const sys::Fd& file, unsigned long request, const void* argument,
                          const char* shown) {
  const long raw = sys::raw_call(SYS_ioctl, file.get(), request, argument);
  if (raw < 0) return sys::fail(static_cast<int>(-raw), fmt::format("ioctl({}, {})", file.get(), shown));
  return raw;
}

}  // namespace

// The master comes from the devpts mount that a step of this plan made, or, in a joined mount namespace, from the
// /dev/pts there after its file system was checked; the slave comes from the master (TIOCGPTPEER, Linux 4.13), so
// no name that the image could have planted is opened.
sys::Result<> ContainerSide::act(const plan::OpenTerminal& step) {
  if (!devpts_.valid()) {
    constexpr int64_t kDevptsMagic = 0x1cd1;
    CLOCHE_TRY_ASSIGN(slash, sys::open_at(AT_FDCWD, "/", O_PATH | O_DIRECTORY));
    CLOCHE_TRY_ASSIGN(pts, sys::open_in_root(slash, "/dev/pts", O_PATH | O_DIRECTORY));
    CLOCHE_TRY_ASSIGN(magic, sys::file_system_magic(pts));
    if (magic != kDevptsMagic) return sys::fail_because("a terminal needs a devpts mounted on /dev/pts");
    devpts_ = std::move(pts);
  }
  CLOCHE_TRY_ASSIGN(master, sys::open_at(devpts_.get(), "ptmx", O_RDWR | O_NOCTTY | O_NOFOLLOW));
  const int unlock = 0;
  CLOCHE_TRY_ASSIGN(unlocked, control(master, TIOCSPTLCK, &unlock, "TIOCSPTLCK"));
  (void)unlocked;
  if (step.rows != 0 || step.columns != 0) {
    const winsize size{.ws_row = static_cast<uint16_t>(step.rows),
                       .ws_col = static_cast<uint16_t>(step.columns),
                       .ws_xpixel = 0,
                       .ws_ypixel = 0};
    CLOCHE_TRY_ASSIGN(sized, control(master, TIOCSWINSZ, &size, "TIOCSWINSZ"));
    (void)sized;
  }
  const long peer = sys::raw_call(SYS_ioctl, master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (peer < 0) return sys::fail(static_cast<int>(-peer), "ioctl(TIOCGPTPEER)");
  sys::Fd slave(static_cast<int>(peer));
  if (const auto dev = anchors_.find("/dev"); dev != anchors_.end()) {
    const int directory = dev->second.get();
    auto made = sys::open_at(directory, "console", O_CREAT | O_EXCL | O_NOFOLLOW, 0620);
    if (!made && made.error().code != EEXIST) return std::unexpected(std::move(made).error());
    CLOCHE_TRY_ASSIGN(console, sys::open_at(directory, "console", O_PATH | O_NOFOLLOW));
    CLOCHE_TRY_ASSIGN(tree, sys::clone_tree(slave, false));
    CLOCHE_TRY(sys::attach_mount(tree, console));
  }
  CLOCHE_TRY(host_.send_terminal(master));
  CLOCHE_TRY_ASSIGN(controlling, control(slave, TIOCSCTTY, nullptr, "TIOCSCTTY"));
  (void)controlling;
  for (int fd = 0; fd <= 2; ++fd) CLOCHE_TRY(sys::duplicate_to(slave, fd));
  return {};
}

}  // namespace cloche::runtime
