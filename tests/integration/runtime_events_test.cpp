// `events` on this kernel: its shape, its end, and what it refuses. What is counted is in tests/vm/events_test.cpp.
#include <algorithm>

#include "support/bundle.h"
#include "support/needs.h"

namespace cloche::test {
namespace {

class RuntimeEvents : public RuntimeTest {
 protected:
  void expect_refusal(const Outcome& outcome, const std::string& text) {
    EXPECT_EQ(outcome.exit_code, 1) << outcome.describe();
    EXPECT_EQ(outcome.out, "");
    EXPECT_EQ(std::ranges::count(outcome.err, '\n'), 1) << outcome.err;
    EXPECT_TRUE(outcome.err.contains(text)) << outcome.err;
  }
};

TEST_F(RuntimeEvents, OneObjectOfStatistics) {
  CLOCHE_NEEDS(needs::root());
  CLOCHE_NEEDS(needs::cgroup2());
  const auto box = bundle({"sleep", "1000"});
  ASSERT_TRUE(start_detached(box).ok());
  const Outcome outcome = runtime({"events", "--stats", "box"});
  ASSERT_TRUE(outcome.ok()) << outcome.describe();
  EXPECT_EQ(std::ranges::count(outcome.out, '\n'), 1);
  EXPECT_EQ(member(outcome.out, ".type") + " " + member(outcome.out, ".id"), "stats box");
  EXPECT_EQ(member(outcome.out, ".data|keys|join(\" \")"),
            "blkio cpu cpuset hugetlb intel_rdt memory network_interfaces pids rdma");
  // The container's own interface, not the host's.
  EXPECT_EQ(member(outcome.out, "[.data.network_interfaces[].Name]|join(\" \")"), "lo");
  stop();
  EXPECT_TRUE(runtime({"delete", "box"}).ok());
}

TEST_F(RuntimeEvents, TheStreamEndsWithTheContainer) {
  CLOCHE_NEEDS(needs::root());
  CLOCHE_NEEDS(needs::cgroup2());
  const auto box = bundle({"sleep", "1000"});
  ASSERT_TRUE(start_detached(box).ok());
  Running events({.argv = command({"events", "-interval", "10ms", "box"})});
  EXPECT_TRUE(events.wait_for_output("\"type\":\"stats\""));
  stop();
  EXPECT_EQ(events.finish().exit_code, 0);
  EXPECT_TRUE(runtime({"delete", "box"}).ok());
}

// Of two that are always busy on one processor, one always waits.
TEST_F(RuntimeEvents, WaitingForAProcessorIsToldAsItHappens) {
  CLOCHE_NEEDS(needs::root());
  CLOCHE_NEEDS(needs::cgroup2());
  CLOCHE_NEEDS(needs::pressure());
  ASSERT_TRUE(start_detached(bundle({"sleep", "1000"})).ok());
  Running events({.argv = command({"events", "--interval", "100ms", "box"})});
  ASSERT_TRUE(events.wait_for_output("\"type\":\"stats\""));
  const std::string told = R"({"type":"pressure","id":"box","data":{"resource":"cpu","some":{"avg10":)";
  EXPECT_FALSE(events.so_far().out.contains(told)) << events.so_far().out;
  Running busy({.argv = command({"exec", "box", "busybox", "taskset", "-c", "0", "sh", "-c",
                                 "while :; do :; done & while :; do :; done"})});
  EXPECT_TRUE(events.wait_for_output(told)) << events.so_far().out << busy.so_far().describe();
  stop();
  busy.finish();
  EXPECT_EQ(events.finish().exit_code, 0);
  EXPECT_TRUE(runtime({"delete", "box"}).ok());
}

TEST_F(RuntimeEvents, WhatIsRefused) {
  CLOCHE_NEEDS(needs::root());
  expect_refusal(runtime({"events", "--stats", "box"}), "container does not exist");
  for (const char* wrong : {"0s", "-1s", "5", "soon", "1.2.3s", ""})
    expect_refusal(runtime({"events", std::string("--interval=") + wrong, "box"}), "is no time above 0");
  const auto box = bundle({"true"});
  ASSERT_TRUE(start_detached(box).ok());
  ASSERT_TRUE(reaches("stopped"));
  expect_refusal(runtime({"events", "--stats", "box"}), "container not running");
  expect_refusal(runtime({"events", "box"}), "container not running");
  EXPECT_TRUE(runtime({"delete", "box"}).ok());
}

}  // namespace
}  // namespace cloche::test
