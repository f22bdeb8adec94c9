// Making a container from a bundle: `create` and `run`.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "plan/planner.h"
#include "runtime/state.h"
#include "sys/error.h"

namespace cloche::runtime {

// The processes come from a checkpoint.
struct RestoreOptions {
  std::string criu;  // --criu
  std::string image_path, work_path;  // empty: ./checkpoint, and the image path
  std::string place;  // of the container to be, StateRoot::criu_place()
  plan::CriuFlags flags;
  std::string lsm_profile, lsm_mount_context;
};

struct LaunchOptions {
  std::string id;
  std::string bundle;          // a directory that holds config.json
  std::string config;  // the configuration's file, where it is another one than the bundle's config.json
  std::string console_socket;  // path of a listening stream socket that gets the terminal's master
  std::string pidfd_socket;  // the same for a pidfd of the container's first process
  std::string pid_file;
  uint32_t preserve_fds = 0;  // descriptors from 3 on that the command keeps
  bool new_keyring = true;
  bool own_cgroup = true;  // false: the container stays in the caller's, and limits are refused
  bool systemd_cgroup = false;  // it is a scope of systemd's
  bool detach = false;  // `run`: return when the command runs
  bool record = false;  // --debug: say what each step took
  bool keep = false;           // `run`: the container's state stays after its end
  std::optional<RestoreOptions> restore;  // `run`: as `restore` does
};

// What is no error, one sentence each.
struct Report {
  std::vector<std::string> warnings;  // unknown keys of the config, a poststop hook that failed
  std::vector<std::string> notes;  // wanted by default, not to be had on this host: Plan::notes
  std::vector<std::string> steps;  // with the option `record`: each step, its microseconds, its fallback
};

// The container waits for `start`. On an error nothing is left.
sys::Result<> create(const StateRoot& root, const LaunchOptions& options, Report& report);

// Runs it, stays until its end (unless detached) and removes it. The value is the command's exit code, 128 + n when
// signal n ended it.
sys::Result<int> run(const StateRoot& root, const LaunchOptions& options, Report& report);

}  // namespace cloche::runtime
