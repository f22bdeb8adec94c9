// systemd's cgroup driver, planned: names, properties, annotations, the order of steps.
#include "plan/scope.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plan/catalog.h"
#include "plan/planner.h"
#include "plan/undo.h"
#include "plan_hosts.h"

namespace cloche::plan {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

std::string named(const std::string& path, bool user = false) {
  const auto name = scope_name(path, "box", user);
  return name ? name->slice + " " + name->unit : name.error().field + ": " + name.error().sentence;
}

TEST(Scope, IsNamedAsCallersSendIt) {
  EXPECT_EQ(named("machine.slice:libpod:4f1c"), "machine.slice libpod-4f1c.scope");
  EXPECT_EQ(named("kubepods-burstable-pod1.slice:cri-containerd:4f1c"),
            "kubepods-burstable-pod1.slice cri-containerd-4f1c.scope");
  EXPECT_EQ(named(":docker:4f1c"), "system.slice docker-4f1c.scope");
  EXPECT_EQ(named(":docker:4f1c", true), "user.slice docker-4f1c.scope");
  EXPECT_EQ(named("a.slice::4f1c"), "a.slice 4f1c.scope");
  EXPECT_EQ(named("a.slice:runc:"), "a.slice runc-box.scope");
  EXPECT_EQ(named(""), "system.slice cloche-box.scope");
  EXPECT_EQ(named("", true), "user.slice cloche-box.scope");
}

TEST(Scope, ABadNameIsRefusedWithTheReason) {
  EXPECT_THAT(named("/a/b"), AllOf(HasSubstr("linux.cgroupsPath"), HasSubstr("slice:prefix:name")));
  EXPECT_THAT(named("a.slice:b:c:d"), HasSubstr("slice:prefix:name"));
  EXPECT_THAT(named("a:b:c"), HasSubstr("does not end in .slice"));
  EXPECT_THAT(named("a--b.slice:b:c"), HasSubstr("empty part"));
  EXPECT_THAT(named("../a.slice:b:c"), HasSubstr("\"/\" is not allowed"));
  EXPECT_THAT(named("a.slice:b:c/../d"), HasSubstr("\"/\" is not allowed"));
  EXPECT_THAT(named("a.slice:b:c+d"), HasSubstr("\"+\" is not allowed"));
  EXPECT_THAT(named("a.slice:b:c.slice"), HasSubstr("a container is put into a scope"));
  EXPECT_THAT(named("a.slice:b:" + std::string(250, 'x')), HasSubstr("at most 255"));
}

TEST(Scope, SlicesLieInEachOther) {
  EXPECT_EQ(slice_path("a.slice"), "/a.slice");
  EXPECT_EQ(slice_path("a-b-c.slice"), "/a.slice/a-b.slice/a-b-c.slice");
  EXPECT_EQ(slice_path("-.slice"), "");
}

std::vector<std::string> properties(const std::string& file, const std::string& value, int version = 252) {
  std::vector<std::string> said;
  for (const auto& p : unit_properties({{"", file, value, ""}}, version))
    said.push_back(p.name + ":" + p.type + "=" + p.value);
  return said;
}

TEST(UnitProperties, SayWhatTheFilesSay) {
  EXPECT_THAT(properties("memory.max", "67108864"), ElementsAre("MemoryMax:uint64=67108864"));
  EXPECT_THAT(properties("memory.max", "max"), ElementsAre("MemoryMax:uint64=max"));
  EXPECT_THAT(properties("memory.high", "64M"), ElementsAre("MemoryHigh:uint64=67108864"));
  EXPECT_THAT(properties("memory.swap.max", "0"), ElementsAre("MemorySwapMax:uint64=0"));
  EXPECT_THAT(properties("pids.max", "20"), ElementsAre("TasksMax:uint64=20"));
  EXPECT_THAT(properties("cpuset.cpus", "0-1"), ElementsAre("AllowedCPUs:cpus=0-1"));
  EXPECT_THAT(properties("io.weight", "default 50"), ElementsAre("IOWeight:uint64=50"));
  EXPECT_THAT(properties("cpu.weight", "50"), ElementsAre("CPUWeight:uint64=50"));
  for (const char* file : {"io.max", "hugetlb.2MB.max", "rdma.max", "memory.oom.group", "cpu.max.burst"})
    EXPECT_THAT(properties(file, "1"), ElementsAre()) << file;
  EXPECT_THAT(properties("io.weight", "8:0 50"), ElementsAre());
}

TEST(UnitProperties, AQuotaIsWholePercentsRoundedUp) {
  EXPECT_THAT(properties("cpu.max", "50000 100000"),
              ElementsAre("CPUQuotaPeriodUSec:uint64=100000", "CPUQuotaPerSecUSec:uint64=500000"));
  EXPECT_THAT(properties("cpu.max", "33333 100000"),
              ElementsAre("CPUQuotaPeriodUSec:uint64=100000", "CPUQuotaPerSecUSec:uint64=340000"));
  EXPECT_THAT(properties("cpu.max", "1000"), ElementsAre("CPUQuotaPerSecUSec:uint64=10000"));
  EXPECT_THAT(properties("cpu.max", "max"), ElementsAre("CPUQuotaPerSecUSec:uint64=max"));
}

TEST(UnitProperties, IdleIsAWeightThatOlderVersionsDoNotKnow) {
  EXPECT_THAT(properties("cpu.idle", "1"), ElementsAre("CPUWeight:uint64=0"));
  EXPECT_THAT(properties("cpu.idle", "1", 251), ElementsAre());
}

std::string annotated(const std::string& name, const std::string& value) {
  const auto read = annotated_properties({{"org.systemd.property." + name, value}, {"other", "x"}});
  if (!read) return read.error().field + ": " + read.error().sentence;
  return read->at(0).name + ":" + read->at(0).type + "=" + read->at(0).value;
}

TEST(ScopeAnnotations, ValuesAreInTheTextFormOfGVariant) {
  EXPECT_EQ(annotated("TimeoutStopUSec", "uint64 5000000"), "TimeoutStopUSec:uint64=5000000");
  EXPECT_EQ(annotated("TimeoutStopSec", "1.5"), "TimeoutStopUSec:uint64=1500000");
  EXPECT_EQ(annotated("KillSignal", "37"), "KillSignal:int32=37");
  EXPECT_EQ(annotated("CollectMode", "'inactive-or-failed'"), "CollectMode:string=inactive-or-failed");
  EXPECT_EQ(annotated("Description", R"("it's \"mine\"")"), "Description:string=it's \"mine\"");
  EXPECT_EQ(annotated("SendSIGHUP", "true"), "SendSIGHUP:bool=true");
}

TEST(ScopeAnnotations, AValueOfAnotherTypeIsRefused) {
  EXPECT_THAT(annotated("CollectMode", "inactive"), HasSubstr("a string in quotes"));
  EXPECT_THAT(annotated("CollectMode", "'a'b'"), HasSubstr("a string in quotes"));
  EXPECT_THAT(annotated("TimeoutStopUSec", "'5'"), HasSubstr("a number"));
  EXPECT_THAT(annotated("TimeoutStopUSec", "-5"), HasSubstr("a number"));
  EXPECT_THAT(annotated("KillSignal", "4294967296"), HasSubstr("a number"));
  EXPECT_THAT(annotated("TimeoutStopSec", "nan"), HasSubstr("a number"));
  EXPECT_THAT(annotated("SendSIGHUP", "1"), HasSubstr("true or false"));
}

// CVE-2024-3154: through an annotation the host's systemd was made to run a command.
TEST(ScopeAnnotations, OnlyHarmlessPropertiesAreTaken) {
  for (const char* name : {"ExecStart", "ExecStopPost", "ExecStop", "Wants", "Requires", "After", "OnFailure",
                           "KillMode", "SendSIGKILL", "Slice", "Delegate", "User", "PIDs", "BPFProgram",
                           "Controller", "", "timeoutstopusec"})
    EXPECT_THAT(annotated(name, "'x'"),
                AllOf(HasSubstr("annotations.org.systemd.property."), HasSubstr("may not set the property")))
        << name;
  EXPECT_THAT(annotated("MemoryMax", "uint64 1"), HasSubstr("linux.resources"));
  EXPECT_THAT(annotated("DevicePolicy", "'auto'"), HasSubstr("linux.resources"));
}

Request in_scope() {
  Request request;
  request.id = "box";
  request.root = BundleRoot{"/bundle/rootfs"};
  request.systemd_cgroup = true;
  auto& spec = request.spec;
  spec.process.emplace();
  spec.process->args = {"sh"};
  spec.process->cwd = "/";
  spec.linux_.emplace();
  spec.linux_->namespaces = {{"mount", ""}, {"pid", ""}};
  return request;
}

HostFacts systemd_host() {
  HostFacts host = test::root_host();
  host.systemd = {.user = false, .version = 252, .control_group = "/"};
  return host;
}

const StartScope* scope_of(const Plan& plan) {
  const size_t at = plan.find("scope");
  return at == plan.steps.size() ? nullptr : std::get_if<StartScope>(&plan.steps[at].action);
}

TEST(ScopePlan, TheProcessIsMadeThenTheScopeThenTheLimits) {
  Request request = in_scope();
  request.spec.linux_->cgroupsPath = "machine.slice:libpod:4f1c";
  request.spec.linux_->resources.emplace();
  request.spec.linux_->resources->unified = {{"memory.max", "67108864"}, {"hugetlb.2MB.max", "0"}};
  const auto plan = make_plan(request, systemd_host());
  ASSERT_TRUE(plan) << plan.error().sentence;
  const auto* scope = scope_of(*plan);
  ASSERT_NE(scope, nullptr);
  EXPECT_EQ(scope->cgroup, "/sys/fs/cgroup/machine.slice/libpod-4f1c.scope");
  EXPECT_FALSE(scope->placeholder);
  const size_t clone = plan->find("clone"), at = plan->find("scope");
  EXPECT_LT(clone, at);
  EXPECT_LT(at, plan->find("cgroup-memory-max"));
  EXPECT_LT(at, plan->find("device-policy"));
  EXPECT_EQ(plan->find("cgroup"), plan->steps.size());
  EXPECT_EQ(std::get<CloneProcess>(plan->steps[clone].action).cgroup, "");
  // systemd hands memory down itself, and does not know hugetlb.
  const auto& enabled = std::get<EnableControllers>(plan->steps[plan->find("cgroup-controllers")].action);
  EXPECT_THAT(enabled.controllers, ElementsAre("hugetlb"));
  EXPECT_THAT(describe(plan->steps[at]), AllOf(HasSubstr("libpod-4f1c.scope in machine.slice"),
                                               HasSubstr("MemoryMax=67108864"), HasSubstr("Delegate=true")));
  const auto undo = undo_of(*plan);
  ASSERT_EQ(undo.size(), 2U);
  EXPECT_EQ(undo[0].kind, UndoAction::Kind::kill_cgroup);
  EXPECT_EQ(undo[1].kind, UndoAction::Kind::stop_scope);
  EXPECT_EQ(undo[1].path, scope->cgroup);
}

TEST(ScopePlan, AChangeOfLimitsIsOneOfThePropertiesFirst) {
  UpdateRequest wanted;
  wanted.id = "box";
  wanted.resources.pids.emplace();
  wanted.resources.pids->limit = 3;
  wanted.now = {.path = "/sys/fs/cgroup/system.slice/cloche-box.scope",
                .controllers = {"pids"},
                .values = {},
                .scope = SetScopeProperties{.unit = "cloche-box.scope", .user = false, .properties = {}}};
  const auto plan = make_update_plan(wanted, systemd_host());
  ASSERT_TRUE(plan) << plan.error().sentence;
  EXPECT_LT(plan->find("scope"), plan->find("cgroup-pids-max"));
  const auto& change = std::get<SetScopeProperties>(plan->steps[plan->find("scope")].action);
  ASSERT_EQ(change.properties.size(), 1U);
  EXPECT_EQ(change.properties[0].name + "=" + change.properties[0].value, "TasksMax=3");
  EXPECT_EQ(describe(plan->steps[plan->find("scope")]), "have systemd change cloche-box.scope: TasksMax=3");
}

TEST(ScopePlan, AUsersScopeIsInTheUsersManager) {
  Request request = in_scope();
  request.spec.linux_->namespaces.push_back({"user", ""});
  request.spec.linux_->uidMappings = request.spec.linux_->gidMappings = {{0, 1000, 1}};
  HostFacts host = test::user_host();
  host.systemd = {
      .user = true, .version = 252, .control_group = "/user.slice/user-1000.slice/user@1000.service"};
  host.cgroup.parent = host.systemd.control_group;
  host.cgroup.controllers = {"memory", "pids"};
  const auto plan = make_plan(request, host);
  ASSERT_TRUE(plan) << plan.error().sentence;
  const auto* scope = scope_of(*plan);
  ASSERT_NE(scope, nullptr);
  EXPECT_TRUE(scope->user);
  EXPECT_EQ(scope->cgroup,
            "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/user.slice/cloche-box.scope");
  EXPECT_EQ(undo_of(*plan)[1].kind, UndoAction::Kind::stop_user_scope);

  request.spec.linux_->resources.emplace();
  request.spec.linux_->resources->unified = {{"cpu.weight", "50"}};
  const auto refused = make_plan(request, host);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().sentence, AllOf(HasSubstr("has: memory, pids"), HasSubstr("user@.service")));
}

TEST(ScopePlan, AnAnnotationReplacesTheDefault) {
  Request request = in_scope();
  request.spec.annotations = {{"org.systemd.property.Description", "'mine'"}};
  const auto plan = make_plan(request, systemd_host());
  ASSERT_TRUE(plan) << plan.error().sentence;
  int found = 0;
  for (const auto& property : scope_of(*plan)->properties)
    if (property.name == "Description" && property.value == "mine") ++found;
  EXPECT_EQ(found, 1);
  found = 0;
  for (const auto& property : scope_of(*plan)->properties)
    if (property.name == "Description") ++found;
  EXPECT_EQ(found, 1);
}

}  // namespace
}  // namespace cloche::plan
