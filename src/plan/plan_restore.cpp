// A container whose processes come from a checkpoint: criu(8), "restore".
#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "plan/builder.h"
#include "plan/shell.h"

namespace cloche::plan {
namespace {

// Descriptors below are the streams of criu itself.
constexpr int64_t kFirstInherited = 10;

// Paths of the container's mounts that lead to something outside, as the images name them: by their place inside.
void add_external(Strings& args, const std::string& target, const std::string& source) {
  args.insert(args.end(), {"--external", fmt::format("mnt[{}]:{}", target, source)});
}

bool on_another_mount(const std::vector<Step>& attach, std::string_view path) {
  return std::ranges::any_of(attach, [&](const Step& step) {
    std::string target;
    if (const auto* bind = std::get_if<BindMount>(&step.action)) target = bind->target;
    if (const auto* fs = std::get_if<MountFs>(&step.action)) target = fs->target;
    return !target.empty() && target != path && is_below(path, target);
  });
}

// As /proc/PID/uid_map has it.
std::string map_text(const std::vector<spec::IDMapping>& map) {
  Strings lines;
  for (const spec::IDMapping& line : map)
    lines.push_back(fmt::format("{} {} {}", line.containerID, line.hostID, line.size));
  return join(lines, ", ");
}

bool same_ids(std::vector<spec::IDMapping> a, std::vector<spec::IDMapping> b) {
  const auto key = [](const spec::IDMapping& line) {
    return std::tuple(line.containerID, line.hostID, line.size);
  };
  std::ranges::sort(a, {}, key);
  std::ranges::sort(b, {}, key);
  return std::ranges::equal(a, b, {}, key, key);
}

class RestorePlanner {
 public:
  RestorePlanner(Builder& b, const RestoreRequest& wanted) : b_(b), wanted_(wanted) {}

  Planned plan() {
    CLOCHE_PLAN(check());
    step_.pauses = hooks() || b_.request.systemd_cgroup;
    // Some versions of criu hand it to a shell, others do not.
    if (step_.pauses && shell_word(wanted_.place) != wanted_.place)
      return refuse(hooks() ? "hooks" : "",
                    fmt::format("with {} criu needs a state directory (--root) of letters, digits and "
                                "ordinary signs: {} is none",
                                hooks() ? "prestart or createRuntime hooks" : "systemd's cgroup driver",
                                wanted_.place));
    CLOCHE_PLAN(plan_root(b_, mounts_));
    CLOCHE_PLAN(plan_mounts(b_, mounts_));
    CLOCHE_PLAN(plan_devices(b_, mounts_));
    CLOCHE_PLAN(plan_cgroup(b_));
    if (b_.cgroup.empty())
      return refuse("linux.cgroupsPath", "a container is only restored into a cgroup of its own");
    begin();
    CLOCHE_PLAN(streams());
    CLOCHE_PLAN(namespaces());
    mounts();
    if (b_.user_namespace()) plan_streams(b_);
    const auto why = Builder::standard("the processes are those of the checkpoint");
    const bool pauses = step_.pauses;
    b_.host("restore", std::move(step_), why);
    if (!pauses) return {};
    enter_scope();
    plan_hooks(b_, Side::host, "prestart");
    plan_hooks(b_, Side::host, "createRuntime");
    b_.host("restore-finish", FinishRestore{}, why);
    return {};
  }

 private:
  Planned check() const {
    if (!b_.facts.privileged) return refuse("", "criu restores containers for root only");
    if (b_.os.intelRdt) return refuse("linux.intelRdt", "it cannot be restored");
    return check_maps();
  }

  // criu takes them from the images. What is shown of the config has to be what holds.
  [[nodiscard]] Planned check_maps() const {
    const NamespaceWish wish = b_.name_space("user");
    if (wish.joined())
      return refuse("linux.namespaces", "criu restores into no user namespace that is there already");
    if (wish.is_new() != wanted_.maps.has_value())
      return refuse("linux.namespaces",
                    wish.is_new() ? "the container had no user namespace when it was dumped, and gets none"
                                  : "the container had a user namespace when it was dumped: add {\"type\": "
                                    "\"user\"} with its maps");
    if (!wanted_.maps) return {};
    for (const auto& [field, dumped, own] :
         {std::tuple("linux.uidMappings", &wanted_.maps->uids, &b_.os.uidMappings),
          {"linux.gidMappings", &wanted_.maps->gids, &b_.os.gidMappings}})
      if (!same_ids(*dumped, *own))
        return refuse(field, fmt::format("the container's processes were dumped with another map ({})",
                                         map_text(*dumped)));
    return {};
  }

