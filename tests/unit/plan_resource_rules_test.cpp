// Limits and the cgroup: one rule of the planner per test, from a field to its steps, or to its refusal.
#include <gtest/gtest.h>

#include "plan/catalog.h"
#include "plan/planner.h"
#include "plan/resources.h"
#include "plan_requests.h"

namespace cloche::plan {
namespace {

using test::basic;
using test::cgroup_value;
using test::find;
using test::os;
using test::refusal;
using test::says;
using test::with_user_namespace;

TEST(PlanResources, MemoryAndSwapAreTheirDifference) {
  auto request = basic();
  auto& memory = os(request).resources.emplace().memory.emplace();
  memory.limit = 100;
  memory.swap = 250;
  EXPECT_EQ(cgroup_value(request, "cgroup-memory-max"), "100");
  EXPECT_EQ(cgroup_value(request, "cgroup-memory-swap-max"), "150");
  memory.swap = 100;
  EXPECT_EQ(cgroup_value(request, "cgroup-memory-swap-max"), "0");
  memory.swap = -1;
  EXPECT_EQ(cgroup_value(request, "cgroup-memory-swap-max"), "max");
  memory.swap = 99;
  EXPECT_TRUE(says(refusal(request), {"linux.resources.memory.swap", "less than"}));
  memory.limit.reset();
  EXPECT_TRUE(says(refusal(request), {"linux.resources.memory.swap", "memory.limit"}));
}

TEST(PlanResources, ZeroIsNotSetAndMinusOneIsUnlimited) {
  auto request = basic();
  auto& resources = os(request).resources.emplace();
  resources.memory.emplace().limit = 0;
  resources.cpu.emplace().shares = 0;
  EXPECT_EQ(cgroup_value(request, "cgroup-memory-max"), "not there");
  EXPECT_EQ(cgroup_value(request, "cgroup-cpu-weight"), "not there");
  resources.memory->limit = -1;
  EXPECT_EQ(cgroup_value(request, "cgroup-memory-max"), "max");
  resources.pids.emplace().limit = -1;
  EXPECT_EQ(cgroup_value(request, "cgroup-pids-max"), "max");
}

TEST(PlanResources, CpuQuotaAndPeriodAreOneLine) {
  auto request = basic();
  auto& cpu = os(request).resources.emplace().cpu.emplace();
  cpu.quota = 50000;
  EXPECT_EQ(cgroup_value(request, "cgroup-cpu-max"), "50000");
  cpu.period = 20000;
  EXPECT_EQ(cgroup_value(request, "cgroup-cpu-max"), "50000 20000");
  cpu.quota = -1;
  EXPECT_EQ(cgroup_value(request, "cgroup-cpu-max"), "max 20000");
}

TEST(PlanResources, WeightsCoverTheWholeRange) {
  EXPECT_EQ(weight_from_shares(2), 1U);
  EXPECT_EQ(weight_from_shares(512), 59U);
  EXPECT_EQ(weight_from_shares(1024), 100U);
  EXPECT_EQ(weight_from_shares(2000), 170U);
  EXPECT_EQ(weight_from_shares(262144), 10000U);
  EXPECT_EQ(weight_from_shares(1), 1U);
  EXPECT_EQ(weight_from_blkio(10), 1U);
  EXPECT_EQ(weight_from_blkio(1000), 10000U);
}

TEST(PlanResources, AControllerOnV1IsNamedWithItsPlaceAndTheWayOut) {
  auto request = basic();
  os(request).resources.emplace().memory.emplace().limit = 1 << 20;
  EXPECT_TRUE(says(refusal(request, test::hybrid_host()),
                   {"linux.resources.memory.limit", "memory.max", "/sys/fs/cgroup/memory",
                    "systemd.unified_cgroup_hierarchy=1", "cgroup_no_v1=memory"}));
  os(request).resources.emplace().blockIO.emplace().weight = 100;
  EXPECT_TRUE(says(refusal(request, test::hybrid_host()), {"io.weight", "/sys/fs/cgroup/blkio"}));
}

TEST(PlanResources, WithoutLimitsAHybridHostIsEnough) {
  auto request = basic();
  os(request).resources.emplace().devices = {{.allow = false, .access = "rwm"}};
  EXPECT_EQ(refusal(request, test::hybrid_host()), "planned");
}

TEST(PlanResources, ALimitWithoutDelegationSaysHowToGetIt) {
  auto request = basic();
  with_user_namespace(request, {{0, 1000, 1}});
  os(request).resources.emplace().pids.emplace().limit = 5;
  EXPECT_TRUE(says(refusal(request, test::user_host()),
                   {"linux.resources.pids.limit", "pids", "Delegate=yes", "ann"}));
}

TEST(PlanResources, NoCgroupCanBeMadeIsANoteWithoutLimitsAndARefusalWithOne) {
  auto request = basic();
  with_user_namespace(request, {{0, 1000, 1}});
  auto host = test::user_host();
  host.cgroup.writable = false;
  const auto plan = make_plan(request, host);
  ASSERT_TRUE(plan) << plan.error().sentence;
  EXPECT_EQ(find<CreateCgroup>(*plan, "cgroup"), nullptr);
  EXPECT_EQ(find<CloneProcess>(*plan, "clone")->cgroup, "");
  ASSERT_FALSE(plan->notes.empty());
  EXPECT_EQ(plan->notes[0].subject, "cgroup");
  host.cgroup.controllers = {"pids"};
  os(request).resources.emplace().pids.emplace().limit = 5;
  EXPECT_TRUE(says(refusal(request, host), {"linux.resources.pids.limit", "Delegate=yes"}));
}

// cgroups(7), "no internal processes": what has some hands nothing down.
TEST(PlanResources, ACallerAloneInItsDelegatedCgroupMovesAside) {
  auto request = basic();
  with_user_namespace(request, {{0, 1000, 1}});
  os(request).resources.emplace().pids.emplace().limit = 5;
  auto host = test::user_host();
  const auto own = "/sys/fs/cgroup" + host.cgroup.own;
  host.cgroup.controllers = {"pids", "memory"};
  const auto plan = make_plan(request, host);
  ASSERT_TRUE(plan) << plan.error().sentence;
  ASSERT_NE(find<LeaveCgroup>(*plan, "caller-cgroup"), nullptr);
  EXPECT_EQ(find<LeaveCgroup>(*plan, "caller-cgroup")->leaf, own + "/cloche-caller");
  EXPECT_LT(plan->find("caller-cgroup"), plan->find("cgroup-controllers"));

  host.cgroup.strangers = 2;
  EXPECT_TRUE(says(refusal(request, host),
                   {"linux.resources.pids.limit", own.c_str(), "2 other processes", "Delegate=yes"}));
  host.cgroup.handed_down = {"pids"};
  const auto given = make_plan(request, host);
  ASSERT_TRUE(given) << given.error().sentence;
  EXPECT_EQ(find<LeaveCgroup>(*given, "caller-cgroup"), nullptr);
}

TEST(PlanResources, WhatV2CannotHoldIsRefused) {
  auto request = basic();
  auto& resources = os(request).resources.emplace();
  resources.network.emplace().classID = 7;
  EXPECT_TRUE(says(refusal(request), {"linux.resources.network.classID"}));
  resources.network.emplace().priorities = {{.name = "eth0", .priority = 1}};
  EXPECT_TRUE(says(refusal(request), {"linux.resources.network.priorities"}));
  resources.network.reset();
  resources.cpu.emplace().realtimeRuntime = 5;
  EXPECT_TRUE(says(refusal(request), {"linux.resources.cpu.realtimeRuntime"}));
  resources.cpu.emplace().realtimePeriod = 5;
  EXPECT_TRUE(says(refusal(request), {"linux.resources.cpu.realtimeRuntime", "realtimePeriod"}));
  resources.cpu.reset();
  resources.memory.emplace().kernelTCP = 5;
  EXPECT_TRUE(says(refusal(request), {"linux.resources.memory.kernelTCP"}));
  resources.memory.emplace().kernel = 5;
  EXPECT_TRUE(says(refusal(request), {"linux.resources.memory.kernel", "memory.limit"}));
}

TEST(PlanResources, WhatOnlyTunesOnV1IsANote) {
  auto request = basic();
  auto& resources = os(request).resources.emplace();
  const auto subjects = [&] {
    const auto plan = make_plan(request, test::root_host());
    std::string all;
    if (plan)
      for (const Note& note : plan->notes) all += note.subject + " ";
    return all;
  };
  resources.memory.emplace().swappiness = 10;
  EXPECT_EQ(subjects(), "memory.swappiness ");
  resources.memory.emplace().disableOOMKiller = true;
  EXPECT_EQ(subjects(), "memory.disableOOMKiller ");
  resources.memory.emplace() = {.limit = 1 << 30, .kernel = 1 << 20};
  EXPECT_EQ(subjects(), "memory.kernel ");
  // v2 always counts a cgroup's children with it.
  resources.memory.emplace().useHierarchy = true;
  EXPECT_EQ(subjects(), "");
  resources.memory.reset();
  resources.blockIO.emplace().leafWeight = 500;
  EXPECT_EQ(subjects(), "blockIO.leafWeight ");
  resources.blockIO.emplace().weightDevice = {{.major = 8, .minor = 0, .leafWeight = 500}};
  EXPECT_EQ(subjects(), "blockIO.leafWeight ");
}

TEST(PlanResources, RdmaIsOneLineADevice) {
  auto request = basic();
  auto& resources = os(request).resources.emplace();
  resources.rdma["mlx5_0"] = {.hcaHandles = 3, .hcaObjects = 10000};
  resources.rdma["mlx5_1"] = {.hcaHandles = {}, .hcaObjects = 7};
  resources.rdma["mlx5_2"] = {};
  EXPECT_EQ(cgroup_value(request, "cgroup-rdma-max"), "mlx5_0 hca_handle=3 hca_object=10000");
  EXPECT_EQ(cgroup_value(request, "cgroup-rdma-max#2"), "mlx5_1 hca_object=7");
  EXPECT_EQ(cgroup_value(request, "cgroup-rdma-max#3"), "not there");
}

TEST(PlanResources, EveryDeviceHasItsLineOfEachLimit) {
  auto request = basic();
  auto& io = os(request).resources.emplace().blockIO.emplace();
  io.weightDevice = {{.major = 8, .minor = 16, .weight = 10}};
  io.throttleReadBpsDevice = {{.major = 8, .minor = 0, .rate = 1}};
  io.throttleWriteBpsDevice = {{.major = 8, .minor = 1, .rate = 2}};
  io.throttleReadIOPSDevice = {{.major = 8, .minor = 2, .rate = 3}};
  io.throttleWriteIOPSDevice = {{.major = 8, .minor = 3, .rate = 0}};
  EXPECT_EQ(cgroup_value(request, "cgroup-io-weight"), "8:16 1");
  EXPECT_EQ(find<WriteCgroup>(*make_plan(request, test::root_host()), "cgroup-io-weight")->bfq, "8:16 10");
  EXPECT_EQ(cgroup_value(request, "cgroup-io-max"), "8:0 rbps=1");
  EXPECT_EQ(cgroup_value(request, "cgroup-io-max#2"), "8:1 wbps=2");
  EXPECT_EQ(cgroup_value(request, "cgroup-io-max#3"), "8:2 riops=3");
  EXPECT_EQ(cgroup_value(request, "cgroup-io-max#4"), "8:3 wiops=max") << "0 takes a limit away";
}

// Without its controller a cgroup counts nothing.
TEST(PlanCgroup, ControllersAreHandedDownForTheCountersToo) {
  auto request = basic();
  const auto counters = [&](const HostFacts& host) {
    const auto plan = make_plan(request, host);
    const auto* enabled = plan ? find<EnableControllers>(*plan, "cgroup-counters") : nullptr;
    if (enabled == nullptr) return std::string("none");
    EXPECT_TRUE(enabled->only_count);
    std::string names;
    for (const std::string& name : enabled->controllers) names += (names.empty() ? "" : " ") + name;
    return enabled->from + ": " + names;
  };
  HostFacts host = test::root_host();
  host.cgroup.handed_down = {};
  EXPECT_EQ(counters(host), "/sys/fs/cgroup: cpu io memory pids");
  host.cgroup.handed_down = {"cpu", "io", "memory", "pids"};
  EXPECT_EQ(counters(host), "none") << "they are there";
  os(request).cgroupsPath = "/engine/box";
  EXPECT_EQ(counters(host), "/sys/fs/cgroup: cpu io memory pids") << "nothing is known of the one between";
  os(request).resources.emplace().memory.emplace().limit = 1 << 20;
  EXPECT_EQ(counters(host), "/sys/fs/cgroup: cpu io pids");
  os(request).cgroupsPath.clear();
  os(request).resources.reset();
  host.cgroup.controllers = {"hugetlb"};
  EXPECT_EQ(counters(host), "none");
  HostFacts user = test::user_host();
  user.cgroup.controllers = {"cpu", "memory", "pids"};
  user.cgroup.handed_down = {};
  EXPECT_EQ(counters(user), "none") << "the caller would have to leave its cgroup";
}

TEST(PlanResources, UnifiedNamesFilesNotPathsOrActions) {
  for (const char* bad : {"memory", "../memory.max", "memory.max/x", ".max", "memory..max", "cgroup.procs",
                          "cgroup.kill", "cgroup.subtree_control"}) {
    auto request = basic();
    os(request).resources.emplace().unified[bad] = "1";
    EXPECT_TRUE(says(refusal(request), {"linux.resources.unified."})) << bad;
  }
  auto request = basic();
  os(request).resources.emplace().unified["nosuch.max"] = "1";
  EXPECT_TRUE(says(refusal(request), {"nosuch controller"}));
}

TEST(PlanResources, AUnifiedLineKeepsTheLinesOfOtherDevices) {
  auto request = basic();
  auto& resources = os(request).resources.emplace();
  resources.blockIO.emplace().throttleReadBpsDevice = {{8, 16, 600}};
  resources.unified["io.max"] = "8:0 rbps=1";
  EXPECT_EQ(cgroup_value(request, "cgroup-io-max"), "8:16 rbps=600");
  EXPECT_EQ(cgroup_value(request, "cgroup-io-max#2"), "8:0 rbps=1");
}

TEST(PlanCgroup, PathsStayBelowTheMount) {
  auto request = basic();
  const auto path = [&](const char* wanted) {
    os(request).cgroupsPath = wanted;
    const auto plan = make_plan(request, test::root_host());
    if (!plan) return plan.error().sentence;
    const auto* made = find<CreateCgroup>(*plan, "cgroup");
    return made != nullptr ? made->path : std::string("no cgroup");
  };
  EXPECT_EQ(path(""), "/sys/fs/cgroup/cloche-t");
  EXPECT_EQ(path("/a//b/"), "/sys/fs/cgroup/a/b");
  EXPECT_EQ(path("a/b"), "/sys/fs/cgroup/a/b");
  EXPECT_TRUE(says(path("/a/../../b"), {".."}));
  EXPECT_TRUE(says(path("/"), {"root cgroup"}));
  EXPECT_TRUE(says(path("system.slice:docker:4f1c"), {"--systemd-cgroup"}));
}

}  // namespace
}  // namespace cloche::plan
