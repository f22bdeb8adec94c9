#include "support/seccomp_agent.h"

#include <linux/seccomp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "support/unix_socket.h"

namespace cloche::test {

SeccompAgent::SeccompAgent(std::string path, std::map<int, int> errors)
    : path_(std::move(path)), errors_(std::move(errors)) {
  socket_ = bound_socket(path_, SOCK_STREAM);
  stop_ = sys::Fd(::eventfd(0, EFD_CLOEXEC));
  if (::listen(socket_.get(), 8) != 0) throw std::runtime_error("cannot listen at " + path_);
  thread_ = std::thread([this] { serve(); });
}

SeccompAgent::~SeccompAgent() {
  ::eventfd_write(stop_.get(), 1);
  thread_.join();
  ::unlink(path_.c_str());
}

std::vector<std::string> SeccompAgent::states() {
  const std::lock_guard lock(guard_);
  return states_;
}

std::vector<int> SeccompAgent::asked() {
  const std::lock_guard lock(guard_);
  return asked_;
}

void SeccompAgent::serve() {
  for (;;) {
    std::vector<pollfd> wanted{{.fd = stop_.get(), .events = POLLIN, .revents = 0},
                               {.fd = socket_.get(), .events = POLLIN, .revents = 0}};
    const size_t listeners = held_.size();
    for (const sys::Fd& listener : held_)
      wanted.push_back({.fd = listener.get(), .events = POLLIN, .revents = 0});
    for (const Connection& connection : connections_)
      wanted.push_back({.fd = connection.socket.get(), .events = POLLIN, .revents = 0});
    if (::poll(wanted.data(), wanted.size(), -1) < 0) continue;
    if (wanted[0].revents != 0) return;
    for (size_t i = connections_.size(); i-- > 0;)
      if (wanted[2 + listeners + i].revents != 0 &&
          !take(wanted[2 + listeners + i].fd, connections_[i].state)) {
        const std::lock_guard lock(guard_);
        states_.push_back(std::move(connections_[i].state));
        connections_.erase(connections_.begin() + static_cast<std::ptrdiff_t>(i));
      }
    for (size_t i = listeners; i-- > 0;) {
      const short events = wanted[2 + i].revents;
      if ((events & POLLIN) != 0)
        answer(wanted[2 + i].fd);
      else if ((events & POLLHUP) != 0)  // nobody is left under that filter
        held_.erase(held_.begin() + static_cast<std::ptrdiff_t>(i));
    }
    if (wanted[1].revents != 0)
      connections_.push_back({sys::Fd(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC)), {}});
  }
}

bool SeccompAgent::take(int connection, std::string& state) {
  char bytes[4096];
  iovec part{.iov_base = bytes, .iov_len = sizeof bytes};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * 8)] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t got = ::recvmsg(connection, &message, MSG_CMSG_CLOEXEC);
  if (got <= 0) return got < 0 && errno == EINTR;
  state.append(bytes, static_cast<size_t>(got));
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header))
    for (size_t i = 0; i < (header->cmsg_len - CMSG_LEN(0)) / sizeof(int); ++i) {
      int raw = -1;
      std::memcpy(&raw, CMSG_DATA(header) + i * sizeof raw, sizeof raw);
      held_.emplace_back(raw);
      ++listeners_;
    }
  return true;
}

void SeccompAgent::answer(int listener) {
  seccomp_notif call{};
  if (::ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call) != 0) return;  // its maker is gone
  {
    const std::lock_guard lock(guard_);
    asked_.push_back(call.data.nr);
  }
  seccomp_notif_resp response{};
  response.id = call.id;
  if (const auto error = errors_.find(call.data.nr); error != errors_.end())
    response.error = -error->second;
  else
    response.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
  ::ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
}

}  // namespace cloche::test
