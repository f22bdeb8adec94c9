// Id maps of user namespaces: user_namespaces(7), newuidmap(1).
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "spec/runtime.h"
#include "sys/error.h"
#include "sys/fd.h"

namespace cloche::kernel {

// "0 100000 65536\n" for each range, as /proc/PID/uid_map wants it.
[[nodiscard]] std::string id_map_text(const std::vector<spec::IDMapping>& map);

// One write to /proc/PID/{uid,gid}_map; `kind` is "uid" or "gid". The kernel takes one write only.
sys::Result<> write_id_map(pid_t pid, const std::string& kind, const std::vector<spec::IDMapping>& map);

// Through the set-user-id helper `program` ("newuidmap", "newgidmap"), looked up in the system's directories, not
// in the caller's PATH. What it prints on stderr becomes the error's context.
sys::Result<> write_id_map_by_helper(pid_t pid, const std::string& program,
                                     const std::vector<spec::IDMapping>& map);

// A user namespace with these maps that holds no process: for id-mapped mounts.
sys::Result<sys::Fd> user_namespace_with(const std::vector<spec::IDMapping>& uids,
                                         const std::vector<spec::IDMapping>& gids);

}  // namespace cloche::kernel
