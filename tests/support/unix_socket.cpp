#include "support/unix_socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <stdexcept>

#include "sys/sockets.h"

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

sys::Fd sent_descriptor(const sys::Fd& listener) {
  if (fcntl(listener.get(), F_SETFL, O_NONBLOCK) != 0) throw std::runtime_error("cannot change the socket");
  const sys::Fd connection(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!connection.valid()) throw std::runtime_error("nobody has connected to the socket");
  auto packet = sys::receive_packet(connection);
  if (!packet) throw std::runtime_error(packet.error().message());
  if (packet->files.size() != 1) throw std::runtime_error("no descriptor, or several, came over the socket");
  return std::move(packet->files.front());
}

}  // namespace cloche::test
