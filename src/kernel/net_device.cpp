#include "kernel/net_device.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <vector>

#include "kernel/route_socket.h"
#include "sys/files.h"

namespace cloche::kernel {
namespace {

using sys::Fd;
using sys::Result;

// One device on its way: what it was on the host, so that it can be put back.
struct Journey {
  const std::string& device;
  const std::string& name;
  RouteSocket here, there;
  Fd here_ns;
  Link link;
  std::vector<LastingAddress> addresses;
  std::string between;  // its name while it is in neither place: nobody else's
};

Result<> give_addresses(RouteSocket& socket, int index, const std::vector<LastingAddress>& addresses) {
  for (const LastingAddress& address : addresses) CLOCHE_TRY(socket.add_address(index, address));
  return {};
}

Result<> settle(Journey& journey, int index) {
  CLOCHE_TRY(journey.there.rename(index, journey.name));
  CLOCHE_TRY(give_addresses(journey.there, index, journey.addresses));
  return journey.there.set_up(index);
}

Result<> bring_back(Journey& journey, int index) {
  CLOCHE_TRY(journey.there.move(index, journey.here_ns, journey.device));
  CLOCHE_TRY_ASSIGN(link, journey.here.find(journey.device));
  CLOCHE_TRY(give_addresses(journey.here, link.index, journey.addresses));
  return journey.link.up ? journey.here.set_up(link.index) : Result<>();
}

Result<> check_other(const Fd& here, const Fd& there) {
  CLOCHE_TRY_ASSIGN(ours, sys::stat_fd(here));
  CLOCHE_TRY_ASSIGN(theirs, sys::stat_fd(there));
  if (ours.st_ino != theirs.st_ino || ours.st_dev != theirs.st_dev) return {};
  return sys::fail_because("the container's network namespace is the one the device is in already");
}

}  // namespace

Result<> move_net_device(const std::string& device, const std::string& name, const Fd& ns) {
  CLOCHE_TRY_ASSIGN(here_ns, sys::open_at(AT_FDCWD, "/proc/self/ns/net", O_RDONLY));
  CLOCHE_TRY(check_other(here_ns, ns));
  CLOCHE_TRY_ASSIGN(here, RouteSocket::open());
  auto link = here.find(device);
  if (!link)
    return sys::wrap(std::move(link).error(), fmt::format("the host has no network device \"{}\"", device));
  CLOCHE_TRY_ASSIGN(addresses, here.lasting_addresses(link->index));
  CLOCHE_TRY_ASSIGN(there, RouteSocket::open_in(ns));
  if (name.find('%') == std::string::npos && there.find(name))
    return sys::fail(EEXIST, fmt::format("the container's network namespace has a device \"{}\"", name));
  Journey journey{.device = device,
                  .name = name,
                  .here = std::move(here),
                  .there = std::move(there),
                  .here_ns = std::move(here_ns),
                  .link = *link,
                  .addresses = std::move(addresses),
                  .between = fmt::format("cloche{:x}", link->index)};
  CLOCHE_TRY(journey.here.move(link->index, ns, journey.between));
  // The move may have changed its index.
  CLOCHE_TRY_ASSIGN(arrived, journey.there.find(journey.between));
  auto settled = settle(journey, arrived.index);
  if (settled) return {};
  sys::Error error = std::move(settled).error();
  if (auto back = bring_back(journey, arrived.index); !back)
    error.context.push_back("and it could not be moved back: " + back.error().message());
  return std::unexpected(std::move(error));
}

}  // namespace cloche::kernel
