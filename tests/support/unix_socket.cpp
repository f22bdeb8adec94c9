#include "support/unix_socket.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <stdexcept>

namespace cloche::test {

sys::Fd bound_socket(const std::string& path, int type) {
  sys::Fd made(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  if (!made.valid()) throw std::runtime_error("cannot make a socket");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) throw std::runtime_error(path + " is too long for a socket");
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  if (::bind(made.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    throw std::runtime_error("cannot bind a socket to " + path);
  return made;
}

}  // namespace cloche::test
