#include "plan/planner.h"

#include <fmt/format.h>

#include <algorithm>

#include "plan/builder.h"

namespace cloche::plan {
namespace {

void note_unused(Builder& b) {
  if (b.spec.process && b.spec.process->execCPUAffinity)
    b.note("process.execCPUAffinity", "is for `exec` only (runtime-spec, config.md): not used here");
}

// More than an execution records; said before the work is done.
Planned check_counts(const Builder& b) {
  constexpr size_t kMost = 900;
  const std::pair<const char*, size_t> counts[] = {
      {"mounts", b.spec.mounts.size()},
      {"linux.devices", b.os.devices.size()},
      {"linux.maskedPaths", b.os.maskedPaths.size()},
      {"linux.readonlyPaths", b.os.readonlyPaths.size()},
      {"linux.sysctl", b.os.sysctl.size()},
      {"linux.netDevices", b.os.netDevices.size()},
      {"linux.resources.unified", b.os.resources ? b.os.resources->unified.size() : 0}};
  size_t all = 0;
  for (const auto& [field, count] : counts) {
    all += count;
    if (all > kMost)
      return refuse(field, fmt::format("with {} entries the plan would have more steps than the {} that fit",
                                       count, kMost));
  }
  return {};
}

Planned check_hooks(const Builder& b) {
  if (!b.spec.hooks) return {};
  const auto& h = *b.spec.hooks;
  const std::pair<const char*, const std::vector<spec::Hook>*> stages[] = {
      {"prestart", &h.prestart},
      {"createRuntime", &h.createRuntime},
      {"createContainer", &h.createContainer},
      {"startContainer", &h.startContainer},
      {"poststart", &h.poststart},
      {"poststop", &h.poststop}};
  for (const auto& [stage, hooks] : stages)
    for (size_t i = 0; i < hooks->size(); ++i) {
      const auto& hook = (*hooks)[i];
      if (!hook.path.starts_with('/'))
        return refuse(fmt::format("hooks.{}[{}].path", stage, i),
                      fmt::format("\"{}\" must be an absolute path", hook.path));
      if (hook.timeout && *hook.timeout <= 0)
        return refuse(fmt::format("hooks.{}[{}].timeout", stage, i), "a timeout is more than 0 seconds");
    }
  return {};
}

void take(Builder& b, std::vector<Step>& steps) {
  for (auto& step : steps) {
    if (step.side == Side::host)
      b.host(std::move(step.id), std::move(step.action), std::move(step.why));
    else
      b.container(std::move(step.id), std::move(step.action), std::move(step.why));
  }
}

void plan_covers(Builder& b) {
  for (size_t i = 0; i < b.os.readonlyPaths.size(); ++i) {
    const auto path = absolute_in_container(b.os.readonlyPaths[i]);
    if (path == "/") continue;  // plan_root_switch
    b.container("readonly:" + path, ReadonlyPath{path}, b.why("linux.readonlyPaths"));
  }
  for (size_t i = 0; i < b.os.maskedPaths.size(); ++i) {
    const auto path = absolute_in_container(b.os.maskedPaths[i]);
    MaskPath mask{.path = path, .label = {}};
    if (!b.os.mountLabel.empty()) mask.label = b.os.mountLabel;
    b.container("mask:" + path, std::move(mask), b.why("linux.maskedPaths"));
  }
}

Planned check_covers(const Builder& b) {
  const auto check = [](const Strings& paths, const char* field) -> Planned {
    for (size_t i = 0; i < paths.size(); ++i)
      if (!paths[i].starts_with('/'))
        return refuse(fmt::format("{}[{}]", field, i),
                      fmt::format("\"{}\" must be an absolute path", paths[i]));
    return {};
  };
  for (const auto& path : b.os.maskedPaths)
    if (path.starts_with('/') && absolute_in_container(path) == "/")
      return refuse("linux.maskedPaths", "the root itself cannot be hidden");
  CLOCHE_PLAN(check(b.os.maskedPaths, "linux.maskedPaths"));
  return check(b.os.readonlyPaths, "linux.readonlyPaths");
}

void plan_root_switch(Builder& b) {
  b.container("pivot-root", PivotRoot{},
              Builder::standard("the container's root becomes /, the host's is let go"));
  const bool covered = std::ranges::any_of(
      b.os.readonlyPaths, [](const std::string& path) { return absolute_in_container(path) == "/"; });
  if (b.spec.root && b.spec.root->readonly)
    b.container("root-readonly", RootReadonly{}, b.why("root.readonly"));
  else if (covered)
    b.container("root-readonly", RootReadonly{}, b.why("linux.readonlyPaths"));
  if (!b.os.rootfsPropagation.empty())
    b.container("root-propagation", RootPropagation{b.os.rootfsPropagation},
                b.why("linux.rootfsPropagation"));
}

Planned write_plan(Builder& b) {
  if (!b.spec.process) return refuse("process", "there is no process to run");
  const ProcessWish wish{.process = *b.spec.process,
                         .field = "process",
                         .seccomp = b.os.seccomp,
                         .default_seccomp = b.request.default_seccomp,
                         .init = b.request.init,
                         .preserve_fds = b.request.preserve_fds};
  CLOCHE_PLAN(check_counts(b));
  note_unused(b);
  CLOCHE_PLAN(check_namespaces(b));
  CLOCHE_PLAN(check_net_devices(b));
  CLOCHE_PLAN(check_process(b, wish));
  CLOCHE_PLAN(check_hooks(b));
  CLOCHE_PLAN(check_covers(b));

  MountPlan mounts;
  CLOCHE_PLAN(plan_root(b, mounts));
  CLOCHE_PLAN(plan_mounts(b, mounts));
  CLOCHE_PLAN(plan_devices(b, mounts));

  if (!b.request.systemd_cgroup) CLOCHE_PLAN(plan_cgroup(b));
  CLOCHE_PLAN(plan_resctrl(b));
  take(b, mounts.open);
  plan_listener(b, wish);
  CLOCHE_PLAN(plan_clone(b));
  // A scope is started with a process in it.
  if (b.request.systemd_cgroup) CLOCHE_PLAN(plan_cgroup(b));
  plan_resctrl_join(b);
  take(b, mounts.idmap);
  plan_net_devices(b);

  CLOCHE_PLAN(plan_entering(b));
  if (b.request.new_keyring)
    b.container("keyring", NewKeyring{"_ses." + b.request.id},
                Builder::standard("the caller's keys stay with the caller"));
  take(b, mounts.attach);
  plan_covers(b);
  plan_hooks(b, Side::host, "prestart");
  plan_hooks(b, Side::host, "createRuntime");
  plan_hooks(b, Side::container, "createContainer");
  plan_root_switch(b);
  plan_uts_network_sysctl(b);

  ProcessWish final_wish = wish;
  final_wish.set_groups = !b.setgroups_denied;
  CLOCHE_PLAN(plan_process_setup(b, final_wish));
  if (b.request.await_start)
    b.container("await-start", AwaitStart{}, Builder::standard("`create` ends here, `start` goes on"));
  CLOCHE_PLAN(plan_process_finish(b, final_wish));
  plan_hooks(b, Side::host, "poststart");
  return {};
}

}  // namespace

std::expected<Plan, Refusal> make_plan(const Request& request, const HostFacts& facts) {
  Builder b(request, facts);
  if (auto planned = write_plan(b); !planned) return std::unexpected(std::move(planned).error());
  return std::move(b.plan);
}

std::expected<Plan, Refusal> make_exec_plan(const ExecRequest& wanted, const HostFacts& facts) {
  Request request;
  request.id = wanted.id;
  request.spec.linux_.emplace();
  request.spec.linux_->personality = wanted.personality;
  request.spec.linux_->memoryPolicy = wanted.memory_policy;
  Builder b(request, facts);
  const ProcessWish wish{.process = wanted.process,
                         .field = "process",
                         .seccomp = wanted.seccomp,
                         .default_seccomp = wanted.default_seccomp,
                         .preserve_fds = wanted.preserve_fds,
                         .set_groups = !wanted.setgroups_denied,
                         .joining = true};
  if (auto checked = check_process(b, wish); !checked) return std::unexpected(std::move(checked).error());
  if (wanted.setgroups_denied && !wanted.process.user.additionalGids.empty())
    return refuse("process.user.additionalGids",
                  "the container's user namespace denies setgroups: it was made with "
                  "the caller's single gid");

  if (wanted.intel_rdt) {
    auto groups = resctrl_groups(*wanted.intel_rdt, wanted.id, facts);
    if (!groups) return std::unexpected(std::move(groups).error());
    b.resctrl = *std::move(groups);
  }
  const spec::ExecCPUAffinity affinity = wanted.process.execCPUAffinity.value_or(spec::ExecCPUAffinity{});
  if (!affinity.initial.empty())
    b.host("affinity-initial", SetAffinity{affinity.initial}, b.why("process.execCPUAffinity.initial"));
  plan_listener(b, wish);
  b.host("clone", CloneProcess{.namespaces = {}, .cgroup = wanted.cgroup, .from_joined = true},
         Builder::standard("the new process starts inside the container"));
  if (wanted.scope)
    b.host("scope", *wanted.scope, Builder::standard("only systemd may move a process there"));
  plan_resctrl_join(b);
  if (!affinity.final_.empty())
    b.container("affinity-final", SetAffinity{affinity.final_}, b.why("process.execCPUAffinity.final"));
  for (const auto& join : wanted.namespaces)
    b.container("join:" + join.type, join, Builder::standard("a namespace of the container"));
  if (wanted.user_namespace)
    b.container("become-root", BecomeRoot{.clear_groups = !wanted.setgroups_denied},
                Builder::standard("what is set up next is the container's"));
  if (auto planned = plan_process_setup(b, wish); !planned)
    return std::unexpected(std::move(planned).error());
  if (auto planned = plan_process_finish(b, wish); !planned)
    return std::unexpected(std::move(planned).error());
  return std::move(b.plan);
}

std::expected<Plan, Refusal> make_update_plan(const UpdateRequest& wanted, const HostFacts& facts) {
  Request request;
  request.id = wanted.id;
  request.spec.linux_.emplace().resources = wanted.resources;
  request.provenance = wanted.provenance;
  Builder b(request, facts);
  if (auto planned = plan_cgroup_update(b, wanted.now); !planned) {
    constexpr std::string_view kPrefix = "linux.resources.";
    Refusal refusal = std::move(planned).error();
    if (refusal.field.starts_with(kPrefix)) refusal.field.erase(0, kPrefix.size());
    return std::unexpected(std::move(refusal));
  }
  return std::move(b.plan);
}

}  // namespace cloche::plan
