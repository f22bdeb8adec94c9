// The container side's terminal: a pair of the container's own devpts, reached by descriptor only.
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include "runtime/container_side.h"
#include "runtime/terminal.h"
#include "sys/call.h"
#include "sys/files.h"
#include "sys/mounts.h"

namespace cloche::runtime {

// The pair is of the devpts mount that a step of this plan made, or, in a joined mount namespace, of the /dev/pts there
// after its file system was checked.
sys::Result<> ContainerSide::act(const plan::OpenTerminal& step) {
  if (!devpts_.valid()) {
    constexpr int64_t kDevptsMagic = 0x1cd1;
    CLOCHE_TRY_ASSIGN(slash, sys::open_at(AT_FDCWD, "/", O_PATH | O_DIRECTORY));
    CLOCHE_TRY_ASSIGN(pts, sys::open_in_root(slash, "/dev/pts", O_PATH | O_DIRECTORY));
    CLOCHE_TRY_ASSIGN(magic, sys::file_system_magic(pts));
    if (magic != kDevptsMagic) return sys::fail_because("a terminal needs a devpts mounted on /dev/pts");
    devpts_ = std::move(pts);
  }
  CLOCHE_TRY_ASSIGN(terminal, open_terminal(devpts_, step.rows, step.columns));
  if (const auto dev = anchors_.find("/dev"); dev != anchors_.end()) {
    const int directory = dev->second.get();
    auto made = sys::open_at(directory, "console", O_CREAT | O_EXCL | O_NOFOLLOW, 0620);
    if (!made && made.error().code != EEXIST) return std::unexpected(std::move(made).error());
    CLOCHE_TRY_ASSIGN(console, sys::open_at(directory, "console", O_PATH | O_NOFOLLOW));
    CLOCHE_TRY_ASSIGN(tree, sys::clone_tree(terminal.slave, false));
    CLOCHE_TRY(sys::attach_mount(tree, console));
  }
  CLOCHE_TRY(host_.send_terminal(terminal.master));
  const long controlling = sys::raw_call(SYS_ioctl, terminal.slave.get(), TIOCSCTTY, nullptr);
  if (controlling < 0)
    return sys::fail(static_cast<int>(-controlling),
                     fmt::format("ioctl({}, TIOCSCTTY)", terminal.slave.get()));
  for (int fd = 0; fd <= 2; ++fd) CLOCHE_TRY(sys::duplicate_to(terminal.slave, fd));
  return {};
}

}  // namespace cloche::runtime
