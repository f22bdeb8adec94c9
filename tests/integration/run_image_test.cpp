// The image host: the host's files, without what is private on the host, and without a way to change them.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
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

class RunImage : public LeaksNothing {
 protected:
  void TearDown() override {
    for (const std::string& path : made_) fs::remove_all(path);
    LeaksNothing::TearDown();
  }
  // A file that only its owner may read, in a directory that everybody may enter.
  std::string key(const std::string& directory, uid_t owner) {
    const std::string path = fmt::format("{}/cloche-test-key-{}-{}", directory, getpid(), owner);
    std::ofstream(path) << "secret\n";
    EXPECT_EQ(chmod(path.c_str(), 0600), 0);
    EXPECT_EQ(chown(path.c_str(), owner, owner), 0);
    made_.push_back(path);
    return path;
  }
  std::vector<std::string> made_;
};

TEST_F(RunImage, SameFilesAnotherView) {
  CLOCHE_NEEDS(needs::root());
  const std::string script = "sha256sum /usr/bin/env; cat /etc/os-release";
  const Outcome inside = run_box({}, script);
  ASSERT_TRUE(inside.ok()) << inside.describe();
  EXPECT_EQ(inside.out, shell(script).out);
  const Outcome root = run_box({}, "id -u; stat -c %d:%i /; cut -d' ' -f4,5 /proc/self/mountinfo | head -1");
  EXPECT_TRUE(root.out.starts_with("0\n")) << root.describe();
  EXPECT_FALSE(root.out.contains("\n" + shell("stat -c %d:%i /").out)) << "the root is the host's";
}

TEST_F(RunImage, WhatIsPrivateOnTheHostIsNotReadable) {
  CLOCHE_NEEDS(needs::root());
  for (const char* directory : {"/root", "/home", "/opt", "/srv"}) {
    const std::string path = key(directory, 0);
    const Outcome inside = run_box({}, "cat /etc/shadow " + path);
    EXPECT_FALSE(inside.ok());
    EXPECT_EQ(inside.out, "") << inside.describe();
  }
  // Nor for root with every right that a person can give.
  const std::string path = key("/opt", 0);
  const Outcome mighty =
      run_box({"--cap-add", "DAC_READ_SEARCH", "--cap-add", "SYS_ADMIN", "--seccomp", "unconfined"},
              "cat /etc/shadow " + path + "; chmod 666 /etc/shadow; chown 0 " + path);
  EXPECT_EQ(mighty.out, "") << mighty.describe();
}

TEST_F(RunImage, WhatIsPrivateIsNotReadableForAnOrdinaryUser) {
  CLOCHE_NEEDS(needs::test_user());
  CLOCHE_NEEDS(needs::id_map_helpers());
  const TestUser& user = TestUser::get();
  std::vector<std::string> roots, own{user.home() + "/key"};
  ASSERT_TRUE(user.shell("umask 077; echo secret > ~/key").ok());
  for (const char* directory : {"/home", "/opt", "/srv"}) {
    roots.push_back(key(directory, 0));
    own.push_back(key(directory, user.uid()));
  }
  for (const std::string& path : roots) {
    EXPECT_EQ(user.run(box({}, "cat /etc/shadow " + path)).out, "");
    EXPECT_EQ(user.run(box({"--userns", "own"}, "cat /etc/shadow " + path)).out, "");
  }
  for (const std::string& path : own) EXPECT_EQ(user.run(box({}, "cat " + path)).out, "") << path;
  // With the user's own id as root, the homes are still covered.
  EXPECT_EQ(user.run(box({"--userns", "own"}, "cat " + own[0] + " " + own[1])).out, "");
}

TEST_F(RunImage, WithoutSubordinateIds) {
  CLOCHE_NEEDS(needs::test_user());
  const TestUser& user = TestUser::get(TestUser::SubordinateIds::kNone);
  const std::string path = key("/opt", 0);
  ASSERT_TRUE(user.shell("umask 077; echo secret > ~/key").ok());
  const Outcome inside = user.run(box({}, "id -u; awk '{print $1, $3}' /proc/self/uid_map; cat /etc/shadow " +
                                              path + " " + user.home() + "/key"));
  EXPECT_EQ(inside.out, "0\n0 1\n") << inside.describe();
}

