// Requests to a systemd manager, by way of the program cloche-systemd, which links libsystemd: this program is static.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plan/facts.h"
#include "plan/step.h"
#include "runtime/state.h"
#include "sys/error.h"

namespace cloche::runtime {

// Finds cloche-systemd: $CLOCHE_SYSTEMD, beside this program, in ../libexec/cloche of its directory, where it was
// installed; its path. Remembers it, also for a sealed copy of this program, which no longer knows where it came from.
sys::Result<std::string> find_systemd_helper();

// The manager of the system, or the caller's own.
sys::Result<plan::SystemdFacts> systemd_manager(bool user);

// Errors of all that follow are sentences of systemd_words().
// The process is in the scope when this returns; on an error no unit is left.
sys::Result<> start_scope(const plan::StartScope& scope, pid_t pid);
// systemd has written the files of the scope's cgroup when this returns.
sys::Result<> set_scope_properties(const plan::SetScopeProperties& change);
sys::Result<> attach_to_scope(const plan::AttachToScope& scope, pid_t pid);
// `cgroup`: that of the scope. A scope that is not there is no error, and no systemd none where the cgroup is gone.
sys::Result<> stop_scope(const std::string& cgroup, bool user);

struct ScopeRef {
  std::string unit;
  bool user = false;
};
// The scope of a container that has one: what `exec` enters, and whose properties a change of limits sets too.
[[nodiscard]] std::optional<ScopeRef> scope_of(const SavedState& state);

// What cloche-systemd was refused: the call, and the error's name and message as D-Bus has them.
struct BusRefusal {
  std::string call, name, message;
};
// Who refused, what it said, and what to do.
[[nodiscard]] std::string systemd_words(const BusRefusal& refusal, bool user, const std::string& unit);
// Nobody answers: there is no bus, or no systemd on it.
[[nodiscard]] bool is_unreachable(const BusRefusal& refusal);

}  // namespace cloche::runtime
