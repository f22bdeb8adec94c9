// One measured command: wall time, processor time and peak memory.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sys/error.h"

namespace cloche::bench {

using Argv = std::vector<std::string>;

struct Sample {
  double wall_us = 0;
  double cpu_us = 0;      // user and system, of the command and of the children it waited for
  int64_t peak_kib = 0;   // the largest resident set among them
};

// How commands are run: the launcher's path and the file that takes their standard error.
struct Launcher {
  std::string program;
  std::string error_log;
};

// Runs argv[0] (a path) with standard input and output at /dev/null. A command that fails is an error that holds the
// end of what it said.
sys::Result<Sample> run_measured(const Launcher& launcher, const Argv& argv);

// argv[0] looked up in PATH; empty if it is not there.
std::string find_program(const std::string& name);

}  // namespace cloche::bench
