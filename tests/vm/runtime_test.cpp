// The same limits through cloche-runtime: what a bundle's linux.resources says.
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <iostream>

#include "support/bundle.h"
#include "support/needs.h"
#include "vm/counters.h"

namespace cloche::test {
namespace {

class VmRuntime : public RuntimeTest {
 protected:
  Bundle limited(std::vector<std::string> args) {
    Bundle result = bundle(std::move(args));
    result.config.linux_->cgroupsPath = "/vm-runtime";
    result.config.linux_->resources.emplace();
    return result;
  }
  Outcome run_to_end(const Bundle& box) {
    box.write();
    return run(box);
  }
};

constexpr char kCgroup[] = "/sys/fs/cgroup/vm-runtime";

TEST_F(VmRuntime, MemoryLimit) {
  CLOCHE_NEEDS(needs::cgroup2_controller("memory"));
  auto box =
      limited({"sh", "-c", "busybox tail /dev/zero; echo status $?; cat /sys/fs/cgroup/memory.events"});
  box.config.linux_->resources->memory = {.limit = 32 << 20};
  const Outcome inside = run_to_end(box);
  EXPECT_EQ(counter(inside.out, "status"), 137) << inside.describe();
  EXPECT_EQ(counter(inside.out, "oom_kill"), 1) << inside.describe();
  box.config.process->args = {"busybox", "tail", "/dev/zero"};
  EXPECT_EQ(run_to_end(box).exit_code, 137);
}

// cgroup v2 always counts so, which is all that useHierarchy asks for.
TEST_F(VmRuntime, TheMemoryLimitHoldsForCgroupsBelow) {
  CLOCHE_NEEDS(needs::cgroup2_controller("memory"));
  auto box = limited({"sh", "-c",
                      "cd /sys/fs/cgroup; busybox mkdir aside below; echo $$ >aside/cgroup.procs; "
                      "echo +memory >cgroup.subtree_control; sh -c 'echo $$ >below/cgroup.procs; exec "
                      "busybox tail /dev/zero'; "
                      "echo status $?; cat below/memory.max below/memory.events"});
  box.config.linux_->resources->memory = {.limit = 32 << 20, .useHierarchy = true};
  for (spec::Mount& mount : box.config.mounts)
    if (mount.destination == "/sys/fs/cgroup") std::erase(mount.options, "ro");
  const Outcome inside = run_to_end(box);
  EXPECT_EQ(counter(inside.out, "status"), 137) << inside.describe();
  EXPECT_TRUE(inside.out.contains("\nmax\n")) << "it has no limit of its own: " << inside.out;
  EXPECT_EQ(counter(inside.out, "oom_kill"), 1) << inside.describe();
}

// Others end so with a broken pipe, or with nothing at all.
TEST_F(VmRuntime, TooLittleMemoryToStartInIsSaid) {
  CLOCHE_NEEDS(needs::cgroup2_controller("memory"));
  auto box = limited({"true"});
  box.config.linux_->resources->memory = {.limit = 64 << 10, .swap = 64 << 10};
  const Outcome outcome = run_to_end(box);
  EXPECT_EQ(outcome.exit_code, 1) << outcome.describe();
  EXPECT_TRUE(outcome.err.contains("for want of memory: /sys/fs/cgroup/vm-runtime/memory.max is 65536"))
      << outcome.err;
}

// The least memory.max, in steps of 4 KiB, with which three starts of three succeed.
TEST_F(VmRuntime, StartsWithLessMemoryThanCrun) {
  CLOCHE_NEEDS(needs::cgroup2_controller("memory"));
  CLOCHE_NEEDS(needs::program("crun"));
  auto box = limited({"true"});
  box.config.ociVersion = "1.0.0";  // crun 1.8 takes no later one
  std::string last;
  const auto starts = [&](const std::vector<std::string>& program, int64_t limit) {
    box.config.linux_->resources->memory = {.limit = limit, .swap = limit};
    box.write();
    std::vector<std::string> argv = program;
    argv.insert(argv.end(), {"run", "--bundle", box.path(), "least"});
    bool all = true;
    for (int round = 0; round < 3 && all; ++round) {
      const Outcome outcome = test::run({.argv = argv});
      all = outcome.ok();
      last = outcome.describe();
    }
    argv = program;
    argv.insert(argv.end(), {"delete", "--force", "least"});
    (void)test::run({.argv = argv});  // crun may leave what it could not finish
    return all;
  };
  const auto least = [&](const std::vector<std::string>& program) {
    constexpr int64_t kStep = 4 << 10;  // memory.max counts in pages
    int64_t fails = 0, works = 256;  // in steps: 1 MiB
    EXPECT_TRUE(starts(program, works * kStep)) << last;
    while (works - fails > 1) {
      const int64_t middle = (works + fails) / 2;
      (starts(program, middle * kStep) ? works : fails) = middle;
    }
    return works * kStep;
  };
  // Twice, and the better of both: what else the kernel bills to a cgroup differs from start to start, by some pages, and
  // only ever adds.
  int64_t ours = INT64_MAX, theirs = INT64_MAX;
  for (int search = 0; search < 2; ++search) {
    const int64_t our_least = least(command({})),
                  their_least = least({"crun", "--root", scratch() + "/crun"});
    std::cout << "least memory.max: cloche-runtime " << our_least << ", crun " << their_least << "\n";
    ours = std::min(ours, our_least);
    theirs = std::min(theirs, their_least);
  }
  EXPECT_LT(ours, theirs);
}

// The guest mounts the tree with nsdelegate, as systemd does.
TEST_F(VmRuntime, ExecEntersTheCgroupOfAContainerWithACgroupNamespace) {
  auto box = limited({"sleep", "1000"});
  ASSERT_TRUE(start_detached(box).ok());
  const Outcome inside = runtime({"exec", "box", "cat", "/proc/self/cgroup"});
  EXPECT_EQ(inside.out, "0::/\n") << inside.describe();
  stop();
  EXPECT_TRUE(runtime({"delete", "box"}).ok());
}

// One mount in the host's cgroup namespace sets the options of the whole tree.
TEST_F(VmRuntime, TheOptionsOfTheHostsCgroupTreeStay) {
  const std::string set = "grep -c '^cgroup2 .*nsdelegate,memory_recursiveprot' /proc/mounts";
  ASSERT_EQ(shell(set).out, "1\n");
  auto box = limited({"busybox", "grep", "-c", " /sys/fs/cgroup cgroup2 .*nsdelegate", "/proc/mounts"});
  std::erase_if(box.config.linux_->namespaces, [](const auto& entry) { return entry.type == "cgroup"; });
  const Outcome outcome = run_to_end(box);
  EXPECT_EQ(outcome.out, "1\n") << outcome.describe();
  EXPECT_EQ(shell(set).out, "1\n");
}

// The directories of tests are on a tmpfs here, of which Linux makes id-mapped mounts from 6.3 on.
TEST_F(VmRuntime, AnIdMappedMountOfADisk) {
  CLOCHE_NEEDS(needs::disks());
  CLOCHE_NEEDS(needs::program("mkfs.ext4"));
  const std::string source = scratch() + "/disk";
  const Outcome made = shell("set -e; disk=${CLOCHE_VM_DISKS%% *}; mkfs.ext4 -q -F $disk; mkdir " + source +
                             "; mount -t ext4 $disk " + source + "; touch " + source + "/file; chown 10:20 " +
                             source + " " + source + "/file");
  ASSERT_TRUE(made.ok()) << made.describe();
  auto box = bundle({"sh", "-c", "busybox stat -c %u:%g /mapped/file && touch /mapped/new"});
  box.config.process->user = {.uid = 1010, .gid = 1020};
  box.config.mounts.push_back({.destination = "/mapped",
                               .type = "bind",
                               .source = source,
                               .options = {"rbind"},
                               .uidMappings = {{.containerID = 10, .hostID = 1010, .size = 1}},
                               .gidMappings = {{.containerID = 20, .hostID = 1020, .size = 1}}});
  const Outcome outcome = run_to_end(box);
  EXPECT_EQ(outcome.out, "1010:1020\n") << outcome.describe();
  EXPECT_EQ(shell("stat -c %u:%g " + source + "/new").out, "10:20\n");
  EXPECT_TRUE(shell("umount " + source).ok());
}

TEST_F(VmRuntime, PidsLimit) {
  CLOCHE_NEEDS(needs::cgroup2_controller("pids"));
  auto box = limited({"sh", "-c", "while :; do sleep 1000 & done"});
  box.config.linux_->resources->pids = {.limit = 10};
  const Outcome outcome = run_to_end(box);
  EXPECT_EQ(outcome.exit_code, 2) << outcome.describe();
  EXPECT_TRUE(outcome.err.contains("can't fork: Resource temporarily unavailable")) << outcome.describe();
}

TEST_F(VmRuntime, CpuQuota) {
  CLOCHE_NEEDS(needs::cgroup2_controller("cpu"));
  auto box = limited({"sh", "-c", "while :; do :; done"});
  box.config.linux_->resources->cpu = {.quota = 20000, .period = 100000};
  ASSERT_TRUE(start_detached(box).ok());
  int64_t throttled = 0;
  for (int tries = 0; tries < 600 && throttled < 5; ++tries) {
    poll(nullptr, 0, 100);
    throttled = counter(text_of(std::string(kCgroup) + "/cpu.stat"), "nr_throttled");
  }
  EXPECT_GE(throttled, 5);
  stop();
  EXPECT_TRUE(runtime({"delete", "box"}).ok());
}

// What a period leaves of its quota is there for the next one; without a burst the same work is throttled.
TEST_F(VmRuntime, ABurstIsWhatIdlePeriodsLeft) {
  CLOCHE_NEEDS(needs::cgroup2_controller("cpu"));
  // Rounds of some idle periods, and then of work for more than a quota, until `grows` of cpu.stat has grown.
  const auto work = [&](std::optional<uint64_t> burst, const std::string& grows) {
    auto box = limited({"sh", "-c", R"sh(
      count() {
        while read -r key value; do
          case $key in usage_usec) usage=$value ;; $1) seen=$value ;; esac
        done < /sys/fs/cgroup/cpu.stat
      }
      rounds=0
      until count $1; first=${first:-$seen}; [ $seen -gt $first ] || [ $rounds = 100 ]; do
        sleep 1.5
        count $1
        end=$((usage + 130000))
        until [ $usage -ge $end ]; do count $1; done
        rounds=$((rounds + 1))
      done
      echo rounds $rounds
      cat /sys/fs/cgroup/cpu.stat)sh",
                        "sh", grows});
    box.config.linux_->resources->cpu = {.quota = 100000, .burst = burst, .period = 500000};
    return run_to_end(box);
  };
  const Outcome saved = work(100000, "nr_bursts");
  EXPECT_GT(counter(saved.out, "nr_bursts"), 0) << saved.describe();
  EXPECT_GT(counter(saved.out, "burst_usec"), 0) << saved.describe();
  const Outcome unsaved = work({}, "nr_throttled");
  EXPECT_GT(counter(unsaved.out, "nr_throttled"), 0) << unsaved.describe();
  EXPECT_EQ(counter(unsaved.out, "nr_bursts"), 0) << unsaved.describe();
  EXPECT_EQ(counter(unsaved.out, "burst_usec"), 0) << unsaved.describe();
}

// Frozen, a busy container uses no time: its counter stands still while that of the guest's clock goes on.
TEST_F(VmRuntime, APausedContainerUsesNoTime) {
  CLOCHE_NEEDS(needs::cgroup2_controller("cpu"));
  const auto usage = [] { return counter(text_of(std::string(kCgroup) + "/cpu.stat"), "usage_usec"); };
  const auto grows = [&] {
    const int64_t before = usage();
    for (int tries = 0; tries < 20; ++tries) {
      poll(nullptr, 0, 50);
      if (usage() > before) return true;
    }
    return false;
  };
  auto box = limited({"sh", "-c", "while :; do :; done"});
  ASSERT_TRUE(start_detached(box).ok());
  EXPECT_TRUE(grows());
  ASSERT_TRUE(runtime({"pause", "box"}).ok());
  EXPECT_EQ(status(), "paused");
  EXPECT_FALSE(grows());
  ASSERT_TRUE(runtime({"resume", "box"}).ok());
  EXPECT_EQ(status(), "running");
  EXPECT_TRUE(grows());
  stop();
  EXPECT_TRUE(runtime({"delete", "box"}).ok());
}

}  // namespace
}  // namespace cloche::test
