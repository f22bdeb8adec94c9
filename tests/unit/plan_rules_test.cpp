// One rule of the planner per test: from a field to its steps, or to its refusal.
#include <gtest/gtest.h>

#include "plan/catalog.h"
#include "plan/planner.h"
#include "plan/resources.h"
#include "plan_requests.h"

namespace cloche::plan {
namespace {

using test::basic;
using test::find;
using test::os;
using test::refusal;
using test::says;
using test::with_user_namespace;

TEST(PlanNamespaces, WhatIsNotListedIsShared) {
  const auto plan = make_plan(basic(), test::root_host());
  ASSERT_TRUE(plan);
  EXPECT_EQ(find<CloneProcess>(*plan, "clone")->namespaces,
            (Strings{"mount", "pid", "uts", "ipc", "network"}));
  EXPECT_EQ(plan->find("unshare:cgroup"), plan->steps.size());
  EXPECT_EQ(plan->find("become-root"), plan->steps.size());
}

TEST(PlanNamespaces, JoinedOnesAreEnteredUserFirstAndMountLast) {
  auto request = basic();
  os(request).namespaces = {
      {"mount", "/ns/mnt"}, {"network", "/ns/net"}, {"user", "/ns/user"}, {"pid", "/ns/pid"}};
  const auto plan = make_plan(request, test::root_host());
  ASSERT_TRUE(plan) << plan.error().sentence;
  EXPECT_TRUE(find<CloneProcess>(*plan, "clone")->from_joined);
  EXPECT_LT(plan->find("join:user"), plan->find("join:pid"));
  EXPECT_LT(plan->find("join:network"), plan->find("join:mount"));
  EXPECT_LT(plan->find("join:mount"), plan->find("become-root"));
  // The mounts of whoever made that namespace are not changed.
  EXPECT_EQ(plan->find("mount-propagation"), plan->steps.size());
}

TEST(PlanNamespaces, BadListsAreRefused) {
  auto request = basic();
  os(request).namespaces.push_back({"net", ""});
  EXPECT_TRUE(says(refusal(request), {"linux.namespaces[5].type", "\"net\""}));
  os(request).namespaces.back() = {"pid", ""};
  EXPECT_TRUE(says(refusal(request), {"linux.namespaces[5]", "twice"}));
  os(request).namespaces.back() = {"user", "relative"};
  EXPECT_TRUE(says(refusal(request), {"linux.namespaces[5].path", "absolute"}));
  os(request).namespaces = {{"pid", ""}};
  EXPECT_TRUE(says(refusal(request), {"linux.namespaces", "mount namespace"}));
}

TEST(PlanNamespaces, TheHostIsNotRenamedOrRetuned) {
  auto request = basic();
  std::erase_if(os(request).namespaces, [](const auto& n) { return n.type == "uts" || n.type == "network"; });
  request.spec.hostname = "x";
  EXPECT_TRUE(says(refusal(request), {"hostname", "rename the host"}));
  request.spec.hostname.clear();
  os(request).sysctl["net.ipv4.ip_forward"] = "1";
  EXPECT_TRUE(says(refusal(request), {"linux.sysctl.net.ipv4.ip_forward", "network namespace"}));
  os(request).sysctl = {{"vm.swappiness", "1"}};
  EXPECT_TRUE(says(refusal(request), {"linux.sysctl.vm.swappiness", "whole machine"}));
  os(request).sysctl = {{"kernel/shmmax", "1"}};
  const auto plan = make_plan(request, test::root_host());
  ASSERT_TRUE(plan) << plan.error().sentence;
  EXPECT_EQ(find<WriteSysctl>(*plan, "sysctl:kernel.shmmax")->key, "kernel.shmmax");
  os(request).sysctl = {{"kernel.hostname", "x"}};
  EXPECT_TRUE(says(refusal(request), {"linux.sysctl.kernel.hostname", "would change the host", "uts"}));
}

TEST(PlanNamespaces, TimeOffsetsNeedTheirNamespace) {
  auto request = basic();
  os(request).timeOffsets["boottime"] = {.secs = 5};
  EXPECT_TRUE(says(refusal(request), {"linux.timeOffsets", "time namespace"}));
  os(request).namespaces.push_back({"time", ""});
  EXPECT_EQ(refusal(request), "planned");
  os(request).timeOffsets["realtime"] = {};
  EXPECT_TRUE(says(refusal(request), {"linux.timeOffsets.realtime"}));
}

TEST(PlanIds, MapsOfMoreThan340LinesAreRefusedByNumber) {
  auto request = basic();
  std::vector<spec::IDMapping> map;
  for (uint32_t i = 0; i < 340; ++i) map.push_back({i, 1000 + 2 * i, 1});
  with_user_namespace(request, map);
  EXPECT_EQ(refusal(request), "planned");
  os(request).uidMappings.push_back({340, 200000, 1});
  EXPECT_TRUE(says(refusal(request), {"linux.uidMappings", "340", "341"}));
  // Fewer lines, of longer numbers.
  for (auto& line : map) line.hostID += 700000;
  os(request).uidMappings = map;
  EXPECT_TRUE(says(refusal(request), {"linux.uidMappings", "less than 4096 bytes", "340 lines"}));
}

TEST(PlanIds, ImpossibleMapsAreToldApart) {
  auto request = basic();
  with_user_namespace(request, {});
  EXPECT_TRUE(says(refusal(request), {"linux.uidMappings", "needs an id map"}));
  os(request).gidMappings = {{0, 1, 10}};
  os(request).uidMappings = {{0, 1000, 10}, {5, 5000, 10}};
  EXPECT_TRUE(says(refusal(request), {"linux.uidMappings[1]", "overlaps line 0"}));
  os(request).uidMappings = {{0, 1000, 0}};
  EXPECT_TRUE(says(refusal(request), {"linux.uidMappings[0].size"}));
  os(request).uidMappings = {{0, 4294967290U, 100}};
  EXPECT_TRUE(says(refusal(request), {"linux.uidMappings[0]", "highest id"}));
}

TEST(PlanIds, AnIdOutsideTheMapIsNamedWithTheMap) {
  auto request = basic();
  with_user_namespace(request, {{0, 100000, 1000}});
  request.spec.process->user.uid = 1000;
  EXPECT_TRUE(says(refusal(request), {"process.user.uid", "uid 1000", "0-999"}));
  request.spec.process->user = {.uid = 5, .gid = 5, .additionalGids = {7, 4000}};
  EXPECT_TRUE(says(refusal(request), {"process.user.additionalGids[1]", "gid 4000", "linux.gidMappings"}));
  request.spec.process->user = {};
  request.spec.mounts = {{"/dev/pts", "devpts", "devpts", {"gid=1000"}, {}, {}}};
  EXPECT_TRUE(says(refusal(request), {"mounts[0].options", "gid=1000", "linux.gidMappings"}));
}

TEST(PlanIds, RootlessMapsGoThroughTheHelpersWithinTheUsersRanges) {
  auto request = basic();
  with_user_namespace(request, {{0, 1000, 1}, {1, 100000, 65536}});
  auto host = test::user_host();
  auto plan = make_plan(request, host);
  ASSERT_TRUE(plan) << plan.error().sentence;
  EXPECT_EQ(find<WriteIdMap>(*plan, "uid-map")->writer, "newuidmap");
  EXPECT_EQ(find<WriteIdMap>(*plan, "gid-map")->writer, "newgidmap");
  EXPECT_EQ(plan->find("setgroups-deny"), plan->steps.size());
  host.has_newuidmap = false;
  EXPECT_TRUE(says(refusal(request, host), {"linux.uidMappings", "newuidmap", "uidmap"}));
  host.has_newuidmap = true;
  os(request).uidMappings[1].size = 65537;
  EXPECT_TRUE(says(refusal(request, host), {"linux.uidMappings", "100000-165536", "/etc/subuid", "ann"}));
}

TEST(PlanIds, TheSingleOwnIdIsWrittenDirectlyAndDeniesSetgroups) {
  auto request = basic();
  with_user_namespace(request, {{0, 1000, 1}});
  auto host = test::user_host();
  host.has_newuidmap = host.has_newgidmap = false;
  const auto plan = make_plan(request, host);
  ASSERT_TRUE(plan) << plan.error().sentence;
  EXPECT_EQ(find<WriteIdMap>(*plan, "gid-map")->writer, "direct");
  EXPECT_LT(plan->find("setgroups-deny"), plan->find("gid-map"));
  EXPECT_FALSE(find<BecomeRoot>(*plan, "become-root")->clear_groups);
  EXPECT_FALSE(find<SetUser>(*plan, "user")->set_groups);
  request.spec.process->user.additionalGids = {0};
  EXPECT_TRUE(says(refusal(request, host), {"process.user.additionalGids", "setgroups"}));
}

TEST(PlanIds, RootlessNeedsAUserNamespaceAndIsToldHow) {
  EXPECT_TRUE(
      says(refusal(basic(), test::user_host()), {"linux.namespaces", "user namespace", "spec --rootless"}));
  EXPECT_EQ(refusal(basic(), test::engine_namespace_host()), "planned");
}

TEST(PlanMounts, OptionsAreSortedByWhatTheKernelCallsThem) {
  auto request = basic();
  request.spec.mounts = {
      {"/t", "tmpfs", "tmpfs", {"noatime", "relatime", "size=1m", "sync", "ro", "rw", "slave"}, {}, {}},
      {"b/./c/", "bind", "/src", {"ro", "rro", "rnosuid", "suid", "rshared"}, {}, {}},
      {"/b/c", "none", "/src2", {"rbind", "rrw"}, {}, {}}};
  const auto plan = make_plan(request, test::root_host());
  ASSERT_TRUE(plan) << plan.error().sentence;
  const auto* tmpfs = find<MountFs>(*plan, "mount:/t");
  ASSERT_NE(tmpfs, nullptr);
  EXPECT_EQ(tmpfs->attributes, Strings{"relatime"});
  EXPECT_EQ(tmpfs->options, (Strings{"size=1m", "sync"}));
  EXPECT_EQ(tmpfs->propagation, "slave");
  const auto* bind = find<BindMount>(*plan, "mount:/b/c");
  ASSERT_NE(bind, nullptr);
  EXPECT_FALSE(bind->recursive);
  EXPECT_EQ(bind->attributes, Strings{"ro"});
  EXPECT_EQ(bind->cleared, Strings{"nosuid"});
  EXPECT_EQ(bind->recursive_attributes, (Strings{"ro", "nosuid"}));
  EXPECT_EQ(bind->propagation, "rshared");
  const auto* second = find<BindMount>(*plan, "mount:/b/c#2");
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(second->recursive_cleared, Strings{"ro"});
  EXPECT_EQ(second->propagation, "rprivate");
  // As peers of the host's the mounts made here would reach it: only what is shared on purpose stays one.
  EXPECT_EQ(find<SetPropagation>(*plan, "mount-propagation")->propagation, "slave");
  ASSERT_NE(find<OpenTree>(*plan, "open-tree:/b/c"), nullptr);
  EXPECT_TRUE(find<OpenTree>(*plan, "open-tree:/b/c")->peer);
  with_user_namespace(request, {{0, 100000, 65536}});
  EXPECT_TRUE(says(refusal(request), {"mounts[1].options", "rshared", "rslave"}));
}

TEST(PlanImage, ContainsNoIdsButSubordinateOnes) {
  auto request = basic();
  request.root = HostRoot{.scratch = "/run/cloche/scratch", .shown = {}, .size = {}};
  for (const auto& bad : {spec::IDMapping{0, 0, 1}, {0, 1000, 1}, {0, 524288, 65537}, {0, 524287, 2}}) {
    auto wrong = request;
    with_user_namespace(wrong, {bad});
    EXPECT_TRUE(says(refusal(wrong), {"linux.uidMappings", "subordinate", "524288-589823"})) << bad.hostID;
    os(wrong).uidMappings = {{0, 524288, 65536}};
    EXPECT_TRUE(says(refusal(wrong), {"linux.gidMappings", "subordinate"})) << bad.hostID;
  }
  with_user_namespace(request, {{0, 524298, 10}, {10, 524288, 10}});
  EXPECT_EQ(refusal(request), "planned");
}

TEST(PlanMounts, WhatWouldLoseItsMeaningIsRefused) {
  const auto refused = [](spec::Mount mount) {
    auto request = basic();
    request.spec.mounts = {std::move(mount)};
    return refusal(request);
  };
  EXPECT_TRUE(says(refused({"/a", "tmpfs", "", {"remount"}, {}, {}}), {"mounts[0].options", "remount"}));
  EXPECT_TRUE(says(refused({"/a", "bind", "/x", {"size=5"}, {}, {}}), {"mounts[0].options", "size=5"}));
  EXPECT_TRUE(says(refused({"/a", "bind", "", {}, {}, {}}), {"mounts[0].source"}));
  EXPECT_TRUE(says(refused({"/a", "bind", "x", {}, {}, {}}), {"mounts[0].source", "absolute"}));
  EXPECT_TRUE(says(refused({"/a", "", "x", {}, {}, {}}), {"mounts[0].type"}));
  EXPECT_TRUE(says(refused({"/", "tmpfs", "x", {}, {}, {}}), {"mounts[0].destination"}));
  EXPECT_TRUE(says(refused({"/a", "tmpfs", "x", {"idmap"}, {}, {}}), {"mounts[0]", "bind"}));
  EXPECT_TRUE(
      says(refused({"/a", "bind", "/x", {"idmap"}, {}, {}}), {"mounts[0].options", "user namespace"}));
}

TEST(PlanMounts, IdmapNeedsRoot) {
  auto request = basic();
  with_user_namespace(request, {{0, 1000, 1}});
  request.spec.mounts = {{"/a", "bind", "/x", {"idmap"}, {}, {}}};
  EXPECT_TRUE(says(refusal(request, test::user_host()), {"mounts[0]", "root on the host"}));
}

TEST(PlanMounts, SharedNamespacesShowTheHostsInstance) {
  auto request = basic();
  with_user_namespace(request, {{0, 1000, 1}});
  std::erase_if(os(request).namespaces, [](const auto& n) { return n.type == "network"; });
  request.spec.mounts = {{"/proc", "proc", "proc", {}, {}, {}}, {"/sys", "sysfs", "sysfs", {"ro"}, {}, {}}};
  const auto plan = make_plan(request, test::user_host());
  ASSERT_TRUE(plan) << plan.error().sentence;
  EXPECT_NE(find<MountFs>(*plan, "mount:/proc"), nullptr);
  const auto* sys = find<BindMount>(*plan, "mount:/sys");
  ASSERT_NE(sys, nullptr);
  EXPECT_EQ(sys->source, "/sys");
  EXPECT_EQ(sys->recursive_attributes, Strings{"ro"});
}

TEST(PlanDevices, DevIsTheRuntimesEvenWhenTheConfigHasNone) {
  auto request = basic();
  request.spec.mounts = {{"/proc", "proc", "proc", {}, {}, {}}, {"/dev/shm", "tmpfs", "shm", {}, {}, {}}};
  const auto plan = make_plan(request, test::root_host());
  ASSERT_TRUE(plan);
  EXPECT_LT(plan->find("mount:/proc"), plan->find("mount:/dev"));
  EXPECT_LT(plan->find("mount:/dev"), plan->find("mount:/dev/shm"));
  EXPECT_EQ(find<MakeDevice>(*plan, "device:/dev/null")->how, "mknod");
}

TEST(PlanDevices, AUserNamespaceBindsThemAndTheConfigHasTheLastWord) {
  auto request = basic();
  with_user_namespace(request, {{0, 100000, 10}});
  os(request).devices = {{.path = "/dev/null", .type = "u", .major = 1, .minor = 3, .fileMode = 0600},
                         {.path = "/dev/pipe", .type = "p"}};
  const auto plan = make_plan(request, test::root_host());
  ASSERT_TRUE(plan) << plan.error().sentence;
  EXPECT_EQ(find<MakeDevice>(*plan, "device:/dev/zero")->how, "bind");
  EXPECT_EQ(find<MakeDevice>(*plan, "device:/dev/null")->mode, 0600U);
  EXPECT_EQ(find<MakeDevice>(*plan, "device:/dev/pipe")->how, "mknod");
  EXPECT_EQ(plan->find("device:/dev/null#2"), plan->steps.size());
  os(request).devices = {{.path = "/dev/x", .type = "c", .major = 1}};
  EXPECT_TRUE(says(refusal(request), {"linux.devices[0].major"}));
}

TEST(PlanProcess, SeccompIsLateWithNoNewPrivilegesAndEarlyWithout) {
  auto request = basic();
  request.default_seccomp = true;
  auto plan = make_plan(request, test::root_host());
  ASSERT_TRUE(plan);
  EXPECT_GT(plan->find("seccomp"), plan->find("no-new-privs"));
  EXPECT_EQ(find<LoadSeccomp>(*plan, "seccomp")->profile, "default");
  request.spec.process->noNewPrivileges = false;
  plan = make_plan(request, test::root_host());
  ASSERT_TRUE(plan);
  EXPECT_LT(plan->find("seccomp"), plan->find("user"));
  EXPECT_LT(plan->find("seccomp"), plan->find("capabilities"));
}

TEST(PlanProcess, WithoutCapabilitiesInTheConfigThereAreNone) {
  const auto plan = make_plan(basic(), test::root_host());
  ASSERT_TRUE(plan);
  EXPECT_TRUE(find<LimitBoundingSet>(*plan, "bounding-set")->keep.empty());
  EXPECT_TRUE(find<SetCapabilities>(*plan, "capabilities")->permitted.empty());
}

// What a program's file may give with no_new_privs is what the process that executes it has: it must be the runtime.
TEST(PlanProcess, CapabilitiesForAProgramsFileNeedTheRuntimesOwnExec) {
  auto request = basic();
  auto& process = *request.spec.process;
  process.capabilities.emplace().bounding = {"CAP_NET_BIND_SERVICE"};
  process.capabilities->permitted = {"CAP_NET_BIND_SERVICE"};
  EXPECT_FALSE(needs_sealed_program(request.spec)) << "root has them after any exec";
  process.user.uid = 101;
  EXPECT_TRUE(needs_sealed_program(request.spec));
  auto host = test::root_host();
  host.sealed_program = true;
  const auto plan = make_plan(request, host);
  ASSERT_TRUE(plan) << plan.error().sentence;
  EXPECT_FALSE(find<Execute>(*plan, "exec")->sealed);
  process.noNewPrivileges = false;
  EXPECT_FALSE(needs_sealed_program(request.spec)) << "then the file gives them whoever executes it";
  process.noNewPrivileges = true;
  process.capabilities->inheritable = process.capabilities->ambient = process.capabilities->permitted;
  EXPECT_FALSE(needs_sealed_program(request.spec)) << "these are kept over every exec";
}

TEST(PlanProcess, RestrictionsThatTheHostLacksAreRefused) {
  auto request = basic();
  request.spec.process->apparmorProfile = "docker-default";
  // A label is taken on by the next exec, so that one has to be the command's: the runtime needs a sealed file instead.
  EXPECT_TRUE(says(refusal(request), {"sealed copy"}));
  auto sealed = test::root_host();
  sealed.sealed_program = true;
  EXPECT_EQ(refusal(request, sealed), "planned");
  EXPECT_TRUE(
      says(refusal(request, test::hybrid_host()), {"process.apparmorProfile", "docker-default", "AppArmor"}));
  request.spec.process->apparmorProfile.clear();
  request.spec.process->selinuxLabel = "system_u:system_r:container_t:s0";
  EXPECT_TRUE(says(refusal(request), {"process.selinuxLabel", "SELinux"}));
}

TEST(PlanProcess, BadValuesAreRefusedByField) {
  const auto with = [](auto change) {
    auto request = basic();
    change(*request.spec.process);
    return refusal(request);
  };
  EXPECT_TRUE(says(with([](auto& p) { p.args.clear(); }), {"process.args"}));
  EXPECT_TRUE(says(with([](auto& p) { p.cwd = "tmp"; }), {"process.cwd", "absolute"}));
  EXPECT_TRUE(says(with([](auto& p) { p.env = {"X"}; }), {"process.env[0]"}));
  EXPECT_TRUE(says(with([](auto& p) { p.rlimits = {{"RLIMIT_X", 1, 1}}; }), {"process.rlimits[0].type"}));
  EXPECT_TRUE(says(with([](auto& p) { p.rlimits = {{"RLIMIT_CPU", 1, 2}}; }), {"process.rlimits[0].soft"}));
  EXPECT_TRUE(says(with([](auto& p) { p.oomScoreAdj = 1001; }), {"process.oomScoreAdj"}));
  EXPECT_TRUE(says(with([](auto& p) { p.user.umask = 01000; }), {"process.user.umask"}));
  EXPECT_TRUE(
      says(with([](auto& p) { p.scheduler.emplace().policy = "FIFO"; }), {"process.scheduler.policy"}));
  EXPECT_TRUE(says(with([](auto& p) { p.capabilities.emplace().effective = {"CAP_KILL"}; }),
                   {"process.capabilities.effective", "CAP_KILL"}));
}

TEST(PlanProcess, WhatIsNotThereYetIsRefused) {
  const auto with = [](auto change) {
    auto request = basic();
    change(*request.spec.linux_);
    return refusal(request);
  };
  EXPECT_TRUE(
      says(with([](auto& l) { l.rootfsPropagation = "sticky"; }), {"linux.rootfsPropagation", "sticky"}));
}

spec::Seccomp filter_with_an_agent() {
  return {.defaultAction = "SCMP_ACT_ALLOW",
          .listenerPath = "/run/agent.sock",
          .syscalls = {{.names = {"mkdir"}, .action = "SCMP_ACT_NOTIFY"}}};
}

TEST(PlanListener, IsConnectedBeforeTheCloneAndSentByTheFilter) {
  auto request = basic();
  request.spec.linux_->seccomp = filter_with_an_agent();
  request.spec.hooks.emplace().startContainer = {{.path = "/hook"}};
  const auto plan = make_plan(request, test::root_host());
  ASSERT_TRUE(plan);
  EXPECT_EQ(find<ConnectListener>(*plan, "seccomp-listener")->path, "/run/agent.sock");
  EXPECT_LT(plan->find("seccomp-listener"), plan->find("clone"));
  EXPECT_EQ(plan->steps[plan->find("seccomp-listener")].why.from, "linux.seccomp.listenerPath");
  EXPECT_LT(plan->find("seccomp"), plan->find("hooks:startContainer")) << "the hooks inherit it";
  EXPECT_TRUE(says(describe(plan->steps[plan->find("seccomp")]), {"listener"}));
}

TEST(PlanListener, WithoutCallsForItIsNotConnected) {
  auto request = basic();
  request.spec.linux_->seccomp = filter_with_an_agent();
  request.spec.linux_->seccomp->syscalls[0].action = "SCMP_ACT_ERRNO";
  const auto plan = make_plan(request, test::root_host());
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->find("seccomp-listener"), plan->steps.size());
  EXPECT_TRUE(std::ranges::any_of(
      plan->notes, [](const Note& note) { return note.subject == "linux.seccomp.listenerPath"; }));
}

TEST(PlanListener, WhatCannotWorkIsRefused) {
  const auto with = [](auto change, const HostFacts& facts = test::root_host()) {
    auto request = basic();
    request.spec.linux_->seccomp = filter_with_an_agent();
    change(*request.spec.linux_->seccomp);
    return refusal(request, facts);
  };
  EXPECT_TRUE(says(with([](auto& s) { s.listenerPath.clear(); }), {"linux.seccomp.listenerPath", "socket"}));
  EXPECT_TRUE(
      says(with([](auto& s) { s.defaultAction = "SCMP_ACT_NOTIFY"; }), {"linux.seccomp.defaultAction"}));
  const auto killable = [](auto& s) { s.flags = {"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"}; };
  auto host = test::root_host();
  host.kernel = {5, 19};
  EXPECT_EQ(with(killable, host), "planned");
  host.kernel = {5, 18};
  EXPECT_TRUE(says(with(killable, host), {"linux.seccomp.flags", "5.19", "5.18"}));
  EXPECT_TRUE(says(with([&](auto& s) {
                     killable(s);
                     s.syscalls.clear();
                   }),
                   {"linux.seccomp.flags", "SCMP_ACT_NOTIFY"}));
}

TEST(PlanNetDevices, AreMovedRightAfterTheClone) {
  auto request = basic();
  os(request).netDevices = {{"eth7", {.name = "inside"}}, {"eth8", {}}};
  const auto plan = make_plan(request, test::root_host());
  ASSERT_TRUE(plan);
  const auto* moved = find<MoveNetDevice>(*plan, "net-device:eth7");
  EXPECT_EQ(moved->device + " " + moved->name + " " + moved->network, "eth7 inside ");
  EXPECT_EQ(find<MoveNetDevice>(*plan, "net-device:eth8")->name, "eth8");
  EXPECT_EQ(plan->find("net-device:eth7"), plan->find("clone") + 1);
  EXPECT_EQ(plan->steps[plan->find("net-device:eth7")].why.from, "linux.netDevices.eth7");
}

TEST(PlanNetDevices, WhatCannotBeMovedIsRefused) {
  const auto with = [](std::map<std::string, spec::NetDevice> devices) {
    auto request = basic();
    os(request).netDevices = std::move(devices);
    return refusal(request);
  };
  EXPECT_EQ(with({{"eth0", {.name = "eth%d"}}, {"eth1", {.name = "eth%d"}}}), "planned");
  for (const char* name : {"sixteen-and-more", "a/b", "a b", "..", "a%s", "%d%d", "a:1"})
    EXPECT_TRUE(says(with({{"eth0", {.name = name}}}), {"linux.netDevices.eth0.name"})) << name;
  EXPECT_TRUE(says(with({{"eth%d", {}}}), {"linux.netDevices.eth%d"}));
  EXPECT_TRUE(says(with({{"eth0", {.name = "lo"}}}), {"linux.netDevices.eth0.name", "two devices \"lo\""}));
  EXPECT_TRUE(says(with({{"eth0", {.name = "x"}}, {"eth1", {.name = "x"}}}), {"linux.netDevices.eth1.name"}));
  auto request = basic();
  os(request).netDevices["eth0"];
  std::erase_if(os(request).namespaces, [](const spec::Namespace& ns) { return ns.type == "network"; });
  EXPECT_TRUE(says(refusal(request), {"linux.netDevices", "network"}));
}

TEST(PlanWhy, TheLongestProvenanceCoversAField) {
  auto request = basic();
  os(request).resources.emplace().pids.emplace().limit = 5;
  os(request).resources->memory.emplace().limit = 7;
  request.provenance["linux.resources"] = {Why::Kind::standard, "careful"};
  request.provenance["linux.resources.pids"] = {Why::Kind::flag, "--pids-limit 5"};
  request.provenance["linux.resources.mem"] = {Why::Kind::flag, "not a whole word"};
  const auto plan = make_plan(request, test::root_host());
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->steps[plan->find("cgroup-pids-max")].why.from, "--pids-limit 5");
  EXPECT_EQ(plan->steps[plan->find("cgroup-memory-max")].why.from, "careful");
  EXPECT_EQ(plan->steps[plan->find("clone")].why.from, "linux.namespaces");
}

