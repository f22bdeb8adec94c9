// Starts one program, waits for it and writes what it took: cloche_bench_launch FD PROGRAM [ARGUMENT...]
// It is static and small because a process starts with its parent's memory in its peak (getrusage(2), ru_maxrss:
// the mark survives exec): started from the benchmark itself, each candidate would seem to need the benchmark's
// memory. The candidate runs in this process's environment, with its standard streams.
#define _GNU_SOURCE
#include "launch.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int64_t nanoseconds(struct timespec t) { return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec; }
static int64_t microseconds(struct timeval t) { return (int64_t)t.tv_sec * 1000000 + t.tv_usec; }

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  int out = atoi(argv[1]);
  struct timespec begin, end;
  clock_gettime(CLOCK_MONOTONIC, &begin);
  pid_t child = vfork();
  if (child == 0) {
    close(out);
    execv(argv[2], argv + 2);
    _exit(127);
  }
  int status = 0;
  struct rusage usage = {0};
  if (child < 0) return 1;
  while (wait4(child, &status, 0, &usage) < 0)
    if (errno != EINTR) return 1;
  clock_gettime(CLOCK_MONOTONIC, &end);
  struct launch_report report = {.status = status,
                                 .wall_ns = nanoseconds(end) - nanoseconds(begin),
                                 .cpu_us = microseconds(usage.ru_utime) + microseconds(usage.ru_stime),
                                 .peak_kib = usage.ru_maxrss};
  return write(out, &report, sizeof report) == (ssize_t)sizeof report ? 0 : 1;
}
