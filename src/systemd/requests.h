// What the runtime asks of a manager: org.freedesktop.systemd1(5).
#pragma once

#include <string>
#include <vector>

#include "systemd/bus.h"

namespace cloche::systemd {

struct Manager {
  std::string version, control_group;
};
Answer<Manager> manager(Bus& bus);

// A new scope that holds `pid`; done when its job is. When it fails, no unit of ours is left. A unit of that name that
// has failed and holds nothing is forgotten first.
Answer<> start_scope(Bus& bus, const std::string& unit, uint32_t pid,
                     const std::vector<Property>& properties);
// Properties until the next boot, SetUnitProperties; the cgroup's files are written when it returns.
Answer<> set_properties(Bus& bus, const std::string& unit, const std::vector<Property>& properties);
Answer<> attach(Bus& bus, const std::string& unit, uint32_t pid);
// Stops it and forgets that it failed. One that is not there is no error.
Answer<> stop(Bus& bus, const std::string& unit);

// "0-3,5" as systemd takes it: bit n of byte n / 8. Empty where that is no such list.
std::vector<uint8_t> bitmap(const std::string& list);

}  // namespace cloche::systemd
