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

// What the process shows after this call; `in_container` runs a command there.
template <class Run>
std::string recalled(Run in_container) {
  EXPECT_TRUE(wait_until([&] { return in_container("rm -f /word").ok(); }));
  std::string word;
  wait_until([&] { return !(word = in_container("cat /word").out).empty(); });
  return word;
}

class PodmanCheckpoint : public PodmanTest {};

TEST_F(PodmanCheckpoint, WhatTheProcessRemembersIsThereAgain) {
  CLOCHE_NEEDS(needs::program("criu"));
  import_image();
  const auto in_box = [&](const std::string& command) { return call("podman exec box " + command); };
  ASSERT_TRUE(call(std::string("podman run -d --name box box ") + kRemembers).ok());
  const std::string before = recalled(in_box);
  ASSERT_EQ(before.size(), 37) << before;
  const Outcome dumped = call("podman container checkpoint box");
  ASSERT_TRUE(dumped.ok()) << dumped.describe();
  EXPECT_EQ(line_of("podman inspect -f '{{.State.Running}} {{.State.Checkpointed}}' box"), "false true");
  const Outcome restored = call("podman container restore box");
  ASSERT_TRUE(restored.ok()) << restored.describe();
  EXPECT_EQ(recalled(in_box), before);
  EXPECT_TRUE(call("podman rm -f -t 0 box").ok());
}

class ContainerdCheckpoint : public ContainerdTest {};

TEST_F(ContainerdCheckpoint, WhatTheProcessRemembersIsThereAgain) {
  CLOCHE_NEEDS(needs::program("criu"));
  int execs = 0;
  const auto in = [&](const std::string& name) {
    return [&, name](const std::string& command) {
      return call(fmt::format("ctr task exec --exec-id {} {} {}", ++execs, name, command));
    };
  };
  ASSERT_TRUE(call(ctr_run(fmt::format("-d {} box {}", kImage, kRemembers))).ok());
  const std::string before = recalled(in("box"));
  ASSERT_EQ(before.size(), 37) << before;
  const Outcome dumped = call("ctr container checkpoint --rw --image --task box docker.io/library/kept:1");
  ASSERT_TRUE(dumped.ok()) << dumped.describe();
  EXPECT_EQ(recalled(in("box")), before) << "the container goes on";
  end("box");
  // It stays with the container.
  call(fmt::format(
      "ctr container restore --rw --live again docker.io/library/kept:1 </dev/null >{0}/restored 2>&1 &",
      scratch()));
  EXPECT_EQ(recalled(in("again")), before)
      << call("cat " + scratch() + "/restored").out << call("ctr task ls").out;
  end("again");
}

}  // namespace
}  // namespace cloche::test
