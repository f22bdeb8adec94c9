// What the parts of the planner share: the request seen through its defaults, and the plan being written.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <utility>

#include "plan/planner.h"
#include "sys/paths.h"

namespace cloche::plan {

using Planned = std::expected<void, Refusal>;

[[nodiscard]] inline std::unexpected<Refusal> refuse(std::string field, std::string sentence) {
  return std::unexpected(Refusal{std::move(field), std::move(sentence)});
}

// A namespace type as the spec lists it: shared with the host (not listed), new, or joined by path.
struct NamespaceWish {
  bool listed = false;
  std::string path;
  [[nodiscard]] bool is_new() const { return listed && path.empty(); }
  [[nodiscard]] bool joined() const { return listed && !path.empty(); }
};

class Builder {
 public:
  Builder(const Request& wanted, const HostFacts& host);

  const Request& request;
  const HostFacts& facts;
  const spec::Spec& spec;
  const spec::Linux& os;  // empty where the spec has no "linux"
  Plan plan;

  // What later parts need of earlier ones.
  std::string cgroup;             // absolute path of the container's cgroup; empty: the caller's
  Strings resctrl;  // the container's groups, the monitoring one last
  bool setgroups_denied = false;  // the new user namespace cannot have supplementary groups

  [[nodiscard]] NamespaceWish name_space(std::string_view type) const;
  [[nodiscard]] bool user_namespace() const { return name_space("user").listed; }
  // Whether the caller has root's rights where it is, so that it needs no new user namespace.
  [[nodiscard]] bool admin() const { return facts.privileged || facts.namespace_admin; }
  // The container's root is not the caller's: paths of the host are opened for it beforehand.
  [[nodiscard]] bool opens_for_container() const { return admin() && user_namespace(); }
  // Whether the new user namespace knows this id; true where none is made.
  [[nodiscard]] bool maps_gid(uint32_t gid) const;
  [[nodiscard]] bool maps_uid(uint32_t uid) const;

  // The id is made unique in the plan ("mount:/data", "mount:/data#2").
  void host(std::string id, Action action, Why why);
  void container(std::string id, Action action, Why why);
  void note(std::string subject, std::string text);

  // The longest entry of the request's provenance that covers `field`, else the config itself.
  [[nodiscard]] Why why(const std::string& field) const;
  // Where the wish for a namespace comes from: its flag where there was one.
  [[nodiscard]] Why why_namespace(const std::string& type) const;
  [[nodiscard]] static Why standard(std::string reason);

 private:
  void add(Side side, std::string id, Action action, Why why);
};

#define CLOCHE_PLAN(expr)                                  \
  do {                                                     \
    if (auto planned_ = (expr); !planned_) [[unlikely]]    \
      return std::unexpected(std::move(planned_).error()); \
  } while (false)

// plan_namespaces.cpp
Planned check_namespaces(Builder& b);
Planned plan_clone(Builder& b);            // clone, id maps
void plan_streams(Builder& b);             // whose they are, for a new user namespace
Planned plan_entering(Builder& b);         // joins, root of the user namespace, cgroup and time namespaces
Planned check_net_devices(const Builder& b);
void plan_net_devices(Builder& b);
void plan_uts_network_sysctl(Builder& b);  // hostname, domainname, loopback, sysctls
[[nodiscard]] Planned check_sysctls(const Builder& b);

// plan_cgroup.cpp
Planned plan_cgroup(Builder& b);
// Other limits and device rules for a cgroup that is there.
Planned plan_cgroup_update(Builder& b, const CgroupNow& now);

// plan_resctrl.cpp
Planned plan_resctrl(Builder& b);     // before the clone
void plan_resctrl_join(Builder& b);  // after it
// The group and, where it is asked for, the monitoring group of a container.
[[nodiscard]] std::expected<Strings, Refusal> resctrl_groups(const spec::IntelRdt& rdt, const std::string& id,
                                                             const HostFacts& facts);

// plan_mounts.cpp: `open` collects the host side's part before the clone, `idmap` after it.
struct MountPlan {
  std::vector<Step> open, idmap, attach;
};
Planned plan_root(Builder& b, MountPlan& mounts);
Planned plan_mounts(Builder& b, MountPlan& mounts);
void plan_own_dev(const Builder& b, MountPlan& mounts);
Planned plan_devices(Builder& b, MountPlan& mounts);
[[nodiscard]] std::expected<std::string, Refusal> namespace_propagation(const Builder& b);

// plan_host_image.cpp
Planned plan_host_root(Builder& b, const HostRoot& root, MountPlan& mounts);

// plan_process.cpp
struct ProcessWish {
  const spec::Process& process;
  std::string field;  // "process"
  std::optional<spec::Seccomp> seccomp;
  bool default_seccomp = false, init = false;
  uint32_t preserve_fds = 0;
  bool set_groups = true;
  bool joining = false;  // one more process in a container that is there
};
Planned check_process(const Builder& b, const ProcessWish& wish);
void plan_listener(Builder& b, const ProcessWish& wish);           // before the clone
Planned plan_process_setup(Builder& b, const ProcessWish& wish);   // session to find-command
Planned plan_process_finish(Builder& b, const ProcessWish& wish);  // label to exec
void plan_hooks(Builder& b, Side side, const std::string& stage);

// Small words.
[[nodiscard]] std::string absolute_in_container(std::string_view destination);   // "/proc/" -> "/proc"
using sys::is_below;
[[nodiscard]] std::string join(const Strings& words, std::string_view separator);

}  // namespace cloche::plan