TEST_F(RunImage, HomesAreEmptyUnlessAskedFor) {
  CLOCHE_NEEDS(needs::root());
  const std::string path = key("/home", 0);
  ASSERT_EQ(chmod(path.c_str(), 0644), 0);
  EXPECT_EQ(run_box({}, "ls -A /root /home /tmp /run").out, "/home:\n\n/root:\n\n/run:\n\n/tmp:\n");
  const Outcome shown = run_box({"--show", "/home"}, "cat " + path + "; touch /home/x");
  EXPECT_EQ(shown.out, "secret\n") << shown.describe();
  EXPECT_TRUE(shown.err.contains("Read-only file system")) << shown.describe();
}

TEST_F(RunImage, WritesVanishAndTheHostIsUnchanged) {
  CLOCHE_NEEDS(needs::root());
  const std::string canary = fmt::format("/opt/cloche-test-canary-{}", getpid());
  made_.push_back(canary);
  fs::create_directories(canary + "/sub");
  std::ofstream(canary + "/sub/file") << "canary\n";
  const std::string hash = "find " + canary +
                           " /etc -xdev -printf '%p %m %U %s %T@\\n' | sort | sha256sum; cat " + canary +
                           "/sub/file";
  const std::string before = shell(hash).out;
  const Outcome inside =
      run_box({},
              "echo new > /etc/cloche-new && rm /etc/os-release /etc/motd; ls /etc/motd; cat /etc/cloche-new;"
              "rm -rf " +
                  canary + "; echo x > /usr/cloche-new; mkdir /cloche-new && echo made");
  EXPECT_EQ(inside.out, "new\nmade\n") << inside.describe();
  EXPECT_EQ(shell(hash).out, before);
  EXPECT_FALSE(fs::exists("/cloche-new") || fs::exists("/usr/cloche-new") || fs::exists("/etc/cloche-new"));
  EXPECT_EQ(run_box({}, "ls -d /cloche-new /etc/cloche-new").out, "");
}

TEST_F(RunImage, AnOrdinaryUserChangesItsOwnViewToo) {
  CLOCHE_NEEDS(needs::test_user());
  const Outcome inside =
      TestUser::get().run(box({}, "echo new > /etc/cloche-new && cat /etc/cloche-new; id -u"));
  EXPECT_EQ(inside.out, "new\n0\n") << inside.describe();
  EXPECT_FALSE(fs::exists("/etc/cloche-new"));
}

TEST_F(RunImage, ReadOnlyRoot) {
  CLOCHE_NEEDS(needs::root());
  const Outcome inside = run_box({"--read-only"}, "touch /x; touch /etc/x; touch /tmp/x && echo tmp");
  EXPECT_EQ(inside.out, "tmp\n") << inside.describe();
  EXPECT_TRUE(inside.err.contains("'/etc/x': Read-only file system")) << inside.describe();
}

TEST_F(RunImage, ScratchIsBounded) {
  CLOCHE_NEEDS(needs::root());
  const Outcome inside = run_box({"--scratch-size", "1m"}, "dd if=/dev/zero of=/opt/big bs=1M count=3");
  EXPECT_TRUE(inside.err.contains("No space left on device")) << inside.describe();
}

TEST_F(RunImage, NoMountOfTheHostIsInside) {
  CLOCHE_NEEDS(needs::root());
  const std::string mine = scratch() + "/mounted";
  fs::create_directory(mine);
  ASSERT_TRUE(shell("mount -t tmpfs cloche-canary " + mine).ok());
  const Outcome inside = run_box({}, "cat /proc/self/mountinfo; ls /proc/1/root/.. | head -1");
  EXPECT_TRUE(shell("umount " + mine).ok());
  ASSERT_TRUE(inside.ok()) << inside.describe();
  EXPECT_FALSE(inside.out.contains("cloche-canary")) << inside.out;
  EXPECT_FALSE(inside.out.contains("shared:")) << inside.out;
  EXPECT_FALSE(inside.out.contains("master:")) << inside.out;
  EXPECT_FALSE(inside.out.contains("/scratch")) << inside.out;
}

}  // namespace
}  // namespace cloche::test