  // Those that look at the new namespaces from outside. The others belong to a start of the command.
  [[nodiscard]] bool hooks() const {
    return b_.spec.hooks && !(b_.spec.hooks->prestart.empty() && b_.spec.hooks->createRuntime.empty());
  }

  // Before criu makes a second process: from then on nobody but the container counts against its limit of processes.
  void enter_scope() {
    const size_t at = b_.plan.find("scope");
    if (at == b_.plan.steps.size()) return;
    const auto& scope = std::get<StartScope>(b_.plan.steps[at].action);
    b_.host("enter-scope", EnterScope{.unit = scope.unit, .cgroup = scope.cgroup},
            Builder::standard("the scope is the container's, and its limits count the placeholder too"));
  }

  void begin() {
    step_.program = wanted_.program;
    step_.images = wanted_.images;
    step_.work = wanted_.work;
    step_.place = wanted_.place;
    step_.root = std::get<BundleRoot>(wanted_.container.root).path;
    step_.user_namespace = b_.user_namespace();
    if (step_.user_namespace) step_.shown = b_.facts.cgroup.mount;
    step_.readonly_root = b_.spec.root && b_.spec.root->readonly;
    // By way of it criu enters the root; else it would make a directory of its own there.
    if (step_.readonly_root) point("/tmp", "");
    step_.no_new_privileges = b_.spec.process && b_.spec.process->noNewPrivileges;
    // Of version 1 criu would want every hierarchy there.
    if (b_.facts.cgroup.v1.empty()) step_.cgroups = b_.facts.cgroup.mount;
    step_.args = {"--cgroup-root", b_.cgroup.substr(b_.facts.cgroup.mount.size())};
    const Strings common = criu_arguments(wanted_.flags);
    step_.args.insert(step_.args.end(), common.begin(), common.end());
    if (!wanted_.lsm_profile.empty())
      step_.args.insert(step_.args.end(), {"--lsm-profile", wanted_.lsm_profile});
    if (!wanted_.lsm_mount_context.empty())
      step_.args.insert(step_.args.end(), {"--lsm-mount-context", wanted_.lsm_mount_context});
  }

  void inherit(std::string source, const std::string& key) {
    const int64_t number = kFirstInherited + static_cast<int64_t>(step_.inherited.size());
    step_.inherited.push_back({number, std::move(source), key});
  }

  // One descriptor for each thing: criu finds it by its name, however many streams it was.
  Planned streams() {
    const bool terminal = b_.spec.process && b_.spec.process->terminal;
    for (size_t i = 0; i < wanted_.streams.size(); ++i) {
      const std::string& key = wanted_.streams[i];
      const auto there = std::ranges::find(step_.inherited, key, &InheritedFd::key);
      if (key.empty() || there != step_.inherited.end()) continue;
      inherit(terminal && key.starts_with("tty[") ? "terminal" : fmt::format("{}", i), key);
    }
    if (!terminal) return {};
    if (std::ranges::find(step_.inherited, "terminal", &InheritedFd::source) == step_.inherited.end())
      return refuse("process.terminal", "the container had no terminal when it was dumped");
    add_external(step_.args, "/dev/console", (step_.user_namespace ? step_.shown : step_.place) + "/console");
    return {};
  }

  Planned namespaces() {
    for (const spec::Namespace& entry : b_.os.namespaces) {
      if (entry.path.empty()) continue;
      if (entry.type == "network" || entry.type == "pid")
        inherit(entry.path, external_namespace_key(entry.type));
      else if (entry.type == "ipc" || entry.type == "uts" || entry.type == "time")
        step_.args.insert(step_.args.end(), {"--join-ns", fmt::format("{}:{}", entry.type, entry.path)});
      else
        return refuse("linux.namespaces",
                      fmt::format("criu restores into no {} namespace that is there already", entry.type));
    }
    return {};
  }

  void point(const std::string& target, const std::string& source) {
    if (!on_another_mount(mounts_.attach, target)) step_.points.push_back({target, source});
  }

  void mounts() {
    for (const Step& step : mounts_.attach) {
      if (const auto* fs = std::get_if<MountFs>(&step.action)) point(fs->target, "");
      if (const auto* device = std::get_if<MakeDevice>(&step.action);
          device != nullptr && device->how == "bind")
        add_external(step_.args, device->path, device->path);
      const auto* bind = std::get_if<BindMount>(&step.action);
      if (bind == nullptr) continue;
      point(bind->target, bind->source);
      const IdmapTree* idmap = idmap_of(*bind);
      add_source(bind->target, bind->source, idmap, step.why);
      if (bind->recursive) below(*bind, idmap != nullptr && idmap->recursive ? idmap : nullptr, step.why);
    }
    // Directories are covered by a tmpfs, which is in the images; their names are asked for in vain.
    for (const std::string& masked : b_.os.maskedPaths)
      add_external(step_.args, absolute_in_container(masked), "/dev/null");
  }

