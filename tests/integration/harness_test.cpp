// The test support, tested: a checker that finds nothing proves nothing until it has found something.
#include <fmt/format.h>
#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "support/command.h"
#include "support/host_state.h"
#include "support/needs.h"
#include "support/test_user.h"

namespace cloche::test {
namespace {

using std::chrono::milliseconds;

class Harness : public LeaksNothing {
 protected:
  // Whether one line of what differs from `before_` says this kind and holds this text.
  [[nodiscard]] bool finds(const std::string& kind, const std::string& text) const {
    const auto lines = left_behind(before_, milliseconds(0));
    return std::ranges::any_of(lines, [&](const std::string& line) {
      return line.starts_with(kind + " left behind") && line.contains(text);
    });
  }
  HostState before_;
};

TEST_F(Harness, FindsAMount) {
  CLOCHE_NEEDS(needs::root());
  const std::string path = scratch() + "/mounted";
  std::filesystem::create_directory(path);
  before_ = HostState::take();
  ASSERT_EQ(mount("left", path.c_str(), "tmpfs", 0, nullptr), 0);
  EXPECT_TRUE(finds("mount", path));
  ASSERT_EQ(umount(path.c_str()), 0);
  EXPECT_TRUE(left_behind(before_).empty());
}

TEST_F(Harness, FindsACgroup) {
  CLOCHE_NEEDS(needs::root());
  CLOCHE_NEEDS(needs::cgroup2());
  const std::string top = shell("awk '$3 == \"cgroup2\" {printf \"%s\", $2; exit}' /proc/mounts").out;
  const std::string path = top + "/cloche-harness-test";
  before_ = HostState::take();
  ASSERT_EQ(mkdir(path.c_str(), 0755), 0);
  EXPECT_TRUE(finds("cgroup", path));
  ASSERT_EQ(rmdir(path.c_str()), 0);
  EXPECT_TRUE(left_behind(before_).empty());
}

TEST_F(Harness, FindsADetachedProcess) {
  before_ = HostState::take();
  // Its parent ends at once; it has no environment, a session of its own, and none of our pipes.
  const Outcome outcome = shell("setsid env -i sleep 600 </dev/null >/dev/null 2>&1 & echo $!");
  ASSERT_TRUE(outcome.ok()) << outcome.describe();
  const pid_t pid = std::stoi(outcome.out);
  EXPECT_TRUE(finds("process", fmt::format(": {} (", pid)));
  ASSERT_EQ(kill(pid, SIGKILL), 0);
  EXPECT_EQ(waitpid(pid, nullptr, 0), pid) << "a detached process is inherited by the test program";
  EXPECT_TRUE(left_behind(before_).empty());
}

TEST_F(Harness, FindsAFileInARuntimeDirectory) {
  before_ = HostState::take();
  const std::string path = "/tmp/cloche-left-by-harness-test";
  std::ofstream(path).flush();
  EXPECT_TRUE(finds("file", path));
  std::filesystem::remove(path);
  EXPECT_TRUE(left_behind(before_).empty());
}

TEST_F(Harness, FindsANetworkLink) {
  CLOCHE_NEEDS(needs::root());
  before_ = HostState::take();
  const Outcome made = shell("ip link add cloche-h0 type veth peer name cloche-h1");
  if (!made.ok()) GTEST_SKIP() << "needs veth links: " << made.err;
  EXPECT_TRUE(finds("link", "cloche-h0"));
  ASSERT_TRUE(shell("ip link delete cloche-h0").ok());
  EXPECT_TRUE(left_behind(before_).empty());
}

TEST_F(Harness, ADisappearedMountIsFoundToo) {
  CLOCHE_NEEDS(needs::root());
  const std::string path = scratch() + "/mounted";
  std::filesystem::create_directory(path);
  ASSERT_EQ(mount("there", path.c_str(), "tmpfs", 0, nullptr), 0);
  const HostState with = HostState::take();
  ASSERT_EQ(umount(path.c_str()), 0);
  const auto lines = difference(with, HostState::take());
  EXPECT_TRUE(std::ranges::any_of(
      lines, [&](const std::string& line) { return line.starts_with("mount gone") && line.contains(path); }));
}

TEST_F(Harness, RemovesATreeButNothingThatIsMountedInIt) {
  CLOCHE_NEEDS(needs::root());
  const std::string precious = scratch() + "/precious", tree = scratch() + "/tree";
  std::filesystem::create_directories(precious);
  std::filesystem::create_directories(tree + "/bound");
  std::ofstream(precious + "/file").flush();
  ASSERT_EQ(mount(precious.c_str(), (tree + "/bound").c_str(), nullptr, MS_BIND, nullptr), 0);
  EXPECT_TRUE(remove_tree(tree));
  EXPECT_FALSE(std::filesystem::exists(tree));
  EXPECT_TRUE(std::filesystem::exists(precious + "/file"));
}

// The fixture itself, not only what it calls.
class Leaking : public LeaksNothing {
 public:
  void TestBody() override { std::ofstream(path()).flush(); }
  void live() {
    SetUp();
    TestBody();
    TearDown();
  }
  static std::string path() { return "/tmp/cloche-left-by-a-fixture"; }
};

TEST(HarnessFixture, FailsTheTestThatLeaks) {
  EXPECT_NONFATAL_FAILURE(Leaking().live(), "file left behind: /tmp/cloche-left-by-a-fixture");
  std::filesystem::remove(Leaking::path());
}

TEST(HarnessCommand, CapturesBothOutputsAndTheExitCode) {
  const Outcome outcome = shell("echo out; echo err >&2; exit 7");
  EXPECT_EQ(outcome.exit_code, 7);
  EXPECT_EQ(outcome.out, "out\n");
  EXPECT_EQ(outcome.err, "err\n");
  EXPECT_EQ(shell("kill -TERM $$").signal, SIGTERM);
}

TEST(HarnessCommand, FeedsStandardInputToItsEnd) {
  const std::string much(1 << 20, 'x');
  EXPECT_EQ(run({.argv = {"wc", "-c"}, .input = much}).out, "1048576\n");
  EXPECT_EQ(run({.argv = {"cat"}}).out, "") << "without input, standard input is at its end";
}

TEST(HarnessCommand, IsBounded) {
  const Outcome outcome = run({.argv = {"sleep", "600"}, .limit = std::chrono::seconds(1)});
  EXPECT_TRUE(outcome.timed_out);
  EXPECT_EQ(outcome.signal, SIGKILL);
}

TEST(HarnessCommand, SpeaksWithARunningProgram) {
  Running cat(Command{.argv = {"cat"}});
  cat.send_input("one\n");
  EXPECT_TRUE(cat.wait_for_output("one"));
  cat.send_input("two\n");
  EXPECT_TRUE(cat.wait_for_output("two"));
  EXPECT_TRUE(cat.finish().ok());
}

TEST(HarnessCommand, SeesAPureCgroup2Tree) {
  CLOCHE_NEEDS(needs::root());
  const Outcome outcome =
      run({.argv = {"sh", "-c", "grep -c ' cgroup2 ' /proc/mounts; grep -c ' cgroup ' /proc/mounts"},
           .pure_cgroup2 = true});
  EXPECT_EQ(outcome.out, "1\n0\n") << outcome.describe();
}

TEST(HarnessUser, IsOrdinaryAndHasSubordinateIds) {
  CLOCHE_NEEDS(needs::test_user());
  const TestUser& user = TestUser::get();
  const Outcome outcome =
      user.shell("id -u; id -G; cd; pwd; stat -c %u:%a $XDG_RUNTIME_DIR; cat /etc/shadow");
  EXPECT_EQ(outcome.out, fmt::format("{0}\n{1}\n{2}\n{0}:700\n", user.uid(), user.gid(), user.home()));
  EXPECT_FALSE(outcome.ok()) << "an ordinary user does not read /etc/shadow";
  EXPECT_TRUE(shell("grep -q '^" + user.name() + ":' /etc/subuid /etc/subgid").ok());
}

TEST(HarnessUser, CanBeWithoutSubordinateIds) {
  CLOCHE_NEEDS(needs::test_user());
  const TestUser& user = TestUser::get(TestUser::SubordinateIds::kNone);
  EXPECT_TRUE(user.shell("true").ok());
  EXPECT_FALSE(shell("grep '^" + user.name() + ":' /etc/subuid").ok());
}

TEST(HarnessUser, MapsARangeOfIds) {
  CLOCHE_NEEDS(needs::test_user());
  CLOCHE_NEEDS(needs::id_map_helpers());
  const Outcome outcome = TestUser::get().shell("unshare --map-auto --map-root-user cat /proc/self/uid_map");
  if (outcome.err.contains("unshare failed")) GTEST_SKIP() << "needs user namespaces: " << outcome.err;
  EXPECT_TRUE(outcome.out.contains("65536") || outcome.out.contains("65535")) << outcome.describe();
}

TEST(HarnessNeeds, SayWhatIsMissing) {
  EXPECT_EQ(needs::kernel(5, 15), std::nullopt);
  EXPECT_TRUE(needs::kernel(99, 0).value_or("").starts_with("Linux 99.0, this is "));
  EXPECT_EQ(needs::program("no-such-program"), "the program no-such-program");
  EXPECT_TRUE(
      needs::cgroup2_controller("no-such").value_or("").starts_with("the no-such controller on cgroup v2"));
}

}  // namespace
}  // namespace cloche::test
