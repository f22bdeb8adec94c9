// Limits of containers that are scopes: properties of the unit, which bite, follow an update and outlive a reload. They
// need controllers on cgroup v2: tests/vm/guest has them.
#include "callers/limits.h"
#include "callers/systemd.h"
#include "callers/systemd_rootless.h"

namespace cloche::test {
namespace {

constexpr char kMade[] = "CPUQuotaPerSecUSec=500ms MemoryMax=67108864 MemorySwapMax=0 TasksMax=8",
               kUpdated[] = "CPUQuotaPerSecUSec=200ms MemoryMax=33554432 MemorySwapMax=0 TasksMax=8";
constexpr char kFlags[] =
    "--name box --memory 64m --memory-swap 64m --pids-limit 8 --cpu-quota 50000 --cpu-period 100000 box";
constexpr char kFewer[] = "--memory 32m --memory-swap 32m --cpu-quota 20000 --cpu-period 100000 box";
constexpr char kFiles[] = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max";

template <class Caller>
class SystemdLimits : public Caller {
 protected:
  void SetUp() override {
    for (const char* name : {"memory", "pids", "cpu"})
      missing_ = missing_ ? missing_ : needs::cgroup2_controller(name);
    Caller::SetUp();
    CLOCHE_NEEDS(missing_);
  }
  // Podman and Docker have the same words for all of it.
  void expect_limits(const std::string& engine, const std::string& prefix) {
    const auto call = [&](const std::string& words) {
      return this->as_caller(fmt::format("{} {}", engine, words));
    };
    const Outcome started = call(fmt::format("run -d {} sleep 1000", kFlags));
    ASSERT_TRUE(started.ok()) << started.describe();
    const std::string unit = prefix + this->of_box("Id") + ".scope";
    EXPECT_EQ(this->limits_of(unit), kMade);
    const Outcome updated = call(fmt::format("update {}", kFewer));
    EXPECT_TRUE(updated.ok()) << updated.describe();
    EXPECT_TRUE(this->as_caller(fmt::format("systemctl {} daemon-reload", this->manager())).ok());
    EXPECT_EQ(this->limits_of(unit), kUpdated);
    EXPECT_EQ(call(fmt::format("exec box {}", kFiles)).out, "33554432\n20000 100000\n");
    EXPECT_EQ(call(fmt::format("exec box {}", kEatsMemory)).exit_code, 137);
    const Outcome forks = call(fmt::format("exec box {}", kForks));
    EXPECT_TRUE(forks.out.contains("can't fork: Resource temporarily unavailable")) << forks.describe();
    EXPECT_TRUE(call("rm -f box").ok());
    EXPECT_EQ(call(fmt::format("run --rm --memory 32m box {}", kEatsMemory)).exit_code, 137);
    this->expect_no_unit(prefix + "*.scope");
  }

 private:
  needs::Missing missing_;
};

using PodmanSystemdLimits = SystemdLimits<PodmanSystemdTest>;
TEST_F(PodmanSystemdLimits, ArePropertiesThatBiteAndFollowAnUpdate) { expect_limits("podman", "libpod-"); }

using DockerSystemdLimits = SystemdLimits<DockerSystemdTest>;
TEST_F(DockerSystemdLimits, ArePropertiesThatBiteAndFollowAnUpdate) { expect_limits("docker", "docker-"); }

// By the controllers that a user's manager has: cpu, memory, pids.
using RootlessPodmanSystemdLimits = SystemdLimits<RootlessPodmanSystemdTest>;
TEST_F(RootlessPodmanSystemdLimits, ArePropertiesThatBiteAndFollowAnUpdate) {
  expect_limits("podman", "libpod-");
}

using ContainerdSystemdLimits = SystemdLimits<ContainerdSystemdTest>;
TEST_F(ContainerdSystemdLimits, ArePropertiesThatBite) {
  ASSERT_TRUE(call(ctr_run(fmt::format("-d --memory-limit 67108864 {} box sleep 1000", kImage))).ok());
  EXPECT_EQ(property(kUnit, "MemoryMax"), "67108864");
  EXPECT_EQ(line_of("ctr task metrics box | awk '$1 == \"memory.usage_limit\" {print $2}'"), "67108864");
  EXPECT_EQ(call(fmt::format("ctr task exec --exec-id one box {}", kEatsMemory)).exit_code, 137);
  end("box");
  EXPECT_EQ(
      call(ctr_run(fmt::format("--rm --memory-limit 33554432 {} box {}", kImage, kEatsMemory))).exit_code,
      137);
  expect_no_unit(kUnit);
}

}  // namespace
}  // namespace cloche::test
