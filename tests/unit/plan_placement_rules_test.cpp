// The planner's rules of where processes run and where their memory comes from.
#include "plan/catalog.h"
#include "plan_requests.h"

namespace cloche::plan {
namespace {

using test::basic;
using test::find;
using test::os;
using test::refusal;
using test::says;

TEST(PlanPlacement, AMemoryPolicyIsTheCommandsWhenItsCgroupIs) {
  auto request = basic();
  os(request).memoryPolicy = {.mode = "MPOL_INTERLEAVE", .nodes = "0-1", .flags = {"MPOL_F_STATIC_NODES"}};
  const auto plan = make_plan(request, test::root_host());
  ASSERT_TRUE(plan) << plan.error().sentence;
  EXPECT_EQ(describe(plan->steps[plan->find("memory-policy")]),
            "take memory by the policy MPOL_INTERLEAVE, nodes 0-1 (MPOL_F_STATIC_NODES)");
  EXPECT_GT(plan->find("memory-policy"), plan->find("clone"));
  EXPECT_LT(plan->find("memory-policy"), plan->find("command"));
}

TEST(PlanPlacement, HugePagesAreLimitedInUseAndWhenReserved) {
  auto request = basic();
  os(request).resources.emplace().hugepageLimits = {{"2MB", 4194304}};
  const auto plan = make_plan(request, test::root_host());
  ASSERT_TRUE(plan) << plan.error().sentence;
  Strings said;
  for (const auto& step : plan->steps)
    if (const auto* write = std::get_if<WriteCgroup>(&step.action))
      said.push_back(describe(step) + " " + write->value);
  EXPECT_EQ(said, (Strings{"limit 2MB huge pages to 4 MiB (hugetlb.2MB.max) 4194304",
                           "limit 2MB huge pages reserved to 4 MiB (hugetlb.2MB.rsvd.max) 4194304"}));
}

TEST(PlanPlacement, AModeNewerThanTheKernelIsRefused) {
  auto request = basic();
  os(request).memoryPolicy = {.mode = "MPOL_WEIGHTED_INTERLEAVE", .nodes = "0", .flags = {}};
  EXPECT_TRUE(says(refusal(request), {"linux.memoryPolicy.mode", "needs Linux 6.9, this is 6.1"}));
  HostFacts host = test::root_host();
  host.kernel = {6, 9};
  EXPECT_EQ(refusal(request, host), "planned");
}

TEST(PlanPlacement, AnExecStartsOnOneListAndGoesOnOnAnother) {
  ExecRequest request{.id = "t", .process = *basic().spec.process};
  request.process.execCPUAffinity = {.initial = "7", .final_ = "0-3"};
  request.memory_policy = {.mode = "MPOL_LOCAL", .nodes = "", .flags = {}};
  request.personality = {.domain = "LINUX32", .flags = {}};
  const auto plan = make_exec_plan(request, test::root_host());
  ASSERT_TRUE(plan) << plan.error().sentence;
  EXPECT_EQ(find<SetAffinity>(*plan, "affinity-initial")->cpus, "7");
  EXPECT_EQ(plan->steps[plan->find("affinity-initial")].side, Side::host);
  EXPECT_LT(plan->find("affinity-initial"), plan->find("clone"));
  EXPECT_EQ(find<SetAffinity>(*plan, "affinity-final")->cpus, "0-3");
  EXPECT_EQ(plan->steps[plan->find("affinity-final")].side, Side::container);
  EXPECT_NE(find<SetMemoryPolicy>(*plan, "memory-policy"), nullptr);
  EXPECT_NE(find<SetPersonality>(*plan, "personality"), nullptr);
}

TEST(PlanPlacement, TheAffinityOfAnExecIsNotTheFirstProcesss) {
  auto request = basic();
  request.spec.process->execCPUAffinity = {.initial = "0", .final_ = "1"};
  const auto plan = make_plan(request, test::root_host());
  ASSERT_TRUE(plan) << plan.error().sentence;
  for (const auto& step : plan->steps)
    EXPECT_FALSE(std::holds_alternative<SetAffinity>(step.action)) << step.id;
}

}  // namespace
}  // namespace cloche::plan
