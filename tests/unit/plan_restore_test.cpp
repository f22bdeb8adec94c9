// The plan of a restore.
#include <gmock/gmock.h>

#include <algorithm>

#include "plan/explain.h"
#include "plan/script.h"
#include "plan/undo.h"
#include "plan_requests.h"

namespace cloche::plan::test {
namespace {

using testing::ElementsAre;
using testing::IsSupersetOf;

RestoreRequest wanted() {
  RestoreRequest request{.container = basic(),
                         .program = "/usr/sbin/criu",
                         .images = "/images",
                         .work = "/work dir",
                         .place = "/state/box/criu",
                         .streams = {"file[1f:4]", "", "pipe:[9]"}};
  request.container.spec.mounts = {
      {.destination = "/proc", .type = "proc", .source = "proc"},
      {.destination = "/data", .type = "bind", .source = "/usr", .options = {"rbind"}},
      {.destination = "/one", .type = "bind", .source = "/usr", .options = {"bind"}}};
  os(request.container).maskedPaths = {"/proc/kcore"};
  os(request.container).resources.emplace().pids = {.limit = 20};
  return request;
}

RestoreRequest mapped() {
  RestoreRequest request = wanted();
  with_user_namespace(request.container, {{.containerID = 0, .hostID = 100000, .size = 65536}});
  request.maps = {.uids = os(request.container).uidMappings, .gids = os(request.container).gidMappings};
  return request;
}

std::string refused(const RestoreRequest& request, const HostFacts& host = root_host()) {
  const auto plan = make_restore_plan(request, host);
  return plan ? "planned" : plan.error().field + ": " + plan.error().sentence;
}

// The values of an option, in their order.
Strings values(const RestoreProcesses& step, const std::string& option) {
  const Strings args = criu_restore_arguments(step);
  Strings found;
  for (size_t i = 0; i + 1 < args.size(); ++i)
    if (args[i] == option) found.push_back(args[i + 1]);
  return found;
}

TEST(PlanRestore, TheCgroupIsMadeAsForANewContainerAndThenCriuIsCalled) {
  const auto plan = make_restore_plan(wanted(), root_host());
  ASSERT_TRUE(plan) << plan.error().sentence;
  Strings ids;
  for (const Step& step : plan->steps) ids.push_back(step.id);
  EXPECT_THAT(ids, ElementsAre("cgroup", "cgroup-controllers", "cgroup-counters", "cgroup-pids-max",
                               "device-policy", "restore"));
  const auto* step = find<RestoreProcesses>(*plan, "restore");
  EXPECT_EQ(step->root, "/bundle/rootfs");
  EXPECT_THAT(values(*step, "--work-dir"), ElementsAre("/work dir"));
  EXPECT_THAT(values(*step, "--pidfile"), ElementsAre("/state/box/criu/pid"));
  EXPECT_THAT(values(*step, "--cgroup-root"), ElementsAre("/cloche-t"));
  EXPECT_THAT(values(*step, "--inherit-fd"), ElementsAre("fd[10]:file[1f:4]", "fd[11]:pipe:[9]"));
  ASSERT_EQ(step->inherited.size(), 2U);
  EXPECT_EQ(step->inherited[1].source, "2");
  EXPECT_THAT(values(*step, "--cgroup-yard"), ElementsAre("/state/box/criu/cgroups"));
  EXPECT_EQ(undo_of(*plan).size(), 2U) << "the cgroup's processes, and the cgroup";
}

TEST(PlanRestore, WhatIsMountedFromOutsideIsNamedAlsoBelowARecursiveBind) {
  const auto plan = make_restore_plan(wanted(), root_host());
  ASSERT_TRUE(plan) << plan.error().sentence;
  const auto* step = find<RestoreProcesses>(*plan, "restore");
  EXPECT_THAT(values(*step, "--external"), ElementsAre("mnt[/data]:/usr", "mnt[/data/local]:/usr/local",
                                                       "mnt[/data/local/big]:/usr/local/big",
                                                       "mnt[/one]:/usr", "mnt[/proc/kcore]:/dev/null"));
  Strings points;
  for (const MountPoint& point : step->points) points.push_back(point.path + "<" + point.source);
  EXPECT_THAT(points, ElementsAre("/proc<", "/data</usr", "/one</usr", "/dev<"));
}

TEST(PlanRestore, FlagsAreCriusArguments) {
  RestoreRequest request = wanted();
  request.flags = {.tcp_established = true,
                   .ext_unix_sk = true,
                   .shell_job = true,
                   .file_locks = true,
                   .auto_dedup = true,
                   .lazy_pages = true,
                   .empty_network = true,
                   .manage_cgroups = "strict"};
  request.lsm_profile = "apparmor:box";
  request.lsm_mount_context = "system_u:object_r:box_t:s0";
  const auto plan = make_restore_plan(request, root_host());
  ASSERT_TRUE(plan) << plan.error().sentence;
  const auto* step = find<RestoreProcesses>(*plan, "restore");
  EXPECT_THAT(step->args, IsSupersetOf({"--tcp-established", "--ext-unix-sk", "--shell-job", "--file-locks",
                                        "--auto-dedup", "--lazy-pages", "--manage-cgroups=strict"}));
  EXPECT_THAT(values(*step, "--empty-ns"), ElementsAre("net"));
  EXPECT_THAT(values(*step, "--lsm-profile"), ElementsAre("apparmor:box"));
  EXPECT_THAT(values(*step, "--lsm-mount-context"), ElementsAre("system_u:object_r:box_t:s0"));
  EXPECT_THAT(criu_arguments({}), ElementsAre("--manage-cgroups=soft"));
}

TEST(PlanRestore, NamespacesOfOthersAreInheritedOrJoined) {
  RestoreRequest request = wanted();
  request.streams = {};
  os(request.container).namespaces = {
      {"mount", ""}, {"pid", "/p"}, {"uts", "/u"}, {"ipc", ""}, {"network", "/run/netns/x"}};
  const auto plan = make_restore_plan(request, root_host());
  ASSERT_TRUE(plan) << plan.error().sentence;
  const auto* step = find<RestoreProcesses>(*plan, "restore");
  EXPECT_THAT(values(*step, "--inherit-fd"), ElementsAre("fd[10]:extRootPidNS", "fd[11]:extRootNetNS"));
  EXPECT_THAT(values(*step, "--join-ns"), ElementsAre("uts:/u"));
  EXPECT_EQ(step->inherited[1].source, "/run/netns/x");
}

TEST(PlanRestore, AThingIsInheritedOnceHoweverManyStreamsItIs) {
  RestoreRequest request = wanted();
  request.streams = {"pipe:[7]", "pipe:[9]", "pipe:[9]"};
  const auto plan = make_restore_plan(request, root_host());
  ASSERT_TRUE(plan) << plan.error().sentence;
  EXPECT_THAT(values(*find<RestoreProcesses>(*plan, "restore"), "--inherit-fd"),
              ElementsAre("fd[10]:pipe:[7]", "fd[11]:pipe:[9]"));
}

TEST(PlanRestore, ATerminalIsANewOneAlsoOnTheConsole) {
  RestoreRequest request = wanted();
  request.streams = {"tty[8800:15]", "tty[8800:15]", "tty[8800:15]"};
  auto plan = make_restore_plan(request, root_host());
  ASSERT_TRUE(plan) << plan.error().sentence;
  EXPECT_EQ(find<RestoreProcesses>(*plan, "restore")->inherited.at(0).source, "0") << "the caller's own";
  request.container.spec.process->terminal = true;
  plan = make_restore_plan(request, root_host());
  ASSERT_TRUE(plan) << plan.error().sentence;
  const auto* step = find<RestoreProcesses>(*plan, "restore");
  ASSERT_EQ(step->inherited.size(), 1U);
  EXPECT_EQ(step->inherited[0].source, "terminal");
  EXPECT_THAT(values(*step, "--inherit-fd"), ElementsAre("fd[10]:tty[8800:15]"));
  EXPECT_THAT(values(*step, "--external"), testing::Contains("mnt[/dev/console]:/state/box/criu/console"));
  EXPECT_TRUE(says(to_script(*plan, root_host()),
                   {" 5<>\"$(tty)\"", "fd[5]:tty[8800:15]", "touch -- /state/box/criu/console"}));
}

TEST(PlanRestore, ItIsSaidAndWrittenAsAScript) {
  const auto plan = make_restore_plan(wanted(), root_host());
  ASSERT_TRUE(plan);
  EXPECT_TRUE(says(explain_text(*plan, {.colour = false, .width = 4000}),
                   {"have criu bring the processes back from the checkpoint in /images"}));
  const std::string script = to_script(*plan, root_host());
  EXPECT_TRUE(
      says(script,
           {"mount --rbind", "mount --bind -- /sys/fs/cgroup", "/usr/sbin/criu restore --images-dir /images",
            "mkdir -p -- /state/box/criu/cgroups/unified", " 5<&0 6<&2 >'/work dir/restore.log' 2>&1"}));
  EXPECT_EQ(script.find("--restore-detached --"), std::string::npos)
      << "the script ends with what it started";
}

// Those that look at the new namespaces from outside: criu waits for them.
TEST(PlanRestore, HooksRunBetweenTheNamespacesAndTheProcesses) {
  RestoreRequest request = wanted();
  auto& hooks = request.container.spec.hooks.emplace();
  hooks.startContainer.push_back({.path = "/bin/inside"});
  auto plan = make_restore_plan(request, root_host());
  ASSERT_TRUE(plan);
  EXPECT_FALSE(find<RestoreProcesses>(*plan, "restore")->pauses);
  EXPECT_EQ(plan->find("restore-finish"), plan->steps.size());

  hooks.createRuntime.push_back({.path = "/bin/network"});
  hooks.prestart.push_back({.path = "/bin/early"});
  plan = make_restore_plan(request, root_host());
  ASSERT_TRUE(plan);
  const size_t at = plan->find("restore");
  ASSERT_EQ(plan->steps.size(), at + 4);
  EXPECT_EQ(plan->steps[at + 1].id, "hooks:prestart");
  EXPECT_EQ(plan->steps[at + 2].id, "hooks:createRuntime");
  EXPECT_EQ(plan->steps[at + 3].id, "restore-finish");
  EXPECT_THAT(values(*find<RestoreProcesses>(*plan, "restore"), "--action-script"),
              ElementsAre("/state/box/criu/script/pause"));
  EXPECT_TRUE(says(explain_text(*plan, {.colour = false, .width = 4000}),
                   {"and wait when the namespaces are there", "run the createRuntime hook /bin/network"}));
  const std::string script = to_script(*plan, root_host());
  EXPECT_EQ(script.find("--action-script"), std::string::npos) << "no hook runs in a script";
}

// systemd starts no scope without a process, and of the container there is none yet.
TEST(PlanRestore, AScopeIsStartedWithAPlaceholderWhosePlaceTheFirstProcessTakes) {
  RestoreRequest request = wanted();
  request.container.systemd_cgroup = true;
  os(request.container).cgroupsPath = "machine.slice:libpod:4f1c";
  HostFacts host = root_host();
  host.systemd = {.user = false, .version = 252, .control_group = "/"};
  auto plan = make_restore_plan(request, host);
  ASSERT_TRUE(plan) << plan.error().sentence;
  Strings ids;
  for (const Step& step : plan->steps) ids.push_back(step.id);
  EXPECT_THAT(ids, ElementsAre("scope", "cgroup-pids-max", "device-policy", "restore", "enter-scope",
                               "restore-finish"));
  EXPECT_TRUE(find<StartScope>(*plan, "scope")->placeholder);
  EXPECT_EQ(find<EnterScope>(*plan, "enter-scope")->cgroup, "/sys/fs/cgroup/machine.slice/libpod-4f1c.scope");
  const auto* step = find<RestoreProcesses>(*plan, "restore");
  EXPECT_TRUE(step->pauses) << "criu has not made a second process yet";
  EXPECT_THAT(values(*step, "--cgroup-root"), ElementsAre("/machine.slice/libpod-4f1c.scope"));
  const auto undo = undo_of(*plan);
  ASSERT_EQ(undo.size(), 2U);
  EXPECT_EQ(undo[1].kind, UndoAction::Kind::stop_scope);
  EXPECT_TRUE(says(explain_text(*plan, {.colour = false, .width = 4000}),
                   {"libpod-4f1c.scope in machine.slice, with a placeholder",
                    "move the container's first process into libpod-4f1c.scope, and end the placeholder"}));
  EXPECT_TRUE(says(to_script(*plan, host), {"systemd-run --scope --unit=libpod-4f1c.scope "
                                            "--slice=machine.slice -p Delegate=yes",
                                            "--cgroup-root /machine.slice/libpod-4f1c.scope"}));

  // What hooks of a new container see: its process is where it belongs.
  request.container.spec.hooks.emplace().createRuntime.push_back({.path = "/bin/network"});
  plan = make_restore_plan(request, host);
  ASSERT_TRUE(plan) << plan.error().sentence;
  EXPECT_EQ(plan->find("enter-scope") + 1, plan->find("hooks:createRuntime"));
}

// Its root reaches neither images nor sources by their paths.
TEST(PlanRestore, ForAUserNamespaceImagesAndSourcesAreShownApart) {
  const auto plan = make_restore_plan(mapped(), root_host());
  ASSERT_TRUE(plan) << plan.error().sentence;
  const auto* step = find<RestoreProcesses>(*plan, "restore");
  EXPECT_TRUE(step->user_namespace);
  EXPECT_EQ(step->shown, "/sys/fs/cgroup");
  EXPECT_THAT(values(*step, "--images-dir"), ElementsAre("/sys/fs/cgroup/images"));
  EXPECT_THAT(values(*step, "--external"),
              testing::IsSupersetOf({"mnt[/data]:/sys/fs/cgroup/0", "mnt[/data/local]:/sys/fs/cgroup/1",
                                     "mnt[/data/local/big]:/sys/fs/cgroup/2", "mnt[/one]:/sys/fs/cgroup/3",
                                     "mnt[/dev/null]:/dev/null", "mnt[/proc/kcore]:/dev/null"}));
  ASSERT_EQ(step->trees.size(), 4U);
  const auto* local = find<OpenTree>(*plan, "open-tree:/data/local");
  ASSERT_NE(local, nullptr);
  EXPECT_EQ(local->path, "/usr/local");
  EXPECT_EQ(local->slot, step->trees[1].slot);
  EXPECT_FALSE(local->recursive) << "the kernel keeps together what such a namespace has got as one";
  EXPECT_EQ(find<GiveStreams>(*plan, "streams")->uid, 100000U);
  EXPECT_TRUE(says(explain_text(*plan, {.colour = false, .width = 4000}), {"in a user namespace"}));
  EXPECT_TRUE(says(to_script(*plan, root_host()),
                   {"mount -t tmpfs -o mode=755 -- tmpfs /sys/fs/cgroup",
                    "mount --bind -- /usr/local /sys/fs/cgroup/1", "(cd /images && find -L ."}));
}

TEST(PlanRestore, MapsOtherThanThoseOfTheImagesAreRefused) {
  RestoreRequest request = mapped();
  os(request.container).uidMappings[0].size = 9;
  EXPECT_TRUE(says(refused(request), {"linux.uidMappings: ", "another map (0 100000 65536)"}));
  request = mapped();
  request.maps->gids.push_back({.containerID = 70000, .hostID = 7, .size = 1});
  EXPECT_TRUE(says(refused(request), {"linux.gidMappings: ", "0 100000 65536, 70000 7 1"}));
  os(request.container).gidMappings = {request.maps->gids[1], request.maps->gids[0]};
  EXPECT_EQ(refused(request), "planned") << "the same in another order";
  request.maps.reset();
  EXPECT_TRUE(says(refused(request), {"had no user namespace"}));
  request = wanted();
  request.maps = mapped().maps;
  EXPECT_TRUE(says(refused(request), {"had a user namespace", "add {\"type\": \"user\"}"}));
}

TEST(PlanRestore, AnIdMappedMountIsMadeBeforeCriu) {
  RestoreRequest request = wanted();
  spec::Mount& mount = request.container.spec.mounts.back();
  mount.uidMappings = mount.gidMappings = {{.containerID = 0, .hostID = 7, .size = 1}};
  auto plan = make_restore_plan(request, root_host());
  ASSERT_TRUE(plan) << plan.error().sentence;
  const auto* step = find<RestoreProcesses>(*plan, "restore");
  EXPECT_THAT(values(*step, "--external"),
              testing::IsSupersetOf({"mnt[/data]:/usr", "mnt[/one]:/sys/fs/cgroup/0"}));
  EXPECT_THAT(values(*step, "--images-dir"), ElementsAre("/images"));
  EXPECT_EQ(find<IdmapTree>(*plan, "idmap:/one")->uids[0].hostID, 7U);
  EXPECT_LT(plan->find("open-tree:/one"), plan->find("idmap:/one"));

  // Without maps of its own: the container's; below the mount with "ridmap" only.
  request = mapped();
  request.container.spec.mounts[1].options = {"rbind", "idmap"};
  plan = make_restore_plan(request, root_host());
  ASSERT_TRUE(plan) << plan.error().sentence;
  EXPECT_EQ(find<IdmapTree>(*plan, "idmap:/data")->uids[0].hostID, 100000U);
  EXPECT_EQ(find<IdmapTree>(*plan, "idmap:/data/local"), nullptr);
  request.container.spec.mounts[1].options = {"rbind", "ridmap"};
  plan = make_restore_plan(request, root_host());
  ASSERT_TRUE(plan) << plan.error().sentence;
  EXPECT_NE(find<IdmapTree>(*plan, "idmap:/data/local"), nullptr);
}

// Not all versions of criu bring these back.
TEST(PlanRestore, AReadOnlyRootAndNoNewPrivilegesStay) {
  RestoreRequest request = wanted();
  request.container.spec.root = {.path = "rootfs", .readonly = true};
  auto plan = make_restore_plan(request, root_host());
  ASSERT_TRUE(plan);
  EXPECT_TRUE(find<RestoreProcesses>(*plan, "restore")->readonly_root);
  EXPECT_EQ(find<RestoreProcesses>(*plan, "restore")->points.front().path, "/tmp");
  EXPECT_TRUE(find<RestoreProcesses>(*plan, "restore")->no_new_privileges);
  EXPECT_TRUE(says(explain_text(*plan, {.colour = false, .width = 4000}),
                   {"as their read-only root", "no way to gain privileges"}));
  EXPECT_TRUE(says(to_script(*plan, root_host()), {"remount,bind,ro", "setpriv --no-new-privs"}));
  request.container.spec.root->readonly = false;
  request.container.spec.process->noNewPrivileges = false;
  plan = make_restore_plan(request, root_host());
  EXPECT_FALSE(find<RestoreProcesses>(*plan, "restore")->readonly_root);
  EXPECT_FALSE(find<RestoreProcesses>(*plan, "restore")->no_new_privileges);
}

TEST(PlanRestore, WhatCannotComeBackIsRefused) {
  RestoreRequest request = wanted();
  EXPECT_TRUE(says(refused(request, user_host()), {"root only"}));
  request.container.spec.process->terminal = true;
  EXPECT_TRUE(says(refused(request), {"process.terminal: the container had no terminal"}));
  request = wanted();
  request.container.spec.hooks.emplace().createRuntime.push_back({.path = "/bin/true"});
  request.place = "/my state/box/criu";
  EXPECT_TRUE(says(refused(request), {"hooks: ", "--root", "/my state/box/criu is none"}));
  request.container.spec.hooks.reset();
  request.container.systemd_cgroup = true;
  EXPECT_TRUE(
      says(refused(request), {"with systemd's cgroup driver criu needs", "/my state/box/criu is none"}));
  request = wanted();
  os(request.container).namespaces.push_back({"user", "/proc/7/ns/user"});
  EXPECT_TRUE(says(refused(request), {"no user namespace that is there already"}));
  HostFacts host = root_host();
  host.cgroup = {};
  request = wanted();
  os(request.container).resources.reset();
  EXPECT_TRUE(says(refused(request, host), {"cgroup of its own"}));
}

}  // namespace
}  // namespace cloche::plan::test
