#include "kernel/route_socket.h"

#include <fmt/format.h>
#include <linux/if.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <optional>

#include "sys/call.h"
#include "sys/flags.h"
#include "sys/process.h"
#include "sys/sockets.h"

namespace cloche::kernel {
namespace {

using sys::fail;
using sys::Fd;
using sys::Result;

constexpr size_t kLargestAnswer = 65536;  // more than a netlink dump's messages: netlink(7)

template <class T>
std::string bytes_of(const T& header) {
  std::string bytes(NLMSG_ALIGN(sizeof header), '\0');
  std::memcpy(bytes.data(), &header, sizeof header);
  return bytes;
}

std::string attribute(uint16_t type, std::string_view value) {
  const rtattr header{.rta_len = static_cast<uint16_t>(RTA_LENGTH(value.size())), .rta_type = type};
  std::string bytes(RTA_SPACE(value.size()), '\0');
  std::memcpy(bytes.data(), &header, sizeof header);
  std::memcpy(bytes.data() + RTA_LENGTH(0), value.data(), value.size());
  return bytes;
}
std::string attribute(uint16_t type, uint32_t value) {
  return attribute(type, std::string_view(reinterpret_cast<const char*>(&value), sizeof value));
}
// With the zero at its end.
std::string text_attribute(uint16_t type, const std::string& text) {
  return attribute(type, std::string_view(text.c_str(), text.size() + 1));
}

struct Attribute {
  uint16_t type = 0;
  std::string_view value, whole;
};
// The attributes behind a header of `skip` bytes.
std::vector<Attribute> attributes_of(std::string_view payload, size_t skip) {
  std::vector<Attribute> all;
  payload.remove_prefix(std::min(payload.size(), NLMSG_ALIGN(skip)));
  rtattr header{};
  while (payload.size() >= sizeof header) {
    std::memcpy(&header, payload.data(), sizeof header);
    if (header.rta_len < sizeof header || header.rta_len > payload.size()) break;
    const size_t space = std::min<size_t>(RTA_ALIGN(header.rta_len), payload.size());
    all.push_back({.type = header.rta_type,
                   .value = payload.substr(sizeof header, header.rta_len - sizeof header),
                   .whole = payload.substr(0, space)});
    payload.remove_prefix(space);
  }
  return all;
}

Result<Fd> new_socket() {
  const long raw = sys::raw_call(SYS_socket, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (raw < 0) return fail(static_cast<int>(-raw), "socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE)");
  return Fd(static_cast<int>(raw));
}

// Those that RTM_NEWADDR takes; the others are what the kernel found out.
constexpr uint32_t kGivenFlags =
    IFA_F_NODAD | IFA_F_NOPREFIXROUTE | IFA_F_MANAGETEMPADDR | IFA_F_HOMEADDRESS | IFA_F_MCAUTOJOIN;

std::optional<LastingAddress> lasting_address(std::string_view payload, int index) {
  ifaddrmsg header{};
  if (payload.size() < sizeof header) return {};
  std::memcpy(&header, payload.data(), sizeof header);
  if (static_cast<int>(header.ifa_index) != index || header.ifa_scope != RT_SCOPE_UNIVERSE) return {};
  uint32_t flags = header.ifa_flags;
  LastingAddress address{.family = header.ifa_family, .prefix = header.ifa_prefixlen};
  for (const Attribute& one : attributes_of(payload, sizeof header)) {
    if (one.type == IFA_FLAGS && one.value.size() == sizeof flags)
      std::memcpy(&flags, one.value.data(), sizeof flags);
    // Not the label, which begins with a device's name, nor the lifetime, which is without end.
    for (const uint16_t kept : {IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST, IFA_RT_PRIORITY, IFA_PROTO})
      if (one.type == kept) address.attributes += one.whole;
  }
  if ((flags & IFA_F_PERMANENT) == 0) return {};
  address.flags = flags & kGivenFlags;
  return address;
}

}  // namespace

Result<RouteSocket> RouteSocket::open() {
  CLOCHE_TRY_ASSIGN(socket, new_socket());
  return RouteSocket(std::move(socket));
}

Result<RouteSocket> RouteSocket::open_in(const Fd& ns) {
  CLOCHE_TRY_ASSIGN(ends, sys::packet_pair());
  const auto outcome = sys::clone_process({});
  if (!outcome) return std::unexpected(outcome.error());
  if (std::holds_alternative<sys::Child>(*outcome)) {
    // The packet: an errno, or nothing but the socket.
    const auto joined = sys::join_namespace(ns, CLONE_NEWNET, "network");
    auto made = joined ? new_socket() : Result<Fd>(std::unexpected(joined.error()));
    const int code = made ? 0 : made.error().code;
    const int raw = made ? made->get() : -1;
    const std::string bytes(reinterpret_cast<const char*>(&code), sizeof code);
    (void)sys::send_packet(ends.second, bytes, std::span(&raw, made ? 1 : 0));
    _exit(0);
  }
  ends.second.reset();
  auto received = sys::receive_packet(ends.first);
  CLOCHE_TRY(sys::wait_for(std::get<sys::Parent>(*outcome).child));
  CLOCHE_TRY_ASSIGN(packet, std::move(received));
  if (packet.files.size() == 1) return RouteSocket(std::move(packet.files.front()));
  int code = EIO;
  if (packet.bytes.size() == sizeof code) std::memcpy(&code, packet.bytes.data(), sizeof code);
  return fail(code, "setns(the container's network namespace), socket(NETLINK_ROUTE)");
}

Result<std::vector<std::string>> RouteSocket::ask(uint16_t type, uint16_t flags, std::string_view body,
                                                  const std::string& shown) {
  nlmsghdr header{.nlmsg_len = static_cast<uint32_t>(NLMSG_LENGTH(body.size())),
                  .nlmsg_type = type,
                  .nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags),
                  .nlmsg_seq = ++sequence_,
                  .nlmsg_pid = 0};
  std::string request = bytes_of(header);
  request += body;
  const long sent = sys::raw_call(SYS_sendto, socket_.get(), request.data(), request.size(), 0, nullptr, 0);
  if (sent < 0) return fail(static_cast<int>(-sent), shown);
  std::vector<std::string> payloads;
  std::string answer(kLargestAnswer, '\0');
  for (;;) {
    const long got =
        sys::raw_call(SYS_recvfrom, socket_.get(), answer.data(), answer.size(), 0, nullptr, nullptr);
    if (got == -EINTR) continue;
    if (got < 0) return fail(static_cast<int>(-got), shown);
    std::string_view rest(answer.data(), static_cast<size_t>(got));
    while (rest.size() >= sizeof header) {
      std::memcpy(&header, rest.data(), sizeof header);
      if (header.nlmsg_len < NLMSG_HDRLEN || header.nlmsg_len > rest.size()) return fail(EBADMSG, shown);
      const std::string_view payload = rest.substr(NLMSG_HDRLEN, header.nlmsg_len - NLMSG_HDRLEN);
      rest.remove_prefix(std::min<size_t>(NLMSG_ALIGN(header.nlmsg_len), rest.size()));
      if (header.nlmsg_seq != sequence_) continue;
      if (header.nlmsg_type != NLMSG_ERROR && header.nlmsg_type != NLMSG_DONE) {
        payloads.emplace_back(payload);
        continue;
      }
      int code = 0;
      if (payload.size() >= sizeof code) std::memcpy(&code, payload.data(), sizeof code);
      if (code < 0) return fail(-code, shown);
      return payloads;
    }
  }
}

Result<Link> RouteSocket::find(const std::string& name) {
  const std::string body = bytes_of(ifinfomsg{}) + text_attribute(IFLA_IFNAME, name);
  CLOCHE_TRY_ASSIGN(answers, ask(RTM_GETLINK, 0, body, fmt::format("RTM_GETLINK({})", sys::in_quotes(name))));
  ifinfomsg link{};
  if (answers.empty() || answers.front().size() < sizeof link)
    return fail(ENODEV, fmt::format("RTM_GETLINK({})", sys::in_quotes(name)));
  std::memcpy(&link, answers.front().data(), sizeof link);
  return Link{.index = link.ifi_index, .up = (link.ifi_flags & IFF_UP) != 0};
}

Result<std::vector<LastingAddress>> RouteSocket::lasting_addresses(int index) {
  CLOCHE_TRY_ASSIGN(answers, ask(RTM_GETADDR, NLM_F_DUMP, bytes_of(ifaddrmsg{}), "RTM_GETADDR"));
  std::vector<LastingAddress> all;
  for (const std::string& answer : answers)
    if (auto address = lasting_address(answer, index)) all.push_back(*std::move(address));
  return all;
}

Result<> RouteSocket::add_address(int index, const LastingAddress& address) {
  ifaddrmsg header{};
  header.ifa_family = address.family;
  header.ifa_prefixlen = address.prefix;
  header.ifa_scope = RT_SCOPE_UNIVERSE;
  header.ifa_index = static_cast<uint32_t>(index);
  const std::string body = bytes_of(header) + address.attributes + attribute(IFA_FLAGS, address.flags);
  CLOCHE_TRY(ask(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, body, "RTM_NEWADDR"));
  return {};
}

Result<> RouteSocket::change_link(int index, uint32_t flags, const std::string& attributes,
                                  const std::string& shown) {
  ifinfomsg link{};
  link.ifi_index = index;
  link.ifi_flags = link.ifi_change = flags;
  CLOCHE_TRY(ask(RTM_NEWLINK, 0, bytes_of(link) + attributes, shown));
  return {};
}

Result<> RouteSocket::move(int index, const Fd& ns, const std::string& name) {
  return change_link(
      index, 0,
      attribute(IFLA_NET_NS_FD, static_cast<uint32_t>(ns.get())) + text_attribute(IFLA_IFNAME, name),
      fmt::format("RTM_NEWLINK(IFLA_NET_NS_FD, IFLA_IFNAME {})", sys::in_quotes(name)));
}

Result<> RouteSocket::rename(int index, const std::string& name) {
  return change_link(index, 0, text_attribute(IFLA_IFNAME, name),
                     fmt::format("RTM_NEWLINK(IFLA_IFNAME {})", sys::in_quotes(name)));
}

Result<> RouteSocket::set_up(int index) { return change_link(index, IFF_UP, {}, "RTM_NEWLINK(IFF_UP)"); }

}  // namespace cloche::kernel
