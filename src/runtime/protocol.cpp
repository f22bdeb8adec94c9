#include "runtime/protocol.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstring>

#include "sys/call.h"
#include "sys/sockets.h"

namespace cloche::runtime {
namespace {

// Every packet: version, message, then what belongs to the message.
std::string packet_of(Message message, const void* extra = nullptr, size_t size = 0) {
  std::string bytes(2 + size, '\0');
  bytes[0] = static_cast<char>(kProtocolVersion);
  bytes[1] = static_cast<char>(message);
  if (size > 0) std::memcpy(bytes.data() + 2, extra, size);
  return bytes;
}

}  // namespace

sys::Result<> HostEnd::proceed() { return sys::send_packet(socket_, packet_of(Message::proceed)); }
sys::Result<> HostEnd::start(const sys::Fd& agent) {
  const int raw = agent.get();
  return sys::send_packet(socket_, packet_of(Message::start), std::span(&raw, agent.valid() ? 1 : 0));
}

sys::Result<FromContainer> HostEnd::receive() {
  auto received = sys::receive_packet(socket_);
  FromContainer from;
  // The other end closed with something of ours unread: a listener that dies with connections waiting, a process that
  // could not read. The kernel says so before it hands out what was sent before (unix(7) does not have this).
  if (!received && received.error().code == ECONNRESET) {
    from.reset = true;
    received = sys::receive_packet(socket_);
    if (!received && received.error().code == ECONNRESET) received = sys::Packet{};
  }
  CLOCHE_TRY_ASSIGN(packet, std::move(received));
  if (packet.bytes.empty()) {
    from.end = true;
    return from;
  }
  if (packet.bytes.size() < 2 || packet.bytes[0] != static_cast<char>(kProtocolVersion))
    return sys::fail_because(
        "the container side speaks another protocol version: was Cloche upgraded meanwhile?");
  from.message = static_cast<Message>(packet.bytes[1]);
  if (!packet.files.empty()) from.file = std::move(packet.files.front());
  const std::string_view extra = std::string_view(packet.bytes).substr(2);
  if (from.message == Message::failed && extra.size() == sizeof(FailureRecord)) {
    FailureRecord record{};
    std::memcpy(&record, extra.data(), sizeof record);
    from.failure = record;
  }
  return from;
}

sys::Result<> ContainerEnd::say(Message message) { return sys::send_packet(socket_, packet_of(message)); }

sys::Result<sys::Fd> ContainerEnd::await(Message message) {
  CLOCHE_TRY_ASSIGN(packet, sys::receive_packet(socket_));
  if (packet.bytes.empty()) return sys::fail_because("the other side is gone");
  if (packet.bytes.size() != 2 || packet.bytes[0] != static_cast<char>(kProtocolVersion) ||
      packet.bytes[1] != static_cast<char>(message))
    return sys::fail_because("the other side sent what the protocol does not allow here");
  return packet.files.empty() ? sys::Fd() : std::move(packet.files.front());
}

sys::Result<> ContainerEnd::check_caller() const {
  pollfd other{.fd = socket_.get(), .events = 0, .revents = 0};
  const int ready = ::poll(&other, 1, 0);
  if (ready < 0) return sys::fail(errno, "poll(the socket to the caller)");
  if ((other.revents & POLLHUP) != 0) return sys::fail_because("the caller is gone");
  return {};
}

sys::Result<> ContainerEnd::await_proceed() {
  CLOCHE_TRY(await(Message::proceed));
  return {};
}
sys::Result<> ContainerEnd::arrived() { return say(Message::arrived); }
sys::Result<> ContainerEnd::waiting() { return say(Message::waiting); }

sys::Result<> ContainerEnd::send_terminal(const sys::Fd& master) {
  const int raw = master.get();
  return sys::send_packet(socket_, packet_of(Message::terminal), std::span(&raw, 1));
}

sys::Result<> ContainerEnd::keep_over_exec() {
  const long raw = sys::raw_call(SYS_fcntl, socket_.get(), F_SETFD, 0);
  if (raw < 0) return sys::fail(static_cast<int>(-raw), "fcntl(F_SETFD, 0)");
  return {};
}

void ContainerEnd::failed(const FailureRecord& record) {
  (void)sys::send_packet(socket_, packet_of(Message::failed, &record, sizeof record));
}

sys::Result<sys::Fd> ContainerEnd::await_start(const sys::Fd& listener) {
  for (;;) {
    CLOCHE_TRY_ASSIGN(connection, sys::accept_one(listener));
    socket_ = std::move(connection);
    // Who connects and leaves without a word (a `start` that was killed) changes nothing. Where the kernel fails us, a
    // `start` waits for the answer at the other end.
    auto heard = await(Message::start);
    if (heard || heard.error().code != 0) return heard;
    socket_.reset();
  }
}

}  // namespace cloche::runtime
