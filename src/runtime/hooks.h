// Hooks: programs a config asks to be run at stages of a container's life (runtime-spec, config.md, "POSIX-platform
// Hooks"). The container's state goes to their standard input.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "spec/runtime.h"
#include "sys/error.h"

namespace cloche::runtime {

// Runs them in order; stops at the first that fails. A hook past its timeout is killed. What one writes to its standard
// error goes to ours when it has succeeded (the last 4 KiB), and its last line into the error when it has failed.
// `restrict` is called in the hook's process as the last thing before its exec.
sys::Result<> run_hooks(const std::string& stage, const std::vector<spec::Hook>& hooks,
                        const std::string& state, const std::function<sys::Result<>()>& restrict = {});

// `oci_state` with its placeholders "@PID@" and "@STATUS@" replaced.
[[nodiscard]] std::string state_for_hooks(std::string oci_state, const std::string& pid,
                                          std::string_view status);
// The container's status while the hooks of a stage run (runtime-spec, "Lifecycle").
[[nodiscard]] std::string_view status_at(std::string_view stage);

}  // namespace cloche::runtime
