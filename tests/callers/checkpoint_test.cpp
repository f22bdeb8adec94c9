// Checkpoints asked for through the callers. They need a kernel that criu(8) knows: tests/vm/guest has one.
#include <string>

#include "callers/containerd.h"
#include "callers/podman.h"

namespace cloche::test {
namespace {

// A word that only this process's memory knows, shown by a file that is written anew all the time.
constexpr char kRemembers[] =
    "sh -c 'read -r word </proc/sys/kernel/random/uuid; "
    "while :; do echo $word >/word.new; mv /word.new /word; sleep 0.1; done'";
constexpr char kForget[] = "rm -f /word";
constexpr char kRecall[] = "cat /word";

class PodmanCheckpoint : public PodmanTest {
 protected:
  void SetUp() override {
    PodmanTest::SetUp();
    if (IsSkipped()) return;
    CLOCHE_NEEDS(needs::program("criu"));
    import_image();
  }
  // Written after this call.
  std::string recalled() const {
    EXPECT_TRUE(call(std::string("podman exec box ") + kForget).ok());
    std::string word;
    wait_until([&] { return !(word = line_of(std::string("podman exec box ") + kRecall)).empty(); });
    return word;
  }
};

TEST_F(PodmanCheckpoint, WhatTheProcessRemembersIsThereAgain) {
  ASSERT_TRUE(call(std::string("podman run -d --name box box ") + kRemembers).ok());
  const std::string before = recalled();
  ASSERT_EQ(before.size(), 36) << before;
  const Outcome dumped = call("podman container checkpoint box");
  ASSERT_TRUE(dumped.ok()) << dumped.describe();
  EXPECT_EQ(line_of("podman inspect -f '{{.State.Running}} {{.State.Checkpointed}}' box"), "false true");
  const Outcome restored = call("podman container restore box");
  ASSERT_TRUE(restored.ok()) << restored.describe();
  EXPECT_EQ(recalled(), before);
  EXPECT_TRUE(call("podman rm -f -t 0 box").ok());
}

class ContainerdCheckpoint : public ContainerdTest {
 protected:
  [[nodiscard]] std::string exec(const std::string& name, const std::string& command) {
    return fmt::format("ctr task exec --exec-id {} {} {}", ++execs_, name, command);
  }
  // Written after this call.
  std::string recalled(const std::string& name) {
    EXPECT_TRUE(wait_until([&] { return call(exec(name, kForget)).ok(); }));
    std::string word;
    wait_until([&] { return !(word = line_of(exec(name, kRecall))).empty(); });
    return word;
  }
  void end(const std::string& name) {
    EXPECT_TRUE(call("ctr task kill -s KILL " + name).ok());
    EXPECT_TRUE(wait_until([&] { return call("ctr task ls").out.contains("STOPPED"); }));
    call("ctr task rm " + name);
    EXPECT_TRUE(call("ctr container rm " + name).ok());
  }

 private:
  int execs_ = 0;
};

TEST_F(ContainerdCheckpoint, WhatTheProcessRemembersIsThereAgain) {
  CLOCHE_NEEDS(needs::program("criu"));
  ASSERT_TRUE(call(ctr_run(fmt::format("-d {} box {}", kImage, kRemembers))).ok());
  const std::string before = recalled("box");
  ASSERT_EQ(before.size(), 36) << before;
  const Outcome dumped = call("ctr container checkpoint --rw --image --task box docker.io/library/kept:1");
  ASSERT_TRUE(dumped.ok()) << dumped.describe();
  EXPECT_EQ(recalled("box"), before) << "the container goes on";
  end("box");
  // It stays with the container.
  const Outcome restored = call(fmt::format(
      "ctr container restore --rw --live again docker.io/library/kept:1 </dev/null >{0}/restored 2>&1 &",
      scratch()));
  EXPECT_EQ(recalled("again"), before)
      << call("cat " + scratch() + "/restored").out << call("ctr task ls").out;
  end("again");
}

}  // namespace
}  // namespace cloche::test
