// What cloche_bench_launch writes to the descriptor it is given.
#pragma once

#include <stdint.h>

struct launch_report {
  int32_t status;    // as wait4(2) gives it
  int32_t unused;    // keeps the 64-bit members aligned
  int64_t wall_ns;   // from before vfork until wait4 returned
  int64_t cpu_us;    // user and system time of the program and of the children it waited for
  int64_t peak_kib;  // the largest resident set among those processes
};
