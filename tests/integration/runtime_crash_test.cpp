// cloche-runtime killed at system calls in turn: what it leaves can be deleted, whatever the point.
#include <filesystem>

#include "support/bundle.h"
#include "support/needs.h"

namespace cloche::test {
namespace {

// SIGKILL at the n-th of one kind of call, by strace's fault injection; only the caller's side is traced.
class RuntimeCrash : public RuntimeTest {
 protected:
  // Kills `words` at every call of these kinds in turn and deletes what is there. `prepare` comes before each; false
  // ends the sweep. The number of points is returned.
  template <class Prepare>
  int sweep(const std::vector<std::string>& words, const std::vector<std::string>& calls, Prepare&& prepare) {
    int points = 0;
    for (const std::string& call : calls) {
      for (int nth = 1; nth <= 60; ++nth) {
        prepare();
        std::vector<std::string> argv{"sh",
                                      "-c",
                                      "out=$1; shift; exec \"$@\" </dev/null >\"$out\" 2>&1",
                                      "sh",
                                      scratch() + "/trace",
                                      "strace",
                                      "-qq",
                                      "-o",
                                      "/dev/null",
                                      "-e",
                                      "trace=" + call,
                                      "-e",
                                      "inject=" + call + ":signal=KILL:when=" + std::to_string(nth)};
        for (std::string& word : command(words)) argv.push_back(std::move(word));
        const Outcome killed = test::run({.argv = argv});
        const bool hit = killed.signal == SIGKILL || killed.exit_code == 137;
        points += hit ? 1 : 0;
        const std::string at = call + " " + std::to_string(nth);
        const Outcome deleted = runtime({"delete", "--force", "box"});
        EXPECT_TRUE(deleted.ok()) << at << ": " << deleted.describe();
        EXPECT_FALSE(std::filesystem::exists(state_root() + "/box")) << at;
        const auto left = mounts_below(scratch());
        EXPECT_TRUE(left.empty()) << at;
        const std::string alive = shell("pgrep -f '^sleep 31415' || true").out;
        EXPECT_EQ(alive, "") << at << ": the command is left running";
        if (!hit || HasFailure()) break;
      }
    }
    return points;
  }
};

const std::vector<std::string> kCalls{"mkdirat", "openat", "write", "renameat", "clone3", "recvmsg",
                                      "sendmsg", "listen", "bind",  "unlinkat", "fchmod", "ppoll"};

TEST_F(RuntimeCrash, CreateKilledAtAnyPointIsDeleted) {
  CLOCHE_NEEDS(needs::root());
  CLOCHE_NEEDS(needs::program("strace"));
  auto box = bundle({"sleep", "31415"});
  box.write();
  const int points = sweep({"create", "--bundle", box.path(), "box"}, kCalls, [] {});
  RecordProperty("points", points);
  EXPECT_GT(points, 15);
}

// Without a cgroup there is only the state to find the process by.
TEST_F(RuntimeCrash, RunKilledWithoutACgroupIsDeleted) {
  CLOCHE_NEEDS(needs::root());
  CLOCHE_NEEDS(needs::program("strace"));
  auto box = bundle({"sleep", "31415"});
  box.config.linux_->resources.reset();
  box.write();
  const int points = sweep({"--cgroup-manager", "disabled", "run", "--detach", "--bundle", box.path(), "box"},
                           kCalls, [] {});
  RecordProperty("points", points);
  EXPECT_GT(points, 10);
}

TEST_F(RuntimeCrash, StartAndDeleteKilledAtAnyPoint) {
  CLOCHE_NEEDS(needs::root());
  CLOCHE_NEEDS(needs::program("strace"));
  auto box = bundle({"sleep", "31415"});
  const auto created = [&] { ASSERT_TRUE(create(box).ok()); };
  const auto running = [&] { ASSERT_TRUE(start_detached(box).ok()); };
  int points = sweep({"start", "box"}, kCalls, created);
  points += sweep({"delete", "--force", "box"}, kCalls, running);
  RecordProperty("points", points);
  EXPECT_GT(points, 20);
}

}  // namespace
}  // namespace cloche::test
