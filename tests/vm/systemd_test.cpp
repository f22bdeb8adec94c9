// Limits of a container in a scope of systemd's bite, are the unit's properties, and outlive a daemon-reload.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <fstream>

#include "spec/default_spec.h"
#include "support/bundle.h"
#include "support/needs.h"
#include "support/systemd_nest.h"
#include "support/test_user.h"
#include "vm/counters.h"

namespace cloche::test {
namespace {

using testing::HasSubstr;

constexpr char kUnit[] = "box.scope";

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
  void start(const Bundle& box) {
    box.write();
    const Outcome started =
        nest_->shell(words("run --detach --bundle " + box.path() +
                           " box </dev/null >/tmp/out 2>&1; s=$?; cat /tmp/out; exit $s"));
    ASSERT_TRUE(started.ok()) << started.describe();
  }
  // All that the tests look at, in one fork.
  std::string properties() {
    std::string text = nest_
                           ->run({"systemctl", "show", "-p", "MemoryMax", "-p", "MemorySwapMax", "-p",
                                  "TasksMax", "-p", "CPUQuotaPerSecUSec", "-p", "AllowedCPUs", kUnit})
                           .out;
    std::vector<std::string> lines;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    const auto at = [&](const std::string& name) {
      const auto found =
          std::ranges::find_if(lines, [&](const auto& line) { return line.starts_with(name + "="); });
      return found == lines.end() ? name + "?" : *found;
    };
    return fmt::format("{} {} {} {} {}", at("MemoryMax"), at("MemorySwapMax"), at("TasksMax"),
                       at("CPUQuotaPerSecUSec"), at("AllowedCPUs"));
  }
  std::string file(const std::string& name) {
    std::ifstream in(nest_->cgroup() + "/vm.slice/vm-pods.slice/" + kUnit + "/" + name);
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
  box.config.linux_->cgroupsPath = "vm-pods.slice::box";
  start(box);
  const std::string as_made =
      "MemoryMax=67108864 MemorySwapMax=0 TasksMax=20 CPUQuotaPerSecUSec=500ms AllowedCPUs=1";
  EXPECT_EQ(properties(), as_made);
  ASSERT_TRUE(nest_->run({"systemctl", "daemon-reload"}).ok());
  EXPECT_EQ(properties(), as_made);
  EXPECT_EQ(file("memory.max") + " " + file("pids.max") + " " + file("cpu.max") + " " + file("cpuset.cpus") +
                " " + file("hugetlb.2MB.max"),
            "67108864 20 50000 100000 1 0");

  // A quota of 30.5 %, of which systemd keeps 31.
  const Outcome updated = nest_->shell(words(
      "update --memory 32M --memory-swap 32M --pids-limit 3 --cpu-quota 30500 --cpu-period 100000 box"));
  EXPECT_TRUE(updated.ok()) << updated.describe();
  const std::string changed =
      "MemoryMax=33554432 MemorySwapMax=0 TasksMax=3 CPUQuotaPerSecUSec=310ms AllowedCPUs=1";
  EXPECT_EQ(properties(), changed);
  EXPECT_EQ(file("cpu.max"), "30500 100000");
  // What cannot be written takes everything back.
  const Outcome failed = nest_->shell(
      "echo '{\"pids\":{\"limit\":9},\"cpu\":{\"cpus\":\"0\"},"
      "\"blockIO\":{\"throttleReadBpsDevice\":[{\"major\":999,\"minor\":999,"
      "\"rate\":1}]}}' | " +
      words("update --resources=- box"));
  EXPECT_EQ(failed.exit_code, 1);
  EXPECT_THAT(failed.err, HasSubstr("(nothing was changed)")) << failed.describe();
  ASSERT_TRUE(nest_->run({"systemctl", "daemon-reload"}).ok());
  EXPECT_EQ(properties(), changed);
  EXPECT_EQ(file("memory.max") + " " + file("pids.max") + " " + file("cpuset.cpus"), "33554432 3 1");

  // The new limits bite what is executed later.
  const Outcome forks = nest_->shell(words("exec box sh -c 'sleep 5 & sleep 5 & sleep 5 & wait'"));
  EXPECT_THAT(forks.err, HasSubstr("can't fork")) << forks.describe();
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
  const std::string runtime =
      fmt::format("{} --root /run/user/{}/state", program("cloche-runtime"), user.uid());
  const auto as_user = [&](const std::string& script) {
    return nest_->user_shell(user.uid(), user.gid(), script);
  };
  const std::string run = fmt::format("{} --systemd-cgroup run --bundle {} ", runtime, box.path());
  const Outcome outcome = as_user(run + "box");
  EXPECT_EQ(counter(outcome.out, "status"), 137) << outcome.describe();
  EXPECT_THAT(outcome.out, HasSubstr("\n20\n")) << outcome.describe();

  box.config.process->args = {"sleep", "1000"};
  box.write();
  const Outcome changed = as_user(fmt::format(
      "{1} --detach box </dev/null >/tmp/of-user 2>&1 || cat /tmp/of-user; {0} update --pids-limit 9 box && "
      "systemctl --user daemon-reload && systemctl --user show -P TasksMax cloche-box.scope && "
      "{0} exec box sh -c 'cat /proc/self/cgroup /sys/fs/cgroup/pids.max' && {0} delete --force box && "
      "systemctl --user show -P LoadState cloche-box.scope",
      runtime, run));
  EXPECT_EQ(changed.out, "9\n0::/\n9\nnot-found\n") << changed.describe();
}

}  // namespace
}  // namespace cloche::test
