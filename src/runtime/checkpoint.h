// Checkpoint and restore of containers through CRIU (criu(8)).
#pragma once

#include <string>
#include <vector>

#include "plan/planner.h"
#include "runtime/launch.h"
#include "runtime/state.h"
#include "sys/error.h"

namespace cloche::runtime {

struct CheckpointOptions {
  std::string id;
  std::string criu;  // --criu
  std::string image_path, work_path;  // empty: ./checkpoint, and the image path
  std::string parent_path;  // of the checkpoint before, relative to image_path
  plan::CriuFlags flags;
  bool leave_running = false;
  bool pre_dump = false;  // memory only, and the container goes on
  std::string page_server;  // ADDRESS:PORT that gets the memory, or with lazy_pages hands it out
  int status_fd = -1;  // gets a byte 0 when pages can be asked for
};

// The container's processes, as files in image_path. Then the container is removed, unless it is left running. On an
// error it runs on as before (of criu's, the error has the decisive line and the log's path).
sys::Result<> checkpoint(const StateRoot& root, const CheckpointOptions& options, Report& report);

// What the planner is told for a restore. Errors: no criu, no checkpoint at the path.
sys::Result<plan::RestoreRequest> restore_request(const RestoreOptions& options, plan::Request container);

}  // namespace cloche::runtime
