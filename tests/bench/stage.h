// Where the candidates run: a mount namespace of the benchmark's own, with only a cgroup2 mount at /sys/fs/cgroup,
// and a tmpfs that holds the bundles and every runtime's state. It is gone with the process.
#pragma once

#include <string>
#include <vector>

#include "sys/error.h"

namespace cloche::bench {

// A bundle is a directory with config.json and, unless the root is elsewhere, rootfs/.
struct Stage {
  std::string directory;  // the tmpfs
  std::string installed;  // on a disk, where the candidates' programs are
  std::string bundle;  // runs /true
  std::string pause_bundle;  // runs /pause
  std::string host_bundle;  // the host's own root file system, runs /bin/true
  std::vector<std::string> notes;  // what a reader of the numbers has to know about this machine
};

struct StageOptions {
  std::string programs;  // the directory that holds cloche_bench_true and cloche_bench_pause
  std::string spec_writer;  // a runtime whose `spec` writes the default configuration
  bool realtime = true;  // SCHED_FIFO, so that other work on the machine does not decide the result
};

// Enters the stage: this process, and all it starts from then on. Needs root.
sys::Result<Stage> enter_stage(const StageOptions& options);

// A copy of the program, a path or a name to be looked for along $PATH; empty where there is none. How a file was written
// decides in how large pieces it lies in the page cache, and so how many page faults a start takes: all were written so.
std::string install(const Stage& stage, const std::string& name, const std::string& program);

// Unmounts the tmpfs, removes its directory, the programs' copies and the cgroups that failed candidates left.
void leave_stage(const Stage& stage);

// The prefix of every container id, and so of every cgroup, of this process.
std::string id_prefix();

}  // namespace cloche::bench
