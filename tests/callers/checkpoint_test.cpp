// Checkpoints asked for through the callers. They need a kernel that criu(8) knows: tests/vm/guest has one.
#include <string>

#include "callers/containerd.h"
#include "callers/podman.h"
#include "callers/systemd.h"

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

// `Podman`: its fixture, with one cgroup driver or the other.
template <class Podman>
class KeptByPodman : public Podman {
 protected:
  Outcome podman(const std::string& words) { return this->call("podman " + words); }
  std::string recalled_in_box() {
    return recalled([&](const std::string& command) { return podman("exec box " + command); });
  }
  void checkpoint() {
    ASSERT_TRUE(podman(std::string("run -d --name box box ") + kRemembers).ok());
    remembers_ = recalled_in_box();
    ASSERT_EQ(remembers_.size(), 37) << remembers_;
    const Outcome dumped = podman("container checkpoint box");
    ASSERT_TRUE(dumped.ok()) << dumped.describe();
    EXPECT_EQ(podman("inspect -f '{{.State.Running}} {{.State.Checkpointed}}' box").out, "false true\n");
  }
  void restore() {
    const Outcome restored = podman("container restore box");
    ASSERT_TRUE(restored.ok()) << restored.describe();
    EXPECT_EQ(recalled_in_box(), remembers_);
  }

 private:
  std::string remembers_;
};

using PodmanCheckpoint = KeptByPodman<PodmanTest>;
TEST_F(PodmanCheckpoint, WhatTheProcessRemembersIsThereAgain) {
  CLOCHE_NEEDS(needs::program("criu"));
  import_image();
  ASSERT_NO_FATAL_FAILURE(checkpoint());
  ASSERT_NO_FATAL_FAILURE(restore());
  EXPECT_TRUE(podman("rm -f -t 0 box").ok());
}

using PodmanSystemdCheckpoint = KeptByPodman<PodmanSystemdTest>;
TEST_F(PodmanSystemdCheckpoint, WhatTheProcessRemembersIsThereAgainInItsScope) {
  CLOCHE_NEEDS(needs::program("criu"));
  ASSERT_EQ(systemd().open_sysctls(), "");
  ASSERT_NO_FATAL_FAILURE(checkpoint());
  const std::string unit = "libpod-" + of_box("Id") + ".scope";
  expect_no_unit(unit);
  ASSERT_NO_FATAL_FAILURE(restore());
  EXPECT_EQ(property(unit, "ActiveState"), "active");
  EXPECT_EQ(cgroup_of(of_box("State.Pid")), "/machine.slice/" + unit);
  EXPECT_TRUE(podman("rm -f -t 0 box").ok());
  expect_no_unit("libpod*.scope");
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
