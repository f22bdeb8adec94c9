#include "runtime/handover.h"

#include <fcntl.h>
#include <fmt/format.h>

#include "sys/files.h"
#include "sys/sockets.h"

namespace cloche::runtime {

sys::Result<> hand_over(const sys::Fd& socket, const sys::Fd& file, std::string_view name) {
  const int raw = file.get();
  return sys::send_packet(socket, name, std::span(&raw, 1));
}

sys::Result<> write_pid_file(const std::string& path, pid_t pid) {
  const std::string unfinished = path + ".new";
  CLOCHE_TRY_ASSIGN(file,
                    sys::open_at(AT_FDCWD, unfinished, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0644));
  auto written = sys::write_once(file, fmt::format("{}", pid), unfinished);
  if (written) written = sys::rename_at(AT_FDCWD, unfinished, path);
  if (!written) (void)sys::remove_at(AT_FDCWD, unfinished);
  return written;
}

}  // namespace cloche::runtime
