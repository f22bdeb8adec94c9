// The program `criu` (https://criu.org, criu(8)): found, called with a command line that can be shown, and its refusal
// read out of its log. Why a program: docs/decisions/0006.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "plan/step.h"
#include "sys/error.h"

namespace cloche::runtime {

// `wanted` is --criu: a path, or a name; "" is "criu". The absolute path of an executable file, looked for along
// $PATH.
sys::Result<std::string> find_criu(const std::string& wanted);

struct CriuCommand {
  std::string program;  // absolute
  std::vector<std::string> args;  // without the program's name
  std::vector<int> keep;  // descriptors that it inherits, beside 0, 1 and 2
  std::string log;  // its log file, absolute
  // restore: in a mount namespace of criu's own this directory is a mount, and has these mount points.
  std::string root;
  std::vector<plan::MountPoint> points;
  std::vector<plan::InheritedFd> inherited;
  // In that mount namespace the cgroup2 mount `cgroups` is seen at `yard`/unified (--cgroup-yard); empty: not.
  std::string cgroups, yard;
};

// "criu dump -t 7 ...": as a shell would take it.
[[nodiscard]] std::string shown(const CriuCommand& command);

// Runs it to its end; its output is kept from the caller's. The error says what criu's log says, and where that is.
sys::Result<> run_criu(const CriuCommand& command);

// The line of a log of criu's that says why it gave up, without time stamp and place in its source: the first error
// that is none of what criu only tries out. "" when there is none.
[[nodiscard]] std::string criu_reason(std::string_view log);

}  // namespace cloche::runtime
