// What the host side and the container side say to each other while a plan is executed: one byte of message, at
// most one descriptor, over a SOCK_SEQPACKET pair. Each role has a sender of its own, so that only what is legal
// for a role compiles. Steps need no message of their own: each side walks the same plan, and only where the plan
// changes sides does one wait for the other.
#pragma once

#include <cstdint>
#include <optional>

#include "runtime/shared_record.h"
#include "sys/error.h"
#include "sys/fd.h"

namespace cloche::runtime {

inline constexpr uint8_t kProtocolVersion = 1;

enum class Message : uint8_t {
  proceed = 1,  // host -> container: the host's steps up to yours are done
  arrived = 2,  // container -> host: my steps up to yours are done
  terminal = 3,  // container -> host: the master of the terminal, as a descriptor
  waiting = 4,  // container -> host: everything is done but `start`
  start = 5,  // `start` -> container, over the start socket
  failed = 6,  // container -> whoever listens: a FailureRecord follows the byte
};

// Received by the host side. The socket's end without a message is `end`: the exec closed it, or the process died.
struct FromContainer {
  bool end = false;
  bool reset = false;  // the other end closed without having read all that was sent to it
  Message message{};
  sys::Fd file;
  std::optional<FailureRecord> failure;
};

class HostEnd {
 public:
  explicit HostEnd(sys::Fd socket) : socket_(std::move(socket)) {}
  [[nodiscard]] const sys::Fd& socket() const { return socket_; }
  sys::Result<> proceed();
  // With the connection to the agent of the filter's listener, where the plan has one.
  sys::Result<> start(const sys::Fd& agent);
  sys::Result<FromContainer> receive();

 private:
  sys::Fd socket_;
};

class ContainerEnd {
 public:
  explicit ContainerEnd(sys::Fd socket) : socket_(std::move(socket)) {}
  // An error where the host side has ended: nobody is there to undo what would be done from here on.
  sys::Result<> check_caller() const;
  sys::Result<> await_proceed();
  sys::Result<> arrived();
  sys::Result<> send_terminal(const sys::Fd& master);
  sys::Result<> waiting();
  [[nodiscard]] const sys::Fd& socket() const { return socket_; }
  // For an init that reports in our place: the socket survives the next exec.
  sys::Result<> keep_over_exec();
  // Nobody may be there to hear it: what the shared record holds is enough then.
  void failed(const FailureRecord& record);
  // After `waiting`: blocks until `start` connects; from then on this end speaks to it. What `start` brought: the
  // connection to an agent, or nothing.
  sys::Result<sys::Fd> await_start(const sys::Fd& listener);

 private:
  sys::Result<> say(Message message);
  sys::Result<sys::Fd> await(Message message);
  sys::Fd socket_;
};

}  // namespace cloche::runtime
