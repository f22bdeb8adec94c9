// Local sockets: unix(7), SOCK_SEQPACKET, descriptors by SCM_RIGHTS.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sys/error.h"
#include "sys/fd.h"

namespace cloche::sys {

Result<std::pair<Fd, Fd>> packet_pair();

struct Packet {
  std::string bytes;      // empty: the other end is closed
  std::vector<Fd> files;  // at most 4
};
// One packet, with at most 4 descriptors. EPIPE when the other end is closed; never SIGPIPE.
Result<> send_packet(const Fd& socket, std::string_view bytes, std::span<const int> files = {});
// All of the bytes over a stream, however many; the descriptors go with the first of them.
Result<> send_stream(const Fd& socket, std::string_view bytes, std::span<const int> files = {});
// Packets longer than 8 KiB are EMSGSIZE.
Result<Packet> receive_packet(const Fd& socket);

// A listening SOCK_SEQPACKET socket at `name` in the directory `directory`; the path may be of any length.
Result<Fd> listen_at(const Fd& directory, const std::string& name);
Result<Fd> connect_at(const Fd& directory, const std::string& name);
// A stream socket at a path a caller gave us (--console-socket).
Result<Fd> connect_stream(const std::string& path);
Result<Fd> accept_one(const Fd& listener);

}  // namespace cloche::sys
