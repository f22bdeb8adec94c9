// From what is wanted and what the host is, to the list of steps. Pure: no system call is made here.
#pragma once

#include <expected>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "plan/facts.h"
#include "plan/plan.h"
#include "spec/runtime.h"

namespace cloche::plan {

// The root file system of an OCI bundle: spec.root.path made absolute.
struct BundleRoot {
  std::string path;
};

// The embedded image "host": the host's own root as lower layer(s), a fresh upper layer in a tmpfs that is mounted
// on `scratch` inside the container's mount namespace only.
struct HostRoot {
  std::string scratch;
  Strings shown;  // of /root, /home, ...: left as they are on the host (asked for)
  std::string size;  // of the tmpfs, in tmpfs(5)'s words; empty: the kernel's default
};

struct Request {
  std::string id;
  spec::Spec spec;
  std::variant<BundleRoot, HostRoot> root;
  std::string bundle;  // absolute: relative sources of bind mounts are below it
  // Says for a field of `spec` that it came from a flag or a default, not from a config: field -> Why.
  std::map<std::string, Why> provenance;
  bool default_seccomp = false;  // the filter compiled at build time, when spec.linux.seccomp is absent
  bool die_with_caller = false;  // a foreground run that nobody could find later
  bool await_start = false;  // `create`
  bool init = false;  // --init
  bool loopback = true;  // bring lo up in a new network namespace
  bool new_keyring = true;
  bool systemd_cgroup = false;  // the container's cgroup is a scope of systemd's
  uint32_t preserve_fds = 0;
};

// The command cannot be executed by way of the sealed init: its label is taken on by the next exec whatever that is, or
// its filter refuses execveat(2); or others see the starting process, in a pid namespace that it joins. The calling
// program then has to run from a sealed copy of itself.
[[nodiscard]] bool needs_sealed_program(const spec::Spec& spec);

// Some call is answered by whoever has the filter's listener: SCMP_ACT_NOTIFY.
[[nodiscard]] bool hands_calls_over(const spec::Seccomp& filter);

[[nodiscard]] std::expected<Plan, Refusal> make_plan(const Request& request, const HostFacts& facts);

// One more process in a running container: join, restrict, execute.
struct ExecRequest {
  std::string id;
  spec::Process process;
  std::vector<JoinNamespace> namespaces;  // in the order to join
  std::string cgroup;  // absolute; empty: none
  std::optional<AttachToScope> scope;  // the caller may not move a process there itself, its manager may
  std::optional<spec::Seccomp> seccomp;
  // Of the container's config, which are every process's.
  std::optional<spec::Personality> personality;
  std::optional<spec::MemoryPolicy> memory_policy;
  std::optional<spec::IntelRdt> intel_rdt;
  bool default_seccomp = false;
  bool setgroups_denied = false;
  bool user_namespace = false;
  uint32_t preserve_fds = 0;
};
[[nodiscard]] std::expected<Plan, Refusal> make_exec_plan(const ExecRequest& request, const HostFacts& facts);

// What `checkpoint` and `restore` are both told for criu(8).
struct CriuFlags {
  bool tcp_established = false, ext_unix_sk = false, shell_job = false, file_locks = false;
  bool auto_dedup = false, lazy_pages = false;
  bool link_remap = false, skip_in_flight = false;  // checkpoint only
  bool empty_network = false;  // the network namespace is made anew, without what was in it
  std::string manage_cgroups = "soft";  // soft, full, strict, ignore
};
// Those flags as criu's arguments.
[[nodiscard]] Strings criu_arguments(const CriuFlags& flags);
// "restore --images-dir ...": the whole command line of the step, without the program's name.
[[nodiscard]] Strings criu_restore_arguments(const RestoreProcesses& step);
// The name under which a namespace that the config joins ("network", "pid") is known in the images: runc's, so that
// either can restore what the other has dumped.
[[nodiscard]] std::string external_namespace_key(std::string_view type);

struct IdMaps {
  std::vector<spec::IDMapping> uids, gids;
};

// The processes of a checkpoint in a container made for them: the same cgroup with its limits, then criu.
struct RestoreRequest {
  Request container;
  CriuFlags flags;
  std::string program;  // criu, absolute
  std::string images, work, place;  // absolute directories; the last one is RestoreProcesses::place
  // What criu calls the three standard streams, where they came from outside: "pipe:[7]", "file[1f:4]", "tty[8800:15]";
  // else empty.
  Strings streams;
  std::string lsm_profile, lsm_mount_context;
  std::optional<IdMaps> maps;  // of the user namespace in the images; none: they have none
};
[[nodiscard]] std::expected<Plan, Refusal> make_restore_plan(const RestoreRequest& wanted,
                                                             const HostFacts& facts);

// What a running container's cgroup says.
struct CgroupNow {
  std::string path;  // absolute
  Strings controllers;  // cgroup.controllers
  // File -> what it holds, without its last newline; one that is not there (its controller is not enabled) is absent.
  std::map<std::string, std::string> values;
  // The scope of systemd's that it is, whose properties follow the limits; none: a cgroup of Cloche's own.
  std::optional<SetScopeProperties> scope;
  // Its config limits memory and swap together, so that the one follows from the other.
  bool swap_total = false;
};
// The files that a change of limits depends on: what CgroupNow::values should hold.
inline constexpr const char* kFilesOfUpdate[] = {
    "memory.max", "memory.current", "memory.swap.max", "memory.swap.current",
    "cpu.max",    "cpu.max.burst",  "cpu.idle"};

// Other limits for a container that is there. What `resources` does not name stays as it is.
struct UpdateRequest {
  std::string id;
  spec::Resources resources;
  CgroupNow now;
  std::map<std::string, Why> provenance;  // as Request's: "linux.resources.memory.limit" -> its flag
};
// The same conversion as for a new container, in an order in which no step is refused for what a later one changes.
// A refusal's field is one of `resources`: "memory.limit".
[[nodiscard]] std::expected<Plan, Refusal> make_update_plan(const UpdateRequest& wanted,
                                                            const HostFacts& facts);

}  // namespace cloche::plan
