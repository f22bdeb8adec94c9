// The cpu and cpuset controllers. Time is what the kernel counted for the container, never what a clock says.

#include "support/box.h"
#include "support/host_state.h"
#include "support/needs.h"
#include "vm/counters.h"

namespace cloche::test {
namespace {

class VmCpu : public LeaksNothing {};

// Process 1 hears only what it has a handler for.
constexpr char kForever[] = "trap exit TERM; echo ready; while :; do :; done";

TEST_F(VmCpu, BeyondItsQuotaAContainerIsThrottled) {
  CLOCHE_NEEDS(needs::cgroup2_controller("cpu"));
  // Shell without a further process; /proc/uptime counts in hundredths of a second.
  const Outcome outcome = run_box({"--cpus", "0.25"}, R"sh(
      read -r begin _ < /proc/uptime
      until [ "${throttled:-0}" -ge 20 ]; do
        while read -r key value; do
          case $key in usage_usec) usage=$value ;; nr_throttled) throttled=$value ;; esac
        done < /sys/fs/cgroup/cpu.stat
        first=${first:-$usage}
      done
      read -r end _ < /proc/uptime
      echo "throttled $throttled"
      echo "usage $((usage - first))"
      echo "elapsed $((${end%.*}${end#*.} - ${begin%.*}${begin#*.}))")sh");
  ASSERT_TRUE(outcome.ok()) << outcome.describe();
  const auto usage = static_cast<double>(counter(outcome.out, "usage"));
  const auto elapsed = static_cast<double>(counter(outcome.out, "elapsed")) * 10000;
  EXPECT_GE(counter(outcome.out, "throttled"), 20);
  ASSERT_GT(elapsed, 0) << outcome.out;
  EXPECT_LT(usage / elapsed, 0.35) << outcome.out;
}

TEST_F(VmCpu, TwoBusyContainersShareACpuByTheirWeights) {
  CLOCHE_NEEDS(needs::cgroup2_controller("cpu"));
  CLOCHE_NEEDS(needs::cgroup2_controller("cpuset"));
  const ParentCgroup both("vm-weight");
  const auto busy = [&](const char* weight) {
    return box({"--cgroup-parent", both.name(), "--cpuset-cpus", "0", "--cpu-weight", weight}, kForever);
  };
  Running light(busy("100")), heavy(busy("400"));
  ASSERT_TRUE(light.wait_for_output("ready")) << light.so_far().describe();
  ASSERT_TRUE(heavy.wait_for_output("ready")) << heavy.so_far().describe();
  const auto [light_used, heavy_used] =
      used_together(both.child("cpu.weight", "100"), both.child("cpu.weight", "400"), 3'000'000);
  light.signal(SIGTERM);
  heavy.signal(SIGTERM);
  light.finish();
  heavy.finish();
  ASSERT_GT(light_used, 0);
  const double ratio = static_cast<double>(heavy_used) / static_cast<double>(light_used);
  EXPECT_GT(ratio, 2.5) << heavy_used << " and " << light_used;
  EXPECT_LT(ratio, 6) << heavy_used << " and " << light_used;
}

TEST_F(VmCpu, AContainerRunsOnTheCpusOfItsSetOnly) {
  CLOCHE_NEEDS(needs::cgroup2_controller("cpuset"));
  const std::string script =
      "nproc; taskset -cp $$ | sed 's/.*: //'; taskset -c 0 true 2>/dev/null || echo refused";
  EXPECT_EQ(run_box({"--cpuset-cpus", "1"}, script).out, "1\n1\nrefused\n");
  EXPECT_EQ(run_box({}, script).out, "2\n0,1\n") << "without the limit both are there";
}

}  // namespace
}  // namespace cloche::test
