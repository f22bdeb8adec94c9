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
  EXPECT_EQ(weight_from_shares(1024), 39U);
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

TEST(PlanResources, NothingOfV1IsLostSilently) {
  auto request = basic();
  auto& resources = os(request).resources.emplace();
  resources.network.emplace().classID = 7;
  EXPECT_TRUE(says(refusal(request), {"linux.resources.network.classID"}));
  resources.network.reset();
  resources.cpu.emplace().realtimeRuntime = 5;
  EXPECT_TRUE(says(refusal(request), {"linux.resources.cpu.realtimeRuntime"}));
  resources.cpu.reset();
  resources.memory.emplace().kernelTCP = 5;
  EXPECT_TRUE(says(refusal(request), {"linux.resources.memory.kernelTCP"}));
  resources.memory.emplace().swappiness = 10;
  const auto plan = make_plan(request, test::root_host());
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->notes.at(0).subject, "memory.swappiness");
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
