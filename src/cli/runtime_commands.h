// The commands of `cloche-runtime`: each turns its flags into options of the library, and prints what comes back.
#pragma once

#include "cli/runtime_log.h"
#include "cli/runtime_options.h"
#include "runtime/launch.h"
#include "runtime/state.h"

namespace cloche::cli {

// runtime_life.cpp
int perform_create(const Invocation& invocation, RuntimeLog& log);
int perform_run(const Invocation& invocation, RuntimeLog& log);
int perform_start(const Invocation& invocation, RuntimeLog& log);
int perform_kill(const Invocation& invocation, RuntimeLog& log);
int perform_delete(const Invocation& invocation, RuntimeLog& log);
int perform_pause(const Invocation& invocation, RuntimeLog& log);
int perform_resume(const Invocation& invocation, RuntimeLog& log);
// What `create`, `run` and `restore` are all told; the caller's other descriptors are closed.
std::expected<runtime::LaunchOptions, std::string> launch_options(const Invocation& invocation);
// runtime_checkpoint.cpp
int perform_checkpoint(const Invocation& invocation, RuntimeLog& log);
int perform_restore(const Invocation& invocation, RuntimeLog& log);
// runtime_update.cpp
int perform_update(const Invocation& invocation, RuntimeLog& log);
// runtime_events.cpp
int perform_events(const Invocation& invocation, RuntimeLog& log);
// runtime_exec.cpp
int perform_exec(const Invocation& invocation, RuntimeLog& log);
// runtime_show.cpp
int perform_state(const Invocation& invocation, RuntimeLog& log);
int perform_list(const Invocation& invocation, RuntimeLog& log);
int perform_spec(const Invocation& invocation, RuntimeLog& log);
// runtime_ps.cpp
int perform_ps(const Invocation& invocation, RuntimeLog& log);
// runtime_explain.cpp
int perform_explain(const Invocation& invocation, RuntimeLog& log);
// runtime_features.cpp
int perform_features(const Invocation& invocation, RuntimeLog& log);
[[nodiscard]] std::string version_text();

// Descriptors of the caller's that the command is not to have: a container that waits would hold them open.
// `preserve` of them, from 3 on, stay.
sys::Result<> close_callers_descriptors(uint32_t preserve);
// The cgroup manager that is named wins over the switch --systemd-cgroup, which callers send always.
[[nodiscard]] bool wants_systemd(const Invocation& invocation);
// --root, or where it is by default.
[[nodiscard]] runtime::StateRoot state_root(const Invocation& invocation);
// A decimal number; the error is a sentence that names the flag.
[[nodiscard]] std::expected<uint32_t, std::string> number_of(std::string_view flag, std::string_view text);
// "cannot start container \"web\": ..."; the exit status is handed through.
int fail(RuntimeLog& log, std::string_view verb, std::string_view id, const sys::Error& error,
         int status = 1);

}  // namespace cloche::cli
