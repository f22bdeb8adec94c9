#include "sys/sockets.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include <cstring>

#include "sys/call.h"
#include "sys/flags.h"
#include "sys/outcome.h"

namespace cloche::sys {
namespace {

constexpr size_t kMostFiles = 4;
constexpr size_t kLongestPacket = 8192;

// The number of bytes, or -errno.
long send_message(const Fd& socket, std::string_view bytes, std::span<const int> files) {
  iovec part{.iov_base = const_cast<char*>(bytes.data()), .iov_len = bytes.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMostFiles)] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!files.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(files.size_bytes());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(files.size_bytes());
    std::memcpy(CMSG_DATA(header), files.data(), files.size_bytes());
  }
  long sent = 0;
  do {
    sent = raw_call(SYS_sendmsg, socket.get(), &message, MSG_NOSIGNAL);
  } while (sent == -EINTR);
  return sent;
}

Result<Fd> new_socket(int type) {
  const long raw = raw_call(SYS_socket, AF_UNIX, type | SOCK_CLOEXEC, 0);
  if (raw < 0) return fail(static_cast<int>(-raw), "socket(AF_UNIX)");
  return Fd(static_cast<int>(raw));
}

// sun_path holds 107 characters: ENAMETOOLONG of `call`.
Result<sockaddr_un> address_of(const std::string& path, const char* call) {
  sockaddr_un address{};
  if (path.size() >= sizeof address.sun_path)
    return fail(ENAMETOOLONG, fmt::format("{}({})", call, in_quotes(path)));
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

// Short, whatever the directory's name is.
std::string path_in(const Fd& directory, const std::string& name) {
  return fmt::format("/proc/self/fd/{}/{}", directory.get(), name);
}

Result<Fd> connected(int type, const std::string& path, const std::string& name) {
  CLOCHE_TRY_ASSIGN(socket, new_socket(type));
  CLOCHE_TRY_ASSIGN(address, address_of(path, "connect"));
  CLOCHE_TRY(outcome(raw_call(SYS_connect, socket.get(), &address, sizeof address),
                     [&] { return fmt::format("connect({})", in_quotes(name)); }));
  return socket;
}

}  // namespace

Result<std::pair<Fd, Fd>> packet_pair() {
  int ends[2];
  CLOCHE_TRY(outcome(raw_call(SYS_socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends),
                     [] { return std::string("socketpair(AF_UNIX, SOCK_SEQPACKET)"); }));
  return std::pair(Fd(ends[0]), Fd(ends[1]));
}

Result<> send_packet(const Fd& socket, std::string_view bytes, std::span<const int> files) {
  return outcome(send_message(socket, bytes, files),
                 [&] { return fmt::format("sendmsg({}, {} bytes)", socket.get(), bytes.size()); });
}

Result<> send_stream(const Fd& socket, std::string_view bytes, std::span<const int> files) {
  while (!bytes.empty()) {
    const long sent = send_message(socket, bytes, files);
    CLOCHE_TRY(
        outcome(sent, [&] { return fmt::format("sendmsg({}, {} bytes)", socket.get(), bytes.size()); }));
    bytes.remove_prefix(static_cast<size_t>(sent));
    files = {};
  }
  return {};
}

Result<Packet> receive_packet(const Fd& socket) {
  Packet packet;
  packet.bytes.resize(kLongestPacket);
  iovec part{.iov_base = packet.bytes.data(), .iov_len = packet.bytes.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMostFiles)] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  long got = 0;
  do {
    got = raw_call(SYS_recvmsg, socket.get(), &message, MSG_CMSG_CLOEXEC);
  } while (got == -EINTR);
  CLOCHE_TRY(outcome(got, [&] { return fmt::format("recvmsg({})", socket.get()); }));
  packet.bytes.resize(static_cast<size_t>(got));
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int raw = -1;
      std::memcpy(&raw, CMSG_DATA(header) + i * sizeof(int), sizeof raw);
      packet.files.emplace_back(raw);
    }
  }
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0)
    return fail(EMSGSIZE, fmt::format("recvmsg({})", socket.get()));
  return packet;
}

Result<Fd> listen_at(const Fd& directory, const std::string& name) {
  CLOCHE_TRY_ASSIGN(socket, new_socket(SOCK_SEQPACKET));
  CLOCHE_TRY_ASSIGN(address, address_of(path_in(directory, name), "bind"));
  CLOCHE_TRY(outcome(raw_call(SYS_bind, socket.get(), &address, sizeof address),
                     [&] { return fmt::format("bind({})", in_quotes(name)); }));
  CLOCHE_TRY(outcome(raw_call(SYS_listen, socket.get(), 8),
                     [&] { return fmt::format("listen({})", in_quotes(name)); }));
  return socket;
}

Result<Fd> connect_at(const Fd& directory, const std::string& name) {
  return connected(SOCK_SEQPACKET, path_in(directory, name), name);
}

Result<Fd> connect_stream(const std::string& path) { return connected(SOCK_STREAM, path, path); }

Result<Fd> accept_one(const Fd& listener) {
  long raw = 0;
  do {
    raw = raw_call(SYS_accept4, listener.get(), nullptr, nullptr, SOCK_CLOEXEC);
  } while (raw == -EINTR);
  if (raw < 0) return fail(static_cast<int>(-raw), fmt::format("accept4({})", listener.get()));
  return Fd(static_cast<int>(raw));
}

}  // namespace cloche::sys
