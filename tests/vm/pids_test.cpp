// The pids controller: a fork beyond the limit fails.
#include <cerrno>

#include "support/box.h"
#include "support/host_state.h"
#include "support/needs.h"
#include "vm/counters.h"

namespace cloche::test {
namespace {

class VmPids : public LeaksNothing {};

// Shell that needs no further process.
constexpr char kShow[] = "while read -r line; do echo \"$line\"; done < /sys/fs/cgroup/";

TEST_F(VmPids, AForkBeyondTheLimitFails) {
  CLOCHE_NEEDS(needs::cgroup2_controller("pids"));
  const std::string forks =
      "perl -e 'while (defined($pid = fork)) { $pid ? $n++ : sleep 1000 } print \"made $n\\nerrno \", $!+0, "
      "\"\\n\"'; ";
  const Outcome outcome = run_box({"--pids-limit", "16"}, forks + kShow + "pids.events");
  ASSERT_TRUE(outcome.ok()) << outcome.describe();
  // The shell and perl itself are the other two.
  EXPECT_EQ(counter(outcome.out, "made"), 14) << outcome.out;
  EXPECT_EQ(counter(outcome.out, "errno"), EAGAIN) << outcome.out;
  EXPECT_GE(counter(outcome.out, "max"), 1) << outcome.out;
}

TEST_F(VmPids, WithoutALimitADefaultBoundEndsTheForking) {
  CLOCHE_NEEDS(needs::cgroup2_controller("pids"));
  // busybox, whose processes are small. The forking shell ends with the first fork that fails.
  Command bomb =
      box({}, std::string("busybox sh -c 'while :; do sleep 1000 & done' 2>&1; ") +
                  "read -r now < /sys/fs/cgroup/pids.current; echo now $now; " + kShow + "pids.events");
  bomb.limit = std::chrono::seconds(200);
  const Outcome outcome = run(bomb);
  ASSERT_TRUE(outcome.ok()) << outcome.describe();
  EXPECT_TRUE(outcome.out.contains("can't fork: Resource temporarily unavailable")) << outcome.describe();
  // The forking shell is gone, and there may have been one more process between.
  EXPECT_GE(counter(outcome.out, "now"), 2040) << outcome.out;
  EXPECT_LE(counter(outcome.out, "now"), 2048) << outcome.out;
  EXPECT_GE(counter(outcome.out, "max"), 1) << outcome.out;
}

}  // namespace
}  // namespace cloche::test
