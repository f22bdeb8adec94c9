// Changes of a running container's limits: what is written, in which order, and what is refused.
#include <gtest/gtest.h>

#include "plan/planner.h"
#include "plan_hosts.h"
#include "runtime/cgroup_changes.h"

namespace cloche::plan {
namespace {

UpdateRequest change() {
  return {.id = "t",
          .resources = {},
          .now = {.path = "/sys/fs/cgroup/t",
                  .controllers = {"cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma", "misc"},
                  .values = {{"memory.max", "1000"},
                             {"memory.current", "600"},
                             {"memory.swap.max", "500"},
                             {"memory.swap.current", "100"},
                             {"cpu.max", "50000 100000"},
                             {"cpu.max.burst", "20000"},
                             {"cpu.idle", "0"}}},
          .provenance = {}};
}

// "memory.swap.max=700 memory.max=800", in the plan's order; else the refusal.
std::string writes(const UpdateRequest& wanted, const HostFacts& host = test::root_host()) {
  const auto plan = make_update_plan(wanted, host);
  if (!plan) return plan.error().field + ": " + plan.error().sentence;
  std::string out;
  for (const Step& step : plan->steps) {
    const auto* write = std::get_if<WriteCgroup>(&step.action);
    out += out.empty() ? "" : " ";
    out += write != nullptr ? write->file + "=" + write->value : step.id;
  }
  return out;
}

spec::Memory& memory(UpdateRequest& wanted) { return wanted.resources.memory.emplace(); }
spec::Cpu& cpu(UpdateRequest& wanted) { return wanted.resources.cpu.emplace(); }

TEST(PlanUpdate, NothingNamedIsNothingDone) { EXPECT_EQ(writes(change()), ""); }

TEST(PlanUpdate, MoreSwapComesBeforeLessMemoryAndLessSwapAfterIt) {
  auto wanted = change();
  memory(wanted) = {.limit = 300, .swap = 900};
  EXPECT_EQ(writes(wanted), "memory.swap.max=600 memory.max=300");
  memory(wanted) = {.limit = 300, .swap = 400};
  EXPECT_EQ(writes(wanted), "memory.max=300 memory.swap.max=100");
  memory(wanted) = {.limit = 300, .swap = -1};
  EXPECT_EQ(writes(wanted), "memory.swap.max=max memory.max=300");
}

TEST(PlanUpdate, SwapAloneIsTheDifferenceToTheMemoryLimitThatHolds) {
  auto wanted = change();
  memory(wanted) = {.swap = 1200};
  EXPECT_EQ(writes(wanted), "memory.swap.max=200");
  memory(wanted) = {.swap = 999};
  EXPECT_TRUE(writes(wanted).starts_with("memory.swap: memory and swap together (999) cannot be less"));
  wanted.now.values["memory.max"] = "max";
  EXPECT_TRUE(writes(wanted).contains("needs memory.limit too"));
}

TEST(PlanUpdate, ATotalThatWasAskedForStays) {
  auto wanted = change();
  memory(wanted) = {.limit = 1200};
  EXPECT_EQ(writes(wanted), "memory.max=1200");
  wanted.now.swap_total = true;
  EXPECT_EQ(writes(wanted), "memory.max=1200 memory.swap.max=300");
  memory(wanted) = {.limit = 800};
  EXPECT_EQ(writes(wanted), "memory.swap.max=700 memory.max=800");
  memory(wanted) = {.limit = 1501};
  EXPECT_TRUE(writes(wanted).starts_with("memory.limit: 1501 is above the limit of memory and swap together"))
      << writes(wanted);
  memory(wanted) = {.limit = -1};
  EXPECT_EQ(writes(wanted), "memory.swap.max=max memory.max=max");
}

TEST(PlanUpdate, CheckBeforeUpdateKeepsWhatIsInUse) {
  auto wanted = change();
  memory(wanted) = {.limit = 599};
  EXPECT_EQ(writes(wanted), "memory.max=599");
  memory(wanted) = {.limit = 599, .checkBeforeUpdate = true};
  EXPECT_TRUE(writes(wanted).starts_with("memory.limit: 599 is below the 600 bytes in use"))
      << writes(wanted);
  memory(wanted) = {.limit = 600, .swap = 699, .checkBeforeUpdate = true};
  EXPECT_TRUE(writes(wanted).starts_with("memory.swap: 699 is below the 700 bytes")) << writes(wanted);
  memory(wanted) = {.limit = 600, .swap = 700, .checkBeforeUpdate = true};
  EXPECT_EQ(writes(wanted), "memory.max=600 memory.swap.max=100");
}

TEST(PlanUpdate, AQuotaAndItsPeriodMayComeAlone) {
  auto wanted = change();
  cpu(wanted) = {.quota = 30000};
  EXPECT_EQ(writes(wanted), "cpu.max=30000");  // the kernel keeps the period
  cpu(wanted) = {.period = 200000};
  EXPECT_EQ(writes(wanted), "cpu.max=50000 200000");
  cpu(wanted) = {.quota = -1};
  EXPECT_EQ(writes(wanted), "cpu.max=max");
}

TEST(PlanUpdate, ASmallerBurstComesBeforeTheQuota) {
  auto wanted = change();
  cpu(wanted) = {.quota = 10000, .burst = 5000};
  EXPECT_EQ(writes(wanted), "cpu.max.burst=5000 cpu.max=10000");
  cpu(wanted) = {.quota = 90000, .burst = 60000};
  EXPECT_EQ(writes(wanted), "cpu.max=90000 cpu.max.burst=60000");
  cpu(wanted) = {.burst = 0};
  EXPECT_EQ(writes(wanted), "cpu.max.burst=0");
}

TEST(PlanUpdate, AnIdleContainerHasNoShares) {
  auto wanted = change();
  wanted.now.values["cpu.idle"] = "1";
  cpu(wanted) = {.shares = 2};
  EXPECT_TRUE(writes(wanted).starts_with("cpu.shares: the container is idle")) << writes(wanted);
  cpu(wanted) = {.shares = 2, .idle = 0};
  EXPECT_EQ(writes(wanted), "cpu.idle=0 cpu.weight=1");
}

TEST(PlanUpdate, DeviceRulesComeLast) {
  auto wanted = change();
  wanted.resources.devices = {{.allow = true, .type = "c", .major = 10, .minor = 200, .access = "rw"}};
  memory(wanted) = {.limit = 2000};
  EXPECT_EQ(writes(wanted), "memory.max=2000 device-policy");
}

TEST(PlanUpdate, AControllerThatTheCgroupLacksIsHandedDownFirst) {
  auto wanted = change();
  wanted.now.controllers = {"cpu"};
  wanted.resources.pids = spec::Pids{.limit = 7};
  EXPECT_EQ(writes(wanted), "cgroup-controllers pids.max=7");
  EXPECT_TRUE(
      writes(wanted, test::hybrid_host()).starts_with("pids.limit: pids.max needs the pids controller"));
}

TEST(PlanUpdate, WhatCgroupV2CannotHoldIsRefused) {
  auto wanted = change();
  cpu(wanted) = {.realtimeRuntime = 5000};
  EXPECT_TRUE(writes(wanted).starts_with("cpu.realtimeRuntime: cgroup v2 has no real-time budget"));
  wanted = change();
  memory(wanted) = {.kernelTCP = 4096};
  EXPECT_TRUE(writes(wanted).starts_with("memory.kernelTCP: "));
  wanted = change();
  wanted.resources.unified = {{"../memory.max", "1"}};
  EXPECT_TRUE(writes(wanted).contains("is no file of a cgroup")) << writes(wanted);
}

}  // namespace
}  // namespace cloche::plan

namespace cloche::runtime {
namespace {

TEST(EarlierValue, IsTheWholeFileOrTheLineOfTheDevice) {
  EXPECT_EQ(earlier_value("memory.max", "1000\n", "5"), "1000");
  EXPECT_EQ(earlier_value("cpuset.cpus", "\n", "0-1"), "\n");
  const char two[] = "8:0 rbps=1 wbps=max riops=max wiops=max\n8:16 rbps=2 wbps=max riops=max wiops=max\n";
  EXPECT_EQ(earlier_value("io.max", two, "8:16 rbps=9"), "8:16 rbps=2 wbps=max riops=max wiops=max");
  EXPECT_EQ(earlier_value("io.max", two, "8:1 rbps=9"), "8:1 rbps=max wbps=max riops=max wiops=max");
  EXPECT_EQ(earlier_value("io.weight", "default 100\n8:0 50\n", "default 7"), "default 100");
  EXPECT_EQ(earlier_value("io.weight", "default 100\n", "8:0 7"), "8:0 default");
  EXPECT_EQ(earlier_value("io.bfq.weight", "default 100\n8:0 50\n", "8:0 7"), "8:0 50");
}

}  // namespace
}  // namespace cloche::runtime
