// Why a step failed on this very host, and what to do about it: docs/errors.md has the table. Changes nothing.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "plan/facts.h"
#include "plan/plan.h"
#include "plan/record.h"
#include "runtime/prepared.h"

namespace cloche::runtime {

// What tells causes apart that the kernel reports with one errno. Looked at only after a failure.
struct Circumstances {
  std::map<std::string, long long> namespace_limits;  // "user" -> user.max_user_namespaces, by the OCI words
  bool unprivileged_userns = true;  // Debian's kernel.unprivileged_userns_clone is not 0
  bool apparmor_restricts_userns = false;  // Ubuntu's kernel.apparmor_restrict_unprivileged_userns is 1
  bool filtered = false;  // this process is under a seccomp filter (proc_pid_status(5))
  bool chrooted = false;  // its root is not the root of its mount namespace, as far as seen
  bool may_map_root = true;  // CAP_SETFCAP is held: user_namespaces(7), Linux 5.12
  std::vector<plan::HostMount> mounts;  // all of them, of which the facts may hold none
};
[[nodiscard]] Circumstances look_around(const plan::HostFacts& facts);

[[nodiscard]] plan::Diagnosis diagnose(const plan::Plan& plan, const StepFailure& failure,
                                       const plan::HostFacts& facts, const Circumstances& around);
[[nodiscard]] inline plan::Diagnosis diagnose(const plan::Plan& plan, const StepFailure& failure,
                                              const plan::HostFacts& facts) {
  return diagnose(plan, failure, facts, look_around(facts));
}

}  // namespace cloche::runtime
