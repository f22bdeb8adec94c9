// Runs a program of ours under ptrace(2) and, at one chosen system call, makes the call fail or kills the process that
// makes it. The program is the shipped one: nothing in it knows of this.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "support/command.h"

namespace cloche::faults {

// Which call of which process: the n-th (from 1) with this number that it makes. Process 0 is the program itself, the
// others are numbered as they are made.
struct Point {
  int process = 0;
  long number = 0;
  int nth = 0;
  auto operator<=>(const Point&) const = default;
};

// One call of our own code, which ends where a process executes somebody else's program.
struct Call {
  Point point;
  std::string about;  // the path it names, or what its descriptor is open on; empty for others
  bool in_container = false;  // the container's first process, or below it
  std::vector<uint32_t> started;  // steps of the plan that are under way, by the shared record
};

struct Fault {
  Point at;
  int code = 0;  // errno; 0: SIGKILL before the call is made
};

struct Watched {
  int exit_code = -1;  // -1 if a signal ended it
  int signal = 0;
  bool timed_out = false;
  bool hit = false;  // the fault's point was reached
  std::string out, err;
  std::vector<Call> calls;  // of a run without a fault
  std::vector<pid_t> left;  // processes of ours that are there at the program's end

  [[nodiscard]] std::string describe() const;
};

// Runs `command` (its argv, set_env, as and limit) to its end. Standard input is empty; the outputs are files in
// `scratch`, so that a container that lives on holds no pipe. With a fault there is no list of calls. `waiting` is a
// container's process that is there already, and waits for `command`: it is watched too, as process 1.
Watched watch(const test::Command& command, const std::string& scratch, std::optional<Fault> fault = {},
              pid_t waiting = 0);

}  // namespace cloche::faults
