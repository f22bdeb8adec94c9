// Containers whose root is nobody to the host, and what criu would bring back with fewer restrictions.
#include <fmt/format.h>
#include <unistd.h>

#include <fstream>

#include "vm/checkpoint.h"

namespace cloche::test {
namespace {

namespace fs = std::filesystem;

constexpr uint32_t kRoot = 100000, kIds = 65536;

// Files for the streams of a restored container: its root opens them again.
void make_streams(const std::string& directory, uint32_t owner) {
  for (const char* name : {"/out2", "/err2"}) {
    std::ofstream(directory + name).close();
    EXPECT_EQ(chown((directory + name).c_str(), owner, owner), 0);
  }
}

// Ids, capabilities, filters and the root's mount of a process.
std::string restrictions(const std::string& pid) {
  return shell(
             fmt::format("cd /proc/{}; grep -E '^([UG]id|Groups|Cap(Inh|Prm|Eff|Bnd)|NoNewPrivs|Seccomp)' "
                         "status; cat uid_map gid_map setgroups; awk '$5 == \"/\" {{ print $6 }}' mountinfo",
                         pid))
      .out;
}

TEST_F(VmCheckpoint, AUserNamespaceComesBackWithItsMapsAndRestrictions) {
  CLOCHE_NEEDS(needs::program("criu"));
  auto box = counting();
  box.map_ids(kRoot, kIds);
  box.config.process->noNewPrivileges = true;
  box.config.linux_->seccomp = {.defaultAction = "SCMP_ACT_ALLOW",
                                .syscalls = {{.names = {"mkdir"}, .action = "SCMP_ACT_ERRNO"}}};
  // Neither the source nor the images can be reached by the container's root.
  const std::string closed = scratch() + "/closed";
  fs::create_directories(closed + "/data");
  fs::permissions(closed, fs::perms::owner_all);
  std::ofstream(closed + "/data/word") << "outside\n";
  box.config.mounts.push_back(
      {.destination = "/data", .type = "bind", .source = closed + "/data", .options = {"rbind", "ro"}});
  ASSERT_TRUE(start_detached(box).ok());
  ASSERT_TRUE(counts_beyond(box, 3));
  const auto pid = [&](const std::string& id) { return member(runtime({"state", id}).out, ".pid"); };
  const std::string before = restrictions(pid("box"));
  EXPECT_NE(before.find(fmt::format("{}", kRoot)), std::string::npos) << before;
  const Outcome first = runtime({"checkpoint", "--pre-dump", "--image-path", images("first"), "box"});
  ASSERT_TRUE(first.ok()) << first.describe();
  const Outcome dumped = checkpoint({"--parent-path", "../first", "--leave-running"});
  ASSERT_TRUE(dumped.ok()) << dumped.describe();
  const int64_t number = count(box);
  EXPECT_TRUE(counts_beyond(box, number));
  end("box");
  std::ofstream(box.rootfs() + "/count") << "0\n";

  expect_refusal(restore(box, "other"), "cannot be opened by root of the container's user namespace");
  make_streams(scratch(), kRoot);
  box.config.linux_->gidMappings.front().hostID = kRoot + 1;
  expect_refusal(restore(box, "other"), "dumped with another map (0 100000 65536)");
  box.config.linux_->gidMappings.front().hostID = kRoot;
  fs::permissions(images() + "/core-1.img", fs::perms(0600));
  expect_refusal(restore(box, "other"), "may not read \"core-1.img\"");
  fs::permissions(images() + "/core-1.img", fs::perms(0644));
  const Outcome restored = restore_elsewhere(box);
  ASSERT_TRUE(restored.ok()) << restored.describe();
  EXPECT_TRUE(counts_beyond(box, number));
  EXPECT_EQ(restrictions(pid("other")), before);
  const Outcome seen =
      runtime({"exec", "other", "sh", "-c",
               "cat /data/word; echo x >/data/word; mkdir /made; cat /sys/fs/cgroup/pids.max"});
  EXPECT_EQ(seen.out, "outside\n50\n") << seen.describe();
  EXPECT_EQ(runtime({"exec", "--user", "7:8", "other", "busybox", "id", "-u"}).out, "7\n");
  ASSERT_TRUE(runtime({"pause", "other"}).ok());
  EXPECT_EQ(status("other"), "paused");
  ASSERT_TRUE(runtime({"resume", "other"}).ok());
  end("other");
  EXPECT_FALSE(fs::exists(state_root() + "/other"));
  EXPECT_FALSE(fs::exists("/sys/fs/cgroup/vm-checkpoint-2"));
}

// The mount is on a disk: Linux makes id-mapped mounts of a tmpfs from 6.3 on.
TEST_F(VmCheckpoint, AUserNamespacesTerminalReadOnlyRootAndIdMappedMount) {
  CLOCHE_NEEDS(needs::program("criu"));
  CLOCHE_NEEDS(needs::disks());
  CLOCHE_NEEDS(needs::program("mkfs.ext4"));
  const std::string disk = scratch() + "/disk";
  const Outcome made =
      shell("set -e; disk=${CLOCHE_VM_DISKS%% *}; mkfs.ext4 -q -F $disk; mkdir " + disk +
            "; mount -t ext4 $disk " + disk + "; touch " + disk + "/file; chown 10:20 " + disk + "/file");
  ASSERT_TRUE(made.ok()) << made.describe();
  auto box = counting(kAnswer);
  box.map_ids(kRoot, kIds);
  box.config.root->readonly = true;
  box.config.process->terminal = true;
  box.config.mounts.push_back(
      {.destination = "/mapped", .type = "bind", .source = disk, .options = {"rbind", "idmap"}});
  box.write();
  std::optional<Running> second;
  ASSERT_NO_FATAL_FAILURE(bring_over(box, second));
  const Outcome seen = runtime(
      {"exec", "box", "sh", "-c", "echo said >/dev/console; busybox stat -c %u:%g /mapped/file; : >/new"});
  EXPECT_TRUE(second->wait_for_output("said"));
  EXPECT_EQ(seen.out, "10:20\n") << seen.describe();
  EXPECT_FALSE(seen.ok());
  EXPECT_FALSE(fs::exists(box.rootfs() + "/new"));
  interrupt(*second);
  expect_gone();
  EXPECT_TRUE(shell("umount " + disk).ok());
}

}  // namespace
}  // namespace cloche::test