TEST(PlanHostImage, NeedsANewUserNamespace) {
  auto request = basic();
  request.root = HostRoot{.scratch = "/run/cloche/s"};
  EXPECT_TRUE(says(refusal(request), {"linux.namespaces", "user namespace"}));
}

TEST(PlanHostImage, WhatIsShownIsReadOnlyAndNotCovered) {
  auto request = basic();
  with_user_namespace(request, {{0, 524288, 65536}});
  request.root = HostRoot{.scratch = "/run/cloche/s", .shown = {"/home"}};
  const auto plan = make_plan(request, test::root_host());
  ASSERT_TRUE(plan) << plan.error().sentence;
  const auto* home = find<BindMount>(*plan, "mount:/home");
  ASSERT_NE(home, nullptr);
  EXPECT_EQ(home->recursive_attributes, Strings{"ro"});
  EXPECT_NE(find<MountFs>(*plan, "mount:/root"), nullptr);
  request.root = HostRoot{.scratch = "/run/cloche/s", .shown = {"/"}};
  EXPECT_TRUE(says(refusal(request), {"root", "cannot be shown"}));
}

TEST(PlanHostImage, RootlessShowsNeitherPrivateDirectoriesNorHomes) {
  auto request = basic();
  with_user_namespace(request, {{0, 1000, 1}});
  request.root = HostRoot{.scratch = "/run/user/1000/cloche/s"};
  auto host = test::user_host();
  host.home = "/data/ann";
  host.root_entries.push_back({"data", RootEntry::Kind::directory, "", 0755, 0});
  const auto plan = make_plan(request, host);
  ASSERT_TRUE(plan) << plan.error().sentence;
  for (const char* id : {"directory:/root", "directory:/home", "directory:/srv", "directory:/run"})
    EXPECT_NE(find<MakeDirectory>(*plan, id), nullptr) << id;
  for (const char* id : {"mask:/data/ann", "mask:/var/mail"})
    EXPECT_NE(find<MaskPath>(*plan, id), nullptr) << id;
  EXPECT_EQ(plan->find("mount:/home"), plan->steps.size());
  EXPECT_NE(find<MountOverlay>(*plan, "overlay:/var"), nullptr);
  EXPECT_NE(find<BindMount>(*plan, "mount:/usr"), nullptr);
}

TEST(PlanExec, JoinsThenRestrictsThenExecutes) {
  ExecRequest request{.id = "t", .process = *basic().spec.process, .cgroup = "/sys/fs/cgroup/cloche-t"};
  request.namespaces = {{"user", "/proc/9/ns/user"}, {"pid", "/proc/9/ns/pid"}, {"mount", "/proc/9/ns/mnt"}};
  request.user_namespace = true;
  const auto plan = make_exec_plan(request, test::root_host());
  ASSERT_TRUE(plan) << plan.error().sentence;
  EXPECT_EQ(plan->steps[0].id, "clone");
  EXPECT_TRUE(find<CloneProcess>(*plan, "clone")->from_joined);
  Strings ids;
  for (const auto& step : plan->steps) ids.push_back(step.id);
  EXPECT_EQ(ids, (Strings{"clone", "join:user", "join:pid", "join:mount", "become-root", "signals", "session",
                          "command", "bounding-set", "cwd", "user", "capabilities", "no-new-privs",
                          "close-fds", "exec"}));
  request.setgroups_denied = true;
  request.process.user.additionalGids = {3};
  EXPECT_FALSE(make_exec_plan(request, test::root_host()));
}

}  // namespace
}  // namespace cloche::plan
