// linux.resources in a bundle: each field arrives in its file, and the limits of the rarer controllers bite.
#include <fmt/format.h>

#include <filesystem>

#include "support/bundle.h"
#include "support/needs.h"
#include "vm/counters.h"

namespace cloche::test {
namespace {

class VmResources : public RuntimeTest {
 protected:
  Bundle limited(const std::string& script) {
    Bundle result = bundle({"sh", "-c", script});
    result.config.linux_->cgroupsPath = "/vm-resources/box";
    result.config.linux_->resources.emplace();
    return result;
  }
  void TearDown() override {
    std::error_code ignored;  // where a container is left in it, the fixture says so
    std::filesystem::remove("/sys/fs/cgroup/vm-resources", ignored);
    RuntimeTest::TearDown();
  }
};

// "8:0" of a disk, as two numbers.
std::pair<int64_t, int64_t> numbers_of(const std::string& disk) {
  const std::string text = shell("lsblk -dnro MAJ:MIN " + disk).out;
  const size_t colon = text.find(':');
  return {std::stoll(text.substr(0, colon)), std::stoll(text.substr(colon + 1))};
}

TEST_F(VmResources, EveryFieldIsInItsFile) {
  for (const char* name : {"cpu", "cpuset", "io", "memory", "pids"})
    CLOCHE_NEEDS(needs::cgroup2_controller(name));
  CLOCHE_NEEDS(needs::disks());
  const auto [major, minor] = numbers_of("/dev/vda");
  // The weight of one disk is the model's that this switches on for it (cgroup-v2.rst, "IO Interface Files").
  ASSERT_TRUE(shell(fmt::format("echo {}:{} enable=1 >/sys/fs/cgroup/io.cost.qos", major, minor)).ok());
  auto box = limited(
      "cd /sys/fs/cgroup; for file in memory.max memory.low memory.swap.max cpu.weight cpu.max cpu.max.burst "
      "cpuset.cpus "
      "cpuset.mems pids.max io.weight io.max memory.oom.group; do echo $file: $(cat $file); done");
  auto& resources = *box.config.linux_->resources;
  resources.memory = {.limit = 64 << 20, .reservation = 16 << 20, .swap = 96 << 20};
  resources.cpu = {
      .shares = 2048, .quota = 40000, .burst = 10000, .period = 50000, .cpus = "0-1", .mems = "0"};
  resources.pids = {.limit = 77};
  resources.blockIO.emplace().weight = 100;
  auto& io = *resources.blockIO;
  io.weightDevice = {{.major = major, .minor = minor, .weight = 1000}};
  io.throttleReadBpsDevice = {{.major = major, .minor = minor, .rate = 1000001}};
  io.throttleWriteBpsDevice = {{.major = major, .minor = minor, .rate = 1000002}};
  io.throttleReadIOPSDevice = {{.major = major, .minor = minor, .rate = 1003}};
  io.throttleWriteIOPSDevice = {{.major = major, .minor = minor, .rate = 1004}};
  resources.unified["memory.oom.group"] = "1";
  const Outcome outcome = run(box);
  EXPECT_EQ(outcome.out, fmt::format("memory.max: 67108864\n"
                                     "memory.low: 16777216\n"
                                     "memory.swap.max: 33554432\n"
                                     "cpu.weight: 174\n"
                                     "cpu.max: 40000 50000\n"
                                     "cpu.max.burst: 10000\n"
                                     "cpuset.cpus: 0-1\n"
                                     "cpuset.mems: 0\n"
                                     "pids.max: 77\n"
                                     "io.weight: default 910 {0}:{1} 10000\n"
                                     "io.max: {0}:{1} rbps=1000001 wbps=1000002 riops=1003 wiops=1004\n"
                                     "memory.oom.group: 1\n",
                                     major, minor))
      << outcome.describe();
}

TEST_F(VmResources, AnIdleContainerHasNoWeight) {
  CLOCHE_NEEDS(needs::cgroup2_controller("cpu"));
  auto box = limited("cd /sys/fs/cgroup; cat cpu.idle cpu.weight");
  box.config.linux_->resources->cpu.emplace() = {.shares = 2048, .idle = 1};
  EXPECT_EQ(run(box).out, "1\n0\n");
}

TEST_F(VmResources, AnIdleContainerGetsWhatABusyOneLeaves) {
  CLOCHE_NEEDS(needs::cgroup2_controller("cpu"));
  CLOCHE_NEEDS(needs::cgroup2_controller("cpuset"));
  const auto start = [&](const std::string& name, std::optional<int64_t> idle) {
    auto box = bundle({"sh", "-c", "while :; do :; done"}, name);
    box.config.linux_->cgroupsPath = "/vm-resources/" + name;
    box.config.linux_->resources.emplace().cpu.emplace() = {.cpus = "0", .idle = idle};
    return start_detached(box, name).ok();
  };
  ASSERT_TRUE(start("idle", 1));
  ASSERT_TRUE(start("busy", {}));
  const auto [idle_used, busy_used] =
      used_together("/sys/fs/cgroup/vm-resources/idle", "/sys/fs/cgroup/vm-resources/busy", 1'500'000);
  for (const char* name : {"busy", "idle"}) {
    stop(name);
    EXPECT_TRUE(runtime({"delete", name}).ok());
  }
  // Equals would have half each.
  EXPECT_GT(busy_used, 1'000'000);
  EXPECT_LT(idle_used, busy_used / 5);
}

// Asked for by nobody, and counted all the same: also below a cgroup that hands nothing down yet.
TEST_F(VmResources, WithoutLimitsItIsCountedToo) {
  CLOCHE_NEEDS(needs::cgroup2_controller("memory"));
  auto box = bundle({"sleep", "1000"});
  box.config.linux_->cgroupsPath = "/vm-resources/box";
  ASSERT_TRUE(start_detached(box).ok());
  const std::string events = runtime({"events", "--stats", "box"}).out;
  EXPECT_GT(std::stoll(member(events, ".data.memory.usage.usage")), 0) << events;
  EXPECT_EQ(member(events, ".data.pids.current"), "1") << events;
  stop();
  EXPECT_TRUE(runtime({"delete", "box"}).ok());
}

TEST_F(VmResources, HugePages) {
  CLOCHE_NEEDS(needs::cgroup2_controller("hugetlb"));
  ASSERT_TRUE(shell("echo 8 >/proc/sys/vm/nr_hugepages; [ $(cat /proc/sys/vm/nr_hugepages) = 8 ]").ok());
  auto box = limited(
      "cat /sys/fs/cgroup/hugetlb.2MB.max /sys/fs/cgroup/hugetlb.2MB.rsvd.max; for pages in 2 4; do "
      "busybox fallocate -l $((pages * 2097152)) /huge/$pages && echo $pages filled; rm -f /huge/$pages; "
      "done; true");
  box.config.linux_->resources->hugepageLimits = {{.pageSize = "2MB", .limit = 3 << 21}};
  box.config.mounts.push_back({.destination = "/huge",
                               .type = "hugetlbfs",
                               .source = "hugetlbfs",
                               .options = {"pagesize=2M"},
                               .uidMappings = {},
                               .gidMappings = {}});
  const Outcome outcome = run(box);
  shell("echo 0 >/proc/sys/vm/nr_hugepages");
  EXPECT_EQ(outcome.out, "6291456\n6291456\n2 filled\n") << outcome.describe();
}

// Past the pages that are promised mmap(2) fails; past those in use, which no promise bounds here, it is a SIGBUS.
TEST_F(VmResources, PastThePromisedHugePagesMmapFails) {
  CLOCHE_NEEDS(needs::cgroup2_controller("hugetlb"));
  CLOCHE_NEEDS(needs::program("perl"));
  ASSERT_TRUE(shell("echo 8 >/proc/sys/vm/nr_hugepages; [ $(cat /proc/sys/vm/nr_hugepages) = 8 ]").ok());
  // mmap(NULL, pages, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0), then a byte of
  // each page.
  const std::string map = R"sh(/usr/bin/perl -e '
    sub map_pages { my $at = syscall(9, 0, $_[0] << 21, 3, 0x40022, -1, 0);
                    print "$_[0] ", $at == -1 ? "errno " . ($! + 0) : "mapped", "\n"; $at }
    $| = 1;
    my $two = map_pages(2);
    my $three = map_pages(3);
    for ([$two, 2], [$three, 3]) {
      my ($at, $pages) = @$_;
      next if $at == -1;
      unpack("P1", pack("J", $at + ($_ << 21))), print "used\n" for 0 .. $pages - 1;
    }'; echo status $?)sh";
  auto box = limited(map);
  // The bundle has busybox only.
  box.config.mounts.push_back({.destination = "/usr",
                               .type = "bind",
                               .source = "/usr",
                               .options = {"rbind", "ro"},
                               .uidMappings = {},
                               .gidMappings = {}});
  for (const char* name : {"lib", "lib64"})
    std::filesystem::create_directory_symlink(std::string("usr/") + name, box.rootfs() + "/" + name);
  auto& resources = *box.config.linux_->resources;
  resources.hugepageLimits = {{.pageSize = "2MB", .limit = 4 << 21}};
  resources.unified = {{"hugetlb.2MB.rsvd.max", std::to_string(3 << 21)}};
  const Outcome promised = run(box);
  resources.unified = {{"hugetlb.2MB.rsvd.max", "max"}};
  const Outcome used = run(box);
  shell("echo 0 >/proc/sys/vm/nr_hugepages");
  EXPECT_EQ(promised.out, "2 mapped\n3 errno 12\nused\nused\nstatus 0\n") << promised.describe();
  EXPECT_EQ(used.out, "2 mapped\n3 mapped\nused\nused\nused\nused\nstatus 135\n") << used.describe();
}

TEST_F(VmResources, FilesWithoutAFieldAreWrittenByUnified) {
  CLOCHE_NEEDS(needs::cgroup2_controller("memory"));
  auto box = limited(
      "cd /sys/fs/cgroup; cat memory.high memory.min memory.swap.high; "
      "busybox dd if=/dev/zero of=/dev/shm/x bs=1M count=16 2>/dev/null; "
      "grep ^high memory.events");
  box.config.linux_->resources->unified = {
      {"memory.high", "16777216"}, {"memory.min", "4194304"}, {"memory.swap.high", "1048576"}};
  const Outcome outcome = run(box);
  EXPECT_TRUE(outcome.out.starts_with("16777216\n4194304\n1048576\n")) << outcome.describe();
  EXPECT_GT(counter(outcome.out, "high"), 0) << outcome.describe();
}

TEST_F(VmResources, CompressedSwapIsBoundedByUnified) {
  CLOCHE_NEEDS(needs::cgroup2_controller("memory"));
  auto box = limited("sleep 1000");
  box.config.linux_->resources->unified = {{"memory.zswap.max", "8388608"}};
  const Outcome started = start_detached(box);
  ASSERT_TRUE(started.ok()) << started.describe();
  const auto held = [] { return text_of("/sys/fs/cgroup/vm-resources/box/memory.zswap.max"); };
  EXPECT_EQ(held(), "8388608\n");
  const Outcome changed = test::run({.argv = command({"update", "--resources=-", "box"}),
                                     .input = R"({"unified":{"memory.zswap.max":"4194304"}})"});
  EXPECT_TRUE(changed.ok()) << changed.describe();
  EXPECT_EQ(held(), "4194304\n");
  stop();
  EXPECT_TRUE(runtime({"delete", "box"}).ok());
}

// The guest's processor has nothing that the misc controller counts, and its kernel no io.latency.
TEST_F(VmResources, WhatThisKernelDoesNotHaveIsNamed) {
  CLOCHE_NEEDS(needs::cgroup2_controller("io"));
  CLOCHE_NEEDS(needs::cgroup2_controller("misc"));
  CLOCHE_NEEDS(needs::disks());
  ASSERT_EQ(text_of("/sys/fs/cgroup/misc.capacity"), "");
  auto box = limited("echo started");
  auto& unified = box.config.linux_->resources->unified;
  unified = {{"misc.max", "sev 1"}};
  const Outcome misc = run(box);
  expect_refusal(misc, "the kernel takes no sev 1 for misc.max");
  EXPECT_EQ(misc.out, "");
  const auto [major, minor] = numbers_of("/dev/vda");
  unified = {{"io.latency", fmt::format("{}:{} target=10000", major, minor)}};
  const Outcome latency = run(box);
  expect_refusal(latency, "this kernel has no file io.latency in a cgroup");
  EXPECT_EQ(latency.out, "");
}

// cgroup.kill takes a frozen tree away, and what forks while it is killed.
TEST_F(VmResources, AFrozenOneIsKilledWithAllItsChildren) {
  auto box = limited("for i in 1 2 3 4 5; do sleep 1000 & done; echo ready; wait");
  ASSERT_TRUE(start_detached(box).ok());
  ASSERT_TRUE(says("ready"));
  ASSERT_TRUE(runtime({"pause", "box"}).ok());
  EXPECT_EQ(counter(text_of("/sys/fs/cgroup/vm-resources/box/cgroup.events"), "frozen"), 1);
  ASSERT_TRUE(runtime({"kill", "--all", "box", "KILL"}).ok());
  EXPECT_TRUE(reaches("stopped"));
  EXPECT_EQ(counter(text_of("/sys/fs/cgroup/vm-resources/box/cgroup.events"), "populated"), 0);
  EXPECT_TRUE(runtime({"delete", "box"}).ok());
}

}  // namespace
}  // namespace cloche::test
