// cloche-runtime killed at system calls in turn: what it leaves can be deleted, whatever the point.
#include <sys/syscall.h>

#include <filesystem>
#include <fstream>

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
  int sweep(const std::vector<std::string>& words, const std::vector<std::string>& calls,
            const Prepare& prepare) {
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

// Who makes a container undoes by path what it did when it fails: until it is done, `delete` takes nothing away.
TEST_F(RuntimeCrash, DeleteWaitsUntilACreationIsOver) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"sleep", "31415"});
  const std::string at = scratch(), state = state_root() + "/box/state.json";
  box.config.hooks = spec::Hooks{};
  box.config.hooks->createRuntime = {
      {.path = "/bin/sh",
       .args = {"sh", "-c",
                "touch " + at + "/begun; until test -e " + at + "/go; do sleep 0.01; done; test -e " + state +
                    " || touch " + at + "/taken"},
       .env = {"PATH=/usr/bin:/bin"},
       .timeout = {}}};
  box.write();
  Running making({.argv = command({"run", "--bundle", box.path(), "box"})});
  const auto appears = [&](const std::string& shown) {
    return shell("for i in $(seq 1000); do " + shown + " && exit; sleep 0.01; done; exit 1").ok();
  };
  ASSERT_TRUE(appears("test -e " + at + "/begun"));
  EXPECT_NE(runtime({"delete", "box"}).err.find("still under way"), std::string::npos);
  Running deleting({.argv = command({"delete", "--force", "box"})});
  // It is waiting, in ppoll, or has already done its work, which it must not.
  EXPECT_TRUE(appears("grep -q '^" + std::to_string(SYS_ppoll) + " ' /proc/" +
                      std::to_string(deleting.pid()) + "/syscall || grep -q '^State:.Z' /proc/" +
                      std::to_string(deleting.pid()) + "/status"));
  std::ofstream(at + "/go") << "";
  EXPECT_TRUE(deleting.finish().ok());
  EXPECT_EQ(making.finish().exit_code, 137) << "made, and then ended by delete";
  EXPECT_FALSE(std::filesystem::exists(at + "/taken"));
  EXPECT_FALSE(std::filesystem::exists(state_root() + "/box"));
}

// What a config may hold can be read back from the state.
TEST_F(RuntimeCrash, LargeAnnotationsCanBeReadAgain) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"sleep", "31415"});
  box.config.annotations["org.example/large"] = std::string(5 << 20, 'x');
  const Outcome created = create(box);
  ASSERT_TRUE(created.ok()) << created.describe().substr(0, 1000);
  EXPECT_EQ(status(), "created");
  EXPECT_TRUE(runtime({"delete", "box"}).ok());
}

// A state that nobody can read does not say what else to remove, but the process is known.
TEST_F(RuntimeCrash, AnUnreadableStateIsRemovedAfterItsProcess) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"sleep", "31415"});
  ASSERT_TRUE(start_detached(box).ok());
  const std::string file = state_root() + "/box/state.json";
  const std::string cgroup = shell("jq -r .cgroup " + file).out;
  std::ofstream(file, std::ios::trunc) << "{";
  EXPECT_EQ(runtime({"delete", "box"}).exit_code, 1);
  EXPECT_NE(shell("pgrep -f '^sleep 31415'").out, "") << "without --force nothing is touched";
  const Outcome deleted = runtime({"delete", "--force", "box"});
  EXPECT_EQ(deleted.exit_code, 1);
  EXPECT_NE(deleted.err.find("may be left"), std::string::npos) << deleted.err;
  EXPECT_EQ(shell("pgrep -f '^sleep 31415' || true").out, "");
  EXPECT_FALSE(std::filesystem::exists(state_root() + "/box"));
  EXPECT_TRUE(runtime({"delete", "--force", "box"}).ok());
  if (cgroup.starts_with("/"))
    shell("for i in 1 2 3 4 5 6 7 8 9 10; do rmdir " + cgroup.substr(0, cgroup.find('\n')) +
          " && break; sleep 0.1; done");
}

}  // namespace
}  // namespace cloche::test
