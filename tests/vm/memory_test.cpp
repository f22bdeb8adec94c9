// The memory controller: what a container may use, and what happens beyond it.
#include "support/box.h"
#include "support/host_state.h"
#include "support/needs.h"
#include "vm/counters.h"

namespace cloche::test {
namespace {

class VmMemory : public LeaksNothing {};

// Allocates SIZE and fills it: dd reads into one block of that size.
std::string fill(const std::string& size) {
  return "dd if=/dev/zero of=/dev/null status=none bs=" + size + " count=1; echo status $?; ";
}
const std::string kEvents = "cat /sys/fs/cgroup/memory.events; ";
// 48 MiB of pages in the kernel's cache, which stay there as long as the disk is open.
const std::string kReadDisk = "exec 3< /dev/vda; dd of=/dev/null status=none bs=1M count=48 <&3; ";

TEST_F(VmMemory, ACommandThatAllocatesBeyondTheLimitIsKilled) {
  CLOCHE_NEEDS(needs::cgroup2_controller("memory"));
  const Outcome outcome = cloche_run(
      {"--memory", "48M", "host", "--", "dd", "if=/dev/zero", "of=/dev/null", "bs=256M", "count=1"});
  EXPECT_EQ(outcome.exit_code, 137) << outcome.describe();
}

TEST_F(VmMemory, TheKillIsCountedAndWhatFitsIsNotKilled) {
  CLOCHE_NEEDS(needs::cgroup2_controller("memory"));
  const Outcome outcome = run_box({"--memory", "48M"}, fill("16M") + kEvents + fill("256M") + kEvents);
  ASSERT_TRUE(outcome.ok()) << outcome.describe();
  EXPECT_TRUE(outcome.out.starts_with("status 0\n")) << outcome.out;
  EXPECT_TRUE(outcome.out.contains("oom_kill 0\n")) << outcome.out;
  EXPECT_EQ(counter(outcome.out, "status"), 137) << outcome.out;
  EXPECT_EQ(counter(outcome.out, "oom_kill"), 1) << outcome.out;
}

TEST_F(VmMemory, CgroupConfDecidesWhoIsKilled) {
  CLOCHE_NEEDS(needs::cgroup2_controller("memory"));
  EXPECT_EQ(run_box({"--memory", "48M"}, fill("256M")).out, "status 137\n");
  const Outcome group = run_box({"--memory", "48M", "--cgroup-conf", "memory.oom.group=1"}, fill("256M"));
  EXPECT_EQ(group.exit_code, 137) << group.describe();
  EXPECT_EQ(group.out, "") << "the shell was to be killed too";
}

// Pages of a disk can be dropped again, so the container is not stopped by the limit: it keeps less.
TEST_F(VmMemory, BeyondMemoryHighTheContainerGivesPagesBack) {
  CLOCHE_NEEDS(needs::cgroup2_controller("memory"));
  CLOCHE_NEEDS(needs::disks());
  ASSERT_TRUE(shell("chmod 666 $CLOCHE_VM_DISKS").ok());
  const Outcome outcome = run_box({"--memory-high", "16M", "--device", "/dev/vda"},
                                  kEvents + kReadDisk + kEvents + "grep '^file ' /sys/fs/cgroup/memory.stat");
  ASSERT_TRUE(outcome.ok()) << outcome.describe();
  EXPECT_TRUE(outcome.out.contains("high 0\n")) << outcome.out;
  EXPECT_GT(counter(outcome.out, "high"), 0) << outcome.out;
  EXPECT_LE(counter(outcome.out, "file"), 20 << 20) << outcome.out;
}

TEST_F(VmMemory, SwapIsWhatMemorySwapAllowsBeyondMemory) {
  CLOCHE_NEEDS(needs::cgroup2_controller("memory"));
  CLOCHE_NEEDS(needs::disks());
  ASSERT_TRUE(shell("set -- $CLOCHE_VM_DISKS; mkswap -q $2 && swapon $2").ok());
  // tail keeps all that it reads until the end of its input.
  const std::string script =
      "(head -c 24M /dev/zero; echo swapped $(cat /sys/fs/cgroup/memory.swap.current) >&2) | tail -c 24M | "
      "wc -c";
  const Outcome none = run_box({"--memory", "20M", "--memory-swap", "20M"}, script);
  const Outcome little = run_box({"--memory", "20M", "--memory-swap", "22M"}, script);
  const Outcome enough = run_box({"--memory", "20M", "--memory-swap", "64M"}, script);
  EXPECT_TRUE(shell("set -- $CLOCHE_VM_DISKS; swapoff $2").ok());
  EXPECT_EQ(none.out, "0\n") << none.describe();
  EXPECT_EQ(little.out, "0\n") << little.describe();
  EXPECT_EQ(enough.out, "25165824\n") << enough.describe();
  EXPECT_GT(counter(enough.err, "swapped"), 3 << 20) << enough.err;
}

// How much of 48 MiB of file pages a container keeps when its neighbour reads more than both may have. The neighbour's
// pages can be dropped too: what memory.low protects is taken only when nothing else is left.
int64_t kept_beside_a_neighbour(const std::vector<std::string>& flags) {
  const ParentCgroup both("vm-low");
  both.set("memory.max", "100663296");
  std::vector<std::string> first_flags{"-i", "--cgroup-parent", both.name(), "--device", "/dev/vda"};
  first_flags.insert(first_flags.end(), flags.begin(), flags.end());
  Running first(
      box(first_flags, kReadDisk + "echo ready; read -r go; grep '^file ' /sys/fs/cgroup/memory.stat"));
  if (!first.wait_for_output("ready")) return -1;
  const Outcome neighbour = run_box({"--cgroup-parent", both.name(), "--device", "/dev/vdb"},
                                    "exec 3< /dev/vdb; dd of=/dev/null status=none bs=1M count=120 <&3");
  EXPECT_TRUE(neighbour.ok()) << neighbour.describe();
  first.send_input("go\n");
  const int64_t kept = counter(first.finish().out, "file");
  return kept;
}

TEST_F(VmMemory, MemoryLowKeepsWhatTheNeighbourWouldTake) {
  CLOCHE_NEEDS(needs::cgroup2_controller("memory"));
  CLOCHE_NEEDS(needs::disks());
  ASSERT_TRUE(shell("chmod 666 $CLOCHE_VM_DISKS").ok());
  const int64_t unprotected = kept_beside_a_neighbour({});
  const int64_t kept = kept_beside_a_neighbour({"--memory-low", "64M"});
  EXPECT_LT(unprotected, 40 << 20);
  EXPECT_GE(kept, unprotected + (4 << 20));
}

// What memory.min protects is not taken at all.
TEST_F(VmMemory, MemoryMinKeepsAllOfIt) {
  CLOCHE_NEEDS(needs::cgroup2_controller("memory"));
  CLOCHE_NEEDS(needs::disks());
  ASSERT_TRUE(shell("chmod 666 $CLOCHE_VM_DISKS").ok());
  EXPECT_GE(kept_beside_a_neighbour({"--cgroup-conf", "memory.min=67108864"}), 48 << 20);
}

}  // namespace
}  // namespace cloche::test
