// `cloche-runtime update` biting on a container that runs.
#include <poll.h>

#include <fstream>
#include <map>

#include "support/bundle.h"
#include "support/needs.h"
#include "vm/counters.h"

namespace cloche::test {
namespace {

class VmUpdate : public RuntimeTest {
 protected:
  void start(std::vector<std::string> args, spec::Resources resources = {}) {
    auto box = bundle(std::move(args));
    box.config.linux_->cgroupsPath = "/vm-update";
    box.config.linux_->resources = std::move(resources);
    ASSERT_TRUE(start_detached(box).ok());
  }
  Outcome update(const std::string& document) {
    return test::run({.argv = command({"update", "--resources=-", "box"}), .input = document});
  }
  Outcome inside(const std::string& script) { return runtime({"exec", "box", "sh", "-c", script}); }
  static std::string held(const std::string& file) {
    auto text = text_of("/sys/fs/cgroup/vm-update/" + file);
    return text.substr(0, text.find('\n'));
  }
  void finish() {
    stop();
    EXPECT_TRUE(runtime({"delete", "box"}).ok());
  }
};

const std::string kFill = "busybox dd if=/dev/zero of=/dev/null bs=64M count=1 2>/dev/null; echo status $?";

TEST_F(VmUpdate, MemoryOfAContainerThatHadNoLimit) {
  CLOCHE_NEEDS(needs::cgroup2_controller("memory"));
  start({"sleep", "1000"});
  EXPECT_EQ(inside(kFill).out, "status 0\n");
  const Outcome limited = runtime({"update", "--memory", "32M", "--memory-swap=32M", "box"});
  ASSERT_TRUE(limited.ok()) << limited.describe();
  EXPECT_EQ(inside(kFill).out, "status 137\n");
  EXPECT_EQ(counter(text_of("/sys/fs/cgroup/vm-update/memory.events"), "oom_kill"), 1);
  ASSERT_TRUE(update(R"({"memory":{"limit":-1,"swap":-1}})").ok());
  EXPECT_EQ(inside(kFill).out, "status 0\n");
  finish();
}

TEST_F(VmUpdate, PidsAndCpu) {
  CLOCHE_NEEDS(needs::cgroup2_controller("pids"));
  CLOCHE_NEEDS(needs::cgroup2_controller("cpu"));
  start({"sh", "-c", "while :; do :; done"});
  ASSERT_TRUE(
      runtime({"update", "--pids-limit", "3", "-cpu-quota", "5000", "-cpu-period", "100000", "box"}).ok());
  const Outcome forks = inside("sleep 5 & sleep 5 & sleep 5 & wait");
  EXPECT_TRUE(forks.err.contains("can't fork")) << forks.describe() << held("pids.max");
  int64_t throttled = 0;
  for (int tries = 0; tries < 600 && throttled < 3; ++tries) {
    poll(nullptr, 0, 100);
    throttled = counter(text_of("/sys/fs/cgroup/vm-update/cpu.stat"), "nr_throttled");
  }
  EXPECT_GE(throttled, 3);
  ASSERT_TRUE(update(R"({"cpu":{"period":50000}})").ok());
  EXPECT_EQ(held("cpu.max"), "5000 50000");
  finish();
}

TEST_F(VmUpdate, CheckBeforeUpdateRefusesWhatIsInUse) {
  CLOCHE_NEEDS(needs::cgroup2_controller("memory"));
  // What is in a tmpfs stays.
  start({"sh", "-c", "busybox dd if=/dev/zero of=/dev/shm/kept bs=1M count=24; sleep 1000"},
        {.memory = spec::Memory{.limit = 128 << 20}});
  for (int tries = 0; tries < 600 && std::stoll(held("memory.current")) < (24 << 20); ++tries)
    poll(nullptr, 0, 100);
  const Outcome refused = update(R"({"memory":{"limit":16777216,"checkBeforeUpdate":true}})");
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_TRUE(refused.err.contains("memory.limit: 16777216 is below the")) << refused.describe();
  EXPECT_EQ(held("memory.max"), std::to_string(128 << 20));
  EXPECT_TRUE(update(R"({"memory":{"limit":100663296,"checkBeforeUpdate":true}})").ok());
  EXPECT_EQ(held("memory.max"), "100663296");
  finish();
}

TEST_F(VmUpdate, AChangeThatFailsHalfWayChangesNothing) {
  CLOCHE_NEEDS(needs::cgroup2_controller("memory"));
  CLOCHE_NEEDS(needs::cgroup2_controller("io"));
  CLOCHE_NEEDS(needs::disks());
  start({"sleep", "1000"}, {.memory = spec::Memory{.limit = 64 << 20}, .pids = spec::Pids{.limit = 50}});
  const auto as_before = [&] {
    return held("memory.max") + " " + held("pids.max") + " " + held("io.max") + " " +
           held("cpuset.cpus.effective");
  };
  const std::string before = as_before();
  const std::string disk = shell("lsblk -nro MAJ:MIN /dev/vda").out;
  const auto numbers = disk.substr(0, disk.find('\n'));
  const auto colon = numbers.find(':');
  const Outcome failed =
      update(R"({"memory":{"limit":33554432},"pids":{"limit":9},"cpu":{"cpus":"0"},
    "blockIO":{"throttleReadBpsDevice":[{"major":)" +
             numbers.substr(0, colon) + R"(,"minor":)" + numbers.substr(colon + 1) + R"(,"rate":1000000},
      {"major":999,"minor":999,"rate":1}]}})");
  EXPECT_EQ(failed.exit_code, 1) << failed.describe();
  EXPECT_TRUE(failed.err.contains("io.max") && failed.err.contains("999:999 rbps=1")) << failed.err;
  EXPECT_TRUE(failed.err.contains("(nothing was changed)")) << failed.err;
  EXPECT_EQ(as_before(), before);
  const Outcome unknown = update(R"({"pids":{"limit":9},"unified":{"memory.much":"1"}})");
  EXPECT_TRUE(unknown.err.contains("this kernel has no file memory.much in a cgroup")) << unknown.describe();
  EXPECT_EQ(as_before(), before);
  finish();
}

TEST_F(VmUpdate, MemoryAndSwapTogetherStayWhatTheyWere) {
  CLOCHE_NEEDS(needs::cgroup2_controller("memory"));
  start({"sleep", "1000"}, {.memory = spec::Memory{.limit = 64 << 20, .swap = 96 << 20}});
  ASSERT_TRUE(runtime({"update", "--memory", "80M", "box"}).ok());
  EXPECT_EQ(held("memory.max") + " " + held("memory.swap.max"), "83886080 16777216");
  const Outcome refused = runtime({"update", "--memory", "128M", "box"});
  EXPECT_TRUE(refused.err.contains("memory.limit: 134217728 is above the limit of memory and swap together"))
      << refused.describe();
  EXPECT_EQ(held("memory.max"), "83886080");
  finish();
}

TEST_F(VmUpdate, EachFlagAloneChangesItsFileAndNoOther) {
  for (const char* name : {"cpu", "cpuset", "io", "memory", "pids"})
    CLOCHE_NEEDS(needs::cgroup2_controller(name));
  struct Change {
    const char *flag, *value, *file, *held;
  };
  // In this order: memory and swap together, and a burst, need the limit before them.
  constexpr Change kChanges[] = {
      {"--memory", "64M", "memory.max", "67108864"},
      {"--memory-reservation", "16M", "memory.low", "16777216"},
      {"--memory-swap", "96M", "memory.swap.max", "33554432"},
      {"--cpu-quota", "20000", "cpu.max", "20000 100000"},
      {"--cpu-period", "50000", "cpu.max", "20000 50000"},
      {"--cpu-burst", "10000", "cpu.max.burst", "10000"},
      {"--cpu-share", "2048", "cpu.weight", "174"},
      {"--cpuset-cpus", "1", "cpuset.cpus", "1"},
      {"--cpuset-mems", "0", "cpuset.mems", "0"},
      {"--pids-limit", "33", "pids.max", "33"},
      {"--blkio-weight", "100", "io.weight", "default 910"},
      {"--cpu-idle", "1", "cpu.idle", "1"},
  };
  start({"sleep", "1000"});
  const auto all = [&] {
    std::map<std::string, std::string> files;
    for (const Change& change : kChanges) files[change.file] = held(change.file);
    return files;
  };
  for (const Change& change : kChanges) {
    auto expected = all();
    ASSERT_NE(expected[change.file], change.held) << change.file << " was so before";
    const Outcome outcome = runtime({"update", change.flag, change.value, "box"});
    EXPECT_TRUE(outcome.ok()) << change.flag << ": " << outcome.describe();
    expected[change.file] = change.held;
    if (expected["cpu.idle"] == "1") expected["cpu.weight"] = "0";  // the kernel's word for "none"
    EXPECT_EQ(all(), expected) << change.flag;
  }
  EXPECT_EQ(held("cpuset.cpus.effective"), "1");
  finish();
}

TEST_F(VmUpdate, ADocumentOfTwoLimitsFromAFileAndFromStandardInput) {
  CLOCHE_NEEDS(needs::cgroup2_controller("memory"));
  CLOCHE_NEEDS(needs::cgroup2_controller("pids"));
  start({"sleep", "1000"});
  EXPECT_EQ(held("memory.max") + " " + held("pids.max"), "max max");
  const std::string path = scratch() + "/limits.json";
  std::ofstream(path) << R"({"memory":{"limit":67108864},"pids":{"limit":40}})";
  const Outcome file = runtime({"update", "--resources", path, "box"});
  EXPECT_TRUE(file.ok()) << file.describe();
  EXPECT_EQ(held("memory.max") + " " + held("pids.max"), "67108864 40");
  const Outcome input = test::run({.argv = command({"update", "--resources", "-", "box"}),
                                   .input = R"({"memory":{"limit":50331648},"pids":{"limit":41}})"});
  EXPECT_TRUE(input.ok()) << input.describe();
  EXPECT_EQ(held("memory.max") + " " + held("pids.max"), "50331648 41");
  finish();
}

}  // namespace
}  // namespace cloche::test
