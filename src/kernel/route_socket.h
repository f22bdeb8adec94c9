// Internal to net_device: the few rtnetlink(7) requests that it makes, typed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sys/error.h"
#include "sys/fd.h"

namespace cloche::kernel {

struct Link {
  int index = 0;
  bool up = false;
};

// An address as the kernel has it, to be given again: the header's fields and the attributes, unchanged.
struct LastingAddress {
  uint8_t family = 0, prefix = 0;
  uint32_t flags = 0;  // IFA_F_* that an address can be made with
  std::string attributes;  // IFA_LOCAL, IFA_ADDRESS, IFA_BROADCAST, ..., each padded
};

// A NETLINK_ROUTE socket; it speaks to the network namespace in which it was made, wherever its holder is.
class RouteSocket {
 public:
  static sys::Result<RouteSocket> open();
  // Made by a short-lived process that joins `ns`: the caller stays where it is.
  static sys::Result<RouteSocket> open_in(const sys::Fd& ns);

  // ENODEV: there is none of that name.
  sys::Result<Link> find(const std::string& name);
  // Permanent and of global scope, of any family, in the kernel's order.
  sys::Result<std::vector<LastingAddress>> lasting_addresses(int index);
  sys::Result<> add_address(int index, const LastingAddress& address);
  sys::Result<> move(int index, const sys::Fd& ns, const std::string& name);
  sys::Result<> rename(int index, const std::string& name);
  sys::Result<> set_up(int index);

 private:
  explicit RouteSocket(sys::Fd socket) : socket_(std::move(socket)) {}
  // One request; the payloads of the answers that are no acknowledgement. `shown`: the request, for errors.
  sys::Result<std::vector<std::string>> ask(uint16_t type, uint16_t flags, std::string_view body,
                                            const std::string& shown);
  sys::Result<> change_link(int index, uint32_t flags, const std::string& attributes,
                            const std::string& shown);
  sys::Fd socket_;
  uint32_t sequence_ = 0;
};

}  // namespace cloche::kernel
