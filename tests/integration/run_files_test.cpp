// Devices and mounts of cloche run.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "support/box.h"
#include "support/host_state.h"
#include "support/needs.h"
#include "support/test_user.h"

namespace cloche::test {
namespace {

namespace fs = std::filesystem;

class RunDevices : public LeaksNothing {};

TEST_F(RunDevices, OnlyTheExpectedNodes) {
  CLOCHE_NEEDS(needs::root());
  const Outcome outcome =
      run_box({},
              "cd /dev; ls -1 | tr '\\n' ' '; stat -c ' %a' shm; echo x > null; head -c2 zero | wc -c;"
              "head -c1 zero > full; head -c3 urandom | wc -c; ls pts; test -d mqueue && echo queues");
  EXPECT_EQ(outcome.out,
            "core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero  1777\n2\n3\n"
            "ptmx\nqueues\n")
      << outcome.describe();
  EXPECT_TRUE(outcome.err.contains("No space left on device")) << outcome.describe();
}

TEST_F(RunDevices, NoNodeCanBeMade) {
  CLOCHE_NEEDS(needs::root());
  EXPECT_FALSE(run_box({"--cap-add", "MKNOD", "--seccomp", "unconfined"}, "mknod /tmp/null c 1 3").ok());
}

// A node that the host lets anybody open, so that only the policy can refuse it.
TEST_F(RunDevices, ThePolicyBites) {
  CLOCHE_NEEDS(needs::root());
  CLOCHE_NEEDS(needs::cgroup2());
  const std::string node = scratch() + "/fuse";
  ASSERT_EQ(mknod(node.c_str(), S_IFCHR, makedev(10, 229)), 0);
  ASSERT_EQ(chmod(node.c_str(), 0666), 0);
  if (!shell("exec 3<>" + node).ok()) GTEST_SKIP() << "needs /dev/fuse";
  const std::string open = "exec 3<>/dev/fuse && echo opened", volume = node + ":/dev/fuse";
  const Outcome denied = run_box({"-v", volume}, open);
  EXPECT_EQ(denied.out, "");
  EXPECT_TRUE(denied.err.contains("Operation not permitted")) << denied.describe();
  EXPECT_EQ(run_box({"-v", volume, "--device-cgroup-rule", "c 10:229 rw"}, open).out, "opened\n");
  EXPECT_EQ(run_box({"-v", volume, "--device-cgroup-rule", "c 10:229 r"}, open).out, "");
  EXPECT_EQ(run_box({"--device", node + ":/dev/fuse"}, open).out, "opened\n");
  EXPECT_EQ(run_box({"--device", node + ":/dev/fuse:r"}, open).out, "");
}

TEST_F(RunDevices, WhatIsNoDeviceIsRefused) {
  for (const char* device : {"/etc/passwd", "/no/such", "dev/null", "/dev/null:/dev/x:q"}) {
    const Outcome outcome = run_box({"--device", device}, "echo ran");
    EXPECT_EQ(outcome.exit_code, 125) << device;
    EXPECT_EQ(outcome.out, "") << device;
  }
}

class RunMounts : public LeaksNothing {
 protected:
  void SetUp() override {
    LeaksNothing::SetUp();
    source_ = scratch() + "/source";
    fs::create_directories(source_ + "/below");
    std::ofstream(source_ + "/file") << "content\n";
    chmod(source_.c_str(), 0777);
    chmod((source_ + "/below").c_str(), 0777);
  }
  std::string source_;
};

TEST_F(RunMounts, AVolumeIsTheHostsDirectory) {
  CLOCHE_NEEDS(needs::root());
  for (const char* target : {"/mnt/data", "/data/deep/down", "/srv/data", "/tmp/data"}) {
    const std::string at = target;
    const Outcome outcome =
        run_box({"-v", source_ + ":" + at}, "cat " + at + "/file; echo new > " + at + "/below/new");
    EXPECT_EQ(outcome.out, "content\n") << at << outcome.describe();
    EXPECT_TRUE(fs::remove(source_ + "/below/new")) << at;
  }
  EXPECT_FALSE(fs::exists("/mnt/data") || fs::exists("/data/deep"));
}

TEST_F(RunMounts, AnOrdinaryUsersVolume) {
  CLOCHE_NEEDS(needs::test_user());
  const TestUser& user = TestUser::get();
  const Outcome outcome = user.run(
      box({"--userns", "own", "-v", user.home() + ":/mnt/home"}, "touch /mnt/home/made; ls /mnt/home"));
  EXPECT_EQ(outcome.out, "made\n") << outcome.describe();
  EXPECT_EQ(user.shell("stat -c %U made").out, user.name() + "\n");
}

TEST_F(RunMounts, ReadOnlyAndRecursively) {
  CLOCHE_NEEDS(needs::root());
  ASSERT_TRUE(shell("mount -t tmpfs -o mode=777 below " + source_ + "/below").ok());
  const std::string script = "touch /srv/x/top && echo top; touch /srv/x/below/y && echo below";
  EXPECT_EQ(run_box({"-v", source_ + ":/srv/x:rw"}, script).out, "top\nbelow\n");
  EXPECT_EQ(run_box({"-v", source_ + ":/srv/x:ro"}, script).out, "below\n");
  EXPECT_EQ(run_box({"-v", source_ + ":/srv/x:rro"}, script).out, "");
  EXPECT_EQ(run_box({"--mount", "type=bind,source=" + source_ + ",target=/srv/x,readonly"}, script).out,
            "below\n");
  EXPECT_EQ(run_box({"--mount", "type=bind,src=" + source_ + ",dst=/srv/x,bind-recursive=disabled"}, script)
                .out.substr(0, 4),
            "top\n");
  EXPECT_TRUE(shell("umount " + source_ + "/below").ok());
}

TEST_F(RunMounts, ASingleFile) {
  CLOCHE_NEEDS(needs::root());
  EXPECT_EQ(run_box({"-v", source_ + "/file:/etc/cloche-new:ro"}, "cat /etc/cloche-new").out, "content\n");
  EXPECT_EQ(run_box({"-v", source_ + "/file:/etc/hostname"}, "cat /etc/hostname").out, "content\n");
}

TEST_F(RunMounts, TmpfsIsBounded) {
  CLOCHE_NEEDS(needs::root());
  const std::string fill = "; dd if=/dev/zero of=/srv/t/x bs=1M count=2 2>&1 | head -1";
  const Outcome outcome = run_box({"--tmpfs", "/srv/t:size=1m"},
                                  "findmnt -no OPTIONS /srv/t | tr , '\\n' | grep ^no | sort" + fill);
  EXPECT_EQ(outcome.out, "nodev\nnoexec\nnosuid\ndd: error writing '/srv/t/x': No space left on device\n")
      << outcome.describe();
  const Outcome mode = run_box({"--mount", "type=tmpfs,target=/srv/t,tmpfs-size=1m,tmpfs-mode=1700"},
                               "stat -c %a /srv/t" + fill);
  EXPECT_EQ(mode.out, "1700\ndd: error writing '/srv/t/x': No space left on device\n") << mode.describe();
}

TEST_F(RunMounts, NoexecBites) {
  CLOCHE_NEEDS(needs::root());
  ASSERT_TRUE(shell("cp /usr/bin/true " + source_ + "/true").ok());
  EXPECT_EQ(run_box({"-v", source_ + ":/srv/x"}, "/srv/x/true").exit_code, 0);
  EXPECT_EQ(run_box({"-v", source_ + ":/srv/x:noexec"}, "/srv/x/true").exit_code, 126);
}

TEST_F(RunMounts, IdmappedFilesAreRoots) {
  CLOCHE_NEEDS(needs::root());
  EXPECT_EQ(run_box({"-v", source_ + ":/srv/x"}, "stat -c %u /srv/x/file").out, "65534\n");
  const Outcome outcome =
      run_box({"-v", source_ + ":/srv/x:idmap"}, "stat -c %u /srv/x/file; touch /srv/x/new");
  const std::string type = shell("stat -fc %T " + source_).out;
  if (type == "tmpfs\n" && needs::kernel(6, 3)) {
    EXPECT_EQ(outcome.exit_code, 125) << outcome.describe();
    EXPECT_TRUE(outcome.err.contains("makes no id-mapped mount of the file system tmpfs"))
        << outcome.describe();
    EXPECT_TRUE(outcome.err.contains("use Linux 6.3 or newer")) << outcome.describe();
    return;
  }
  if (type != "tmpfs\n" && outcome.err.contains("makes no id-mapped mount"))
    GTEST_SKIP() << "needs id-mapped mounts of the file system of " << source_;
  EXPECT_EQ(outcome.out, "0\n") << outcome.describe();
  EXPECT_EQ(shell("stat -c %u " + source_ + "/new").out, "0\n") << "on the host it is root's";
}

TEST_F(RunMounts, NothingPropagatesToTheHost) {
  CLOCHE_NEEDS(needs::root());
  const std::string before = shell("cat /proc/self/mountinfo").out;
  const Outcome outcome =
      run_box({"--cap-add", "SYS_ADMIN", "--seccomp", "unconfined", "-v", source_ + ":/srv/x"},
              "mount -t tmpfs cloche-inner /srv/x && grep -c cloche-inner /proc/self/mountinfo; readlink "
              "/proc/self/cwd;"
              "grep cloche-inner /proc/self/mounts >/dev/null && ls -A /srv/x");
  EXPECT_EQ(outcome.out, "1\n/\n") << outcome.describe();
  EXPECT_EQ(shell("cat /proc/self/mountinfo").out, before);
}

TEST_F(RunMounts, AMissingSourceIsOneStep) {
  CLOCHE_NEEDS(needs::root());
  const Outcome outcome = run_box({"-v", "/no/such:/srv/x"}, "echo ran");
  EXPECT_EQ(outcome.exit_code, 125);
  EXPECT_EQ(outcome.out, "");
  EXPECT_TRUE(outcome.err.contains("/no/such") && outcome.err.contains("ENOENT")) << outcome.err;
}

TEST_F(RunMounts, BadWordsAreRefused) {
  for (const char* volume :
       {"/etc", "relative:/x", "/etc:relative", "/etc:/", "/etc:/x:what", ":", "/etc:/x:ro:ro"})
    EXPECT_EQ(run_box({"-v", volume}, "true").exit_code, 125) << volume;
  for (const char* mount : {"type=nfs,target=/x", "type=bind,target=/x", "type=bind,source=/etc", "what"})
    EXPECT_EQ(run_box({"--mount", mount}, "true").exit_code, 125) << mount;
}

TEST_F(RunMounts, KernelInterfacesAreCoveredOrReadOnly) {
  CLOCHE_NEEDS(needs::root());
  const Outcome outcome = run_box({},
                                  "ls -A /proc/acpi /proc/scsi /sys/firmware 2>/dev/null | grep -v :; cat "
                                  "/proc/keys /proc/timer_list /proc/interrupts;"
                                  "echo x > /proc/sys/kernel/hostname; echo x > /proc/sys/vm/swappiness; "
                                  "mkdir /sys/fs/cgroup/x; echo 1 > /sys/kernel/mm/x");
  EXPECT_EQ(outcome.out.find_first_not_of('\n'), std::string::npos) << outcome.out;
  size_t refused = 0;
  for (size_t at = 0; (at = outcome.err.find("Read-only file system", at)) != std::string::npos; ++at)
    ++refused;
  EXPECT_EQ(refused, 4U) << outcome.describe();
  EXPECT_EQ(run_box({"--mask", "/etc/hostname"}, "cat /etc/hostname").out, "");
}

TEST_F(RunMounts, WordsThatAreNoBooleansAreRefused) {
  for (const char* word : {"readonly=yes", "ro=maybe", "rro=on"}) {
    const Outcome outcome =
        run_box({"--mount", "type=bind,source=" + scratch() + ",target=/x," + word}, "echo ran");
    EXPECT_EQ(outcome.exit_code, 125) << word;
    EXPECT_TRUE(outcome.err.contains("true or false")) << outcome.err;
  }
}

// A user namespace cannot hand its mounts out to the host.
TEST_F(RunMounts, SharedIsRefused) {
  for (const char* word : {"shared", "rshared"}) {
    const Outcome outcome = run_box({"-v", scratch() + ":/x:" + word}, "echo ran");
    EXPECT_EQ(outcome.exit_code, 125) << outcome.describe();
    EXPECT_TRUE(outcome.err.contains("-v " + scratch())) << outcome.err;
  }
}

}  // namespace
}  // namespace cloche::test