  [[nodiscard]] const IdmapTree* idmap_of(const BindMount& bind) const {
    for (const Step& step : mounts_.idmap)
      if (const auto* idmap = std::get_if<IdmapTree>(&step.action);
          !bind.slot.empty() && idmap->slot == bind.slot)
        return idmap;
    return nullptr;
  }

  // Without what is mounted below: a user namespace may not take a mount without those, once it has them.
  void add_source(const std::string& target, const std::string& source, const IdmapTree* idmap,
                  const Why& why) {
    if (!b_.user_namespace() && idmap == nullptr) return add_external(step_.args, target, source);
    step_.shown = b_.facts.cgroup.mount;
    ShownTree tree{.slot = fmt::format("shown:{}", step_.trees.size()),
                   .name = fmt::format("{}", step_.trees.size())};
    b_.host("open-tree:" + target, OpenTree{source, tree.slot, false}, why);
    if (idmap != nullptr) {
      IdmapTree mapped{.slot = tree.slot, .recursive = false, .uids = idmap->uids, .gids = idmap->gids};
      // The namespace that these would be of is criu's to make.
      if (mapped.uids.empty()) mapped.uids = b_.os.uidMappings, mapped.gids = b_.os.gidMappings;
      b_.host("idmap:" + target, std::move(mapped), why);
    }
    add_external(step_.args, target, step_.shown + "/" + tree.name);
    step_.trees.push_back(std::move(tree));
  }

  // What is mounted below the source of a recursive bind is a mount of its own.
  void below(const BindMount& bind, const IdmapTree* idmap, const Why& why) {
    for (const HostMount& mount : b_.facts.mounts)
      if (mount.target != bind.source && is_below(mount.target, bind.source))
        add_source(bind.target + mount.target.substr(bind.source == "/" ? 0 : bind.source.size()),
                   mount.target, idmap, why);
  }

  Builder& b_;
  const RestoreRequest& wanted_;
  MountPlan mounts_;
  RestoreProcesses step_;
};

}  // namespace

Strings criu_restore_arguments(const RestoreProcesses& step) {
  const std::string images = step.user_namespace ? step.shown + "/images" : step.images;
  Strings args{"restore", "--restore-detached", "--restore-sibling", "--images-dir", images,   "--work-dir",
               step.work, "--log-file",
               "-",  // standard output
               "-v4",     "--pidfile",          step.place + "/pid", "--root",       step.root};
  if (!step.cgroups.empty()) args.insert(args.end(), {"--cgroup-yard", step.place + "/cgroups"});
  if (step.pauses) args.insert(args.end(), {"--action-script", step.place + "/script/pause"});
  for (const InheritedFd& fd : step.inherited)
    args.insert(args.end(), {"--inherit-fd", fmt::format("fd[{}]:{}", fd.number, fd.key)});
  args.insert(args.end(), step.args.begin(), step.args.end());
  return args;
}

Strings criu_arguments(const CriuFlags& flags) {
  Strings args{"--manage-cgroups=" + flags.manage_cgroups};
  if (flags.tcp_established) args.emplace_back("--tcp-established");
  if (flags.ext_unix_sk) args.emplace_back("--ext-unix-sk");
  if (flags.shell_job) args.emplace_back("--shell-job");
  if (flags.file_locks) args.emplace_back("--file-locks");
  if (flags.auto_dedup) args.emplace_back("--auto-dedup");
  if (flags.lazy_pages) args.emplace_back("--lazy-pages");
  if (flags.link_remap) args.emplace_back("--link-remap");
  if (flags.skip_in_flight) args.emplace_back("--skip-in-flight");
  if (flags.empty_network) {
    args.emplace_back("--empty-ns");
    args.emplace_back("net");
  }
  return args;
}

std::string external_namespace_key(std::string_view type) {
  return fmt::format("extRoot{}NS", type == "network" ? "Net" : "Pid");
}

std::expected<Plan, Refusal> make_restore_plan(const RestoreRequest& wanted, const HostFacts& facts) {
  Builder b(wanted.container, facts);
  if (auto planned = RestorePlanner(b, wanted).plan(); !planned)
    return std::unexpected(std::move(planned).error());
  return std::move(b.plan);
}

}  // namespace cloche::plan
