// One more process in a running container.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "runtime/launch.h"
#include "spec/runtime.h"
#include "sys/error.h"

namespace cloche::runtime {

struct ExecOptions {
  std::string id;
  // The process as a whole; else the config's own with the fields below put in.
  std::optional<spec::Process> process;
  std::vector<std::string> args;
  std::vector<std::string> env;  // NAME=value, added to the config's
  std::string cwd;
  std::optional<uint32_t> uid, gid;
  std::vector<uint32_t> additional_gids;
  std::vector<std::string>
      capabilities;  // added to bounding, effective, permitted (and ambient where inheritable)
  std::optional<bool> no_new_privileges;
  std::string apparmor, label;
  bool terminal = false;

  std::string cgroup;  // below the container's
  bool detach = false;
  bool ignore_paused = false;
  bool record = false;  // --debug: say what each step took
  std::string console_socket, pidfd_socket, pid_file;
  uint32_t preserve_fds = 0;
};

// The value is the command's exit code, 0 when detached.
sys::Result<int> exec(const StateRoot& root, const ExecOptions& options, Report& report);

}  // namespace cloche::runtime
