#include "support/unix_socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
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

sys::Fd sent_descriptor(const sys::Fd& listener) {
  if (fcntl(listener.get(), F_SETFL, O_NONBLOCK) != 0) throw std::runtime_error("cannot change the socket");
  const sys::Fd connection(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!connection.valid()) throw std::runtime_error("nobody has connected to the socket");
  char text[64] = {};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  iovec part{.iov_base = text, .iov_len = sizeof text};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t got = recvmsg(connection.get(), &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  const cmsghdr* header = got > 0 ? CMSG_FIRSTHDR(&message) : nullptr;
  if (header == nullptr || header->cmsg_type != SCM_RIGHTS)
    throw std::runtime_error("no descriptor came over the socket");
  int raw = -1;
  std::memcpy(&raw, CMSG_DATA(header), sizeof raw);
  return sys::Fd(raw);
}

}  // namespace cloche::test
