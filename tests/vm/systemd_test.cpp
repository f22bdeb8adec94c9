// Limits of a container in a scope of systemd's bite, are the unit's properties, and outlive a daemon-reload.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <fstream>

#include "spec/default_spec.h"
#include "support/bundle.h"
#include "support/needs.h"
#include "support/systemd_nest.h"
#include "support/test_user.h"
#include "vm/counters.h"

namespace cloche::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr char kUnit[] = "cloche-box.scope";

class VmSystemd : public RuntimeTest {
 protected:
  void SetUp() override {
    CLOCHE_NEEDS(needs::cgroup2_controller("memory"));
    CLOCHE_NEEDS(needs::program("systemctl"));
    RuntimeTest::SetUp();
    nest_.emplace(scratch() + "/nest");
    ASSERT_EQ(nest_->problem(), "");
  }
  void TearDown() override {
    nest_.reset();
    RuntimeTest::TearDown();
  }
  Bundle limited(std::vector<std::string> args) {
    auto box = bundle(std::move(args), "nest/bundle");
    auto& resources = box.config.linux_->resources.emplace();
    resources.memory.emplace();
    resources.memory->limit = 64 << 20;
    resources.memory->swap = 64 << 20;
    resources.pids.emplace();
    resources.pids->limit = 20;
    return box;
  }
  std::string words(const std::string& more) {
    return fmt::format("{} --root {}/nest/state --systemd-cgroup {}", program("cloche-runtime"), scratch(),
                       more);
  }
  std::string file(const std::string& name) {
    std::ifstream in(nest_->cgroup() + "/system.slice/" + kUnit + "/" + name);
    std::string line;
    std::getline(in, line);
    return line;
  }
  std::optional<SystemdNest> nest_;
};

TEST_F(VmSystemd, TheMemoryLimitBites) {
  const auto box = limited({"sh", "-c", "busybox tail /dev/zero; echo status $?"});
  box.write();
  const Outcome outcome = nest_->shell(words("run --bundle " + box.path() + " box"));
  EXPECT_EQ(counter(outcome.out, "status"), 137) << outcome.describe();
}

TEST_F(VmSystemd, LimitsArePropertiesAndOutliveADaemonReload) {
  auto box = limited({"sleep", "1000"});
  auto& cpu = box.config.linux_->resources->cpu.emplace();
  cpu.quota = 50000;
  cpu.period = 100000;
  cpu.cpus = "1";
  box.config.linux_->resources->hugepageLimits = {{.pageSize = "2MB", .limit = 0}};
  box.write();
  const Outcome started = nest_->shell(words("run --detach --bundle " + box.path() +
                                             " box </dev/null >/tmp/out 2>&1; s=$?; cat /tmp/out; exit $s"));
  ASSERT_TRUE(started.ok()) << started.describe();
  for (const char* when : {"at first", "after daemon-reload"}) {
    EXPECT_EQ(nest_->property(kUnit, "MemoryMax"), "67108864") << when;
    EXPECT_EQ(nest_->property(kUnit, "MemorySwapMax"), "0") << when;
    EXPECT_EQ(nest_->property(kUnit, "TasksMax"), "20") << when;
    EXPECT_EQ(nest_->property(kUnit, "AllowedCPUs"), "1") << when;
    EXPECT_EQ(nest_->property(kUnit, "CPUQuotaPerSecUSec"), "500ms") << when;
    EXPECT_EQ(file("memory.max"), "67108864") << when;
    EXPECT_EQ(file("pids.max"), "20") << when;
    EXPECT_EQ(file("cpu.max"), "50000 100000") << when;
    EXPECT_EQ(file("cpuset.cpus"), "1") << when;
    EXPECT_EQ(file("hugetlb.2MB.max"), "0") << when;
    ASSERT_TRUE(nest_->run({"systemctl", "daemon-reload"}).ok());
  }
  const Outcome deleted = nest_->shell(words("delete --force box"));
  EXPECT_TRUE(deleted.ok()) << deleted.describe();
  EXPECT_EQ(nest_->property(kUnit, "LoadState"), "not-found");
}

TEST_F(VmSystemd, AUsersContainerIsAScopeOfTheUsersManager) {
  const TestUser& user = TestUser::get();
  ASSERT_EQ(nest_->start_user_manager(user.uid(), user.gid()), "");
  auto box =
      limited({"sh", "-c", "busybox tail /dev/zero; echo status $?; busybox cat /sys/fs/cgroup/pids.max"});
  auto limits = box.config.linux_->resources;
  auto args = box.config.process->args;
  box.config = spec::default_rootless_spec(user.uid(), user.gid());
  box.config.process->terminal = false;
  box.config.process->args = args;
  box.config.linux_->resources = limits;
  box.write();
  shell(fmt::format("chown -Rh {}:{} {}", user.uid(), user.gid(), box.path()));
  const Outcome outcome =
      nest_->user_shell(user.uid(), user.gid(),
                        fmt::format("{} --root /run/user/{}/state --systemd-cgroup run --bundle {} box",
                                    program("cloche-runtime"), user.uid(), box.path()));
  EXPECT_EQ(counter(outcome.out, "status"), 137) << outcome.describe();
  EXPECT_THAT(outcome.out, HasSubstr("\n20\n")) << outcome.describe();
}

}  // namespace
}  // namespace cloche::test
