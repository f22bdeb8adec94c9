// What is known of every kind of step: which primitive, who may do it, since when, where to read more, and how to
// say it. One row per action; the explainer, the recorder and the errors speak from here.
#pragma once

#include <string>
#include <string_view>

#include "plan/facts.h"
#include "plan/plan.h"
#include "plan/step.h"

namespace cloche::plan {

enum class Primitive {
  cgroup,
  device_policy,
  namespaces,
  id_map,
  mount,
  overlay,
  root,
  device,
  network,
  sysctl,
  process,
  terminal,
  rlimit,
  capabilities,
  no_new_privs,
  seccomp,
  lsm,
  hook,
  exec,
  resctrl
};
[[nodiscard]] std::string_view name(Primitive primitive);

// The right a step needs. `container_root`: capabilities in the container's own user namespace are enough.
enum class Privilege { none, container_root, host_root, delegated_cgroup };
[[nodiscard]] std::string_view name(Privilege privilege);

struct Entry {
  std::string_view kind;  // "mount", "write-id-map": the action's name in JSON
  Primitive primitive;
  std::string_view call;  // the decisive system call or file
  std::string_view manual;  // "mount_setattr(2)"
  KernelVersion since;  // {0, 0}: older than what is supported (5.15)
  Privilege privilege;
};
[[nodiscard]] const Entry& entry(const Action& action);

// One line in plain words: "mount proc on /proc (nosuid, nodev, noexec)".
[[nodiscard]] std::string describe(const Step& step);
// "config.json: linux.resources.memory.limit", "--memory 512M", "default: ...".
[[nodiscard]] std::string describe(const Why& why);

}  // namespace cloche::plan
