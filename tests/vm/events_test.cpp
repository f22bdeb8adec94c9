// `cloche-runtime events`: what the kernel counted, and what it tells while a container runs.
#include <poll.h>

#include <cstdlib>

#include "support/bundle.h"
#include "support/needs.h"
#include "vm/counters.h"

namespace cloche::test {
namespace {

class VmEvents : public RuntimeTest {
 protected:
  int64_t in(const std::string& json, const std::string& path) {
    return std::strtoll(member(json, path).c_str(), nullptr, 10);
  }
};

const std::string kAllocate = "busybox dd if=/dev/zero of=/dev/null bs=64M count=1";

TEST_F(VmEvents, StatisticsAreWhatWasUsed) {
  CLOCHE_NEEDS(needs::cgroup2_controller("memory"));
  auto box = bundle({"sh", "-c", "busybox dd if=/dev/zero of=/dev/shm/kept bs=1M count=24; sleep 1000"});
  box.config.linux_->cgroupsPath = "/vm-events";
  box.config.linux_->resources.emplace();
  box.config.linux_->resources->memory = {.limit = 64 << 20};
  box.config.linux_->resources->pids = {.limit = 20};
  ASSERT_TRUE(start_detached(box).ok());
  std::string json;
  for (int tries = 0; tries < 600; ++tries) {
    json = runtime({"events", "--stats", "box"}).out;
    if (in(json, ".data.memory.usage.usage") > (24 << 20) && in(json, ".data.pids.current") == 1) break;
    poll(nullptr, 0, 100);
  }
  EXPECT_EQ(member(json, ".type") + member(json, ".id"), "statsbox") << json;
  EXPECT_GT(in(json, ".data.memory.usage.usage"), 24 << 20) << json;
  EXPECT_EQ(in(json, ".data.memory.usage.limit"), 64 << 20) << json;
  EXPECT_GE(in(json, ".data.memory.raw.shmem"), 24 << 20) << json;
  EXPECT_EQ(in(json, ".data.pids.current"), 1) << json;
  EXPECT_EQ(in(json, ".data.pids.limit"), 20) << json;
  EXPECT_GT(in(json, ".data.cpu.usage.total"), 0) << json;
  // The kernel rounds each of the three to microseconds.
  EXPECT_NEAR(static_cast<double>(in(json, ".data.cpu.usage.total")),
              static_cast<double>(in(json, ".data.cpu.usage.user") + in(json, ".data.cpu.usage.kernel")),
              2000)
      << json;
  for (const char* of : {"cpu", "memory", "blkio"})
    EXPECT_NE(member(json, std::string(".data.") + of + ".psi.some.total"), "null") << json;
  stop();
  EXPECT_TRUE(runtime({"delete", "box"}).ok());
}

TEST_F(VmEvents, AnOomKillIsToldAsItHappens) {
  CLOCHE_NEEDS(needs::cgroup2_controller("memory"));
  auto box = bundle({"sleep", "1000"});
  box.config.linux_->cgroupsPath = "/vm-events";
  box.config.linux_->resources.emplace();
  box.config.linux_->resources->memory = {.limit = 32 << 20};
  ASSERT_TRUE(start_detached(box).ok());
  Running events({.argv = command({"events", "--interval", "100ms", "box"})});
  ASSERT_TRUE(events.wait_for_output("\"type\":\"stats\""));
  EXPECT_FALSE(events.so_far().out.contains("\"type\":\"oom\""));
  EXPECT_EQ(runtime({"exec", "box", "sh", "-c", kAllocate}).exit_code, 137);
  EXPECT_TRUE(events.wait_for_output(R"({"type":"oom","id":"box"})"));
  EXPECT_EQ(in(runtime({"events", "--stats", "box"}).out, ".data.memory.event_count.oom_kill"), 1);
  stop();
  const Outcome told = events.finish();
  EXPECT_EQ(told.exit_code, 0) << told.describe();
  EXPECT_TRUE(runtime({"delete", "box"}).ok());
}

// Above memory.high nearly all of the time goes into waiting for memory.
TEST_F(VmEvents, WaitingForMemoryIsToldAsItHappens) {
  CLOCHE_NEEDS(needs::cgroup2_controller("memory"));
  auto box = bundle({"sleep", "1000"});
  box.config.linux_->cgroupsPath = "/vm-events";
  box.config.linux_->resources.emplace().unified = {{"memory.high", std::to_string(8 << 20)}};
  ASSERT_TRUE(start_detached(box).ok());
  Running events({.argv = command({"events", "--interval", "100ms", "box"})});
  ASSERT_TRUE(events.wait_for_output("\"type\":\"stats\""));
  const std::string told = R"({"type":"pressure","id":"box","data":{"resource":"memory",)";
  EXPECT_FALSE(events.so_far().out.contains(told)) << events.so_far().out;
  Running fills(
      {.argv = command({"exec", "box", "busybox", "dd", "if=/dev/zero", "of=/dev/shm/kept", "bs=64k"})});
  EXPECT_TRUE(events.wait_for_output(told)) << events.so_far().out;
  stop();
  fills.finish();
  const std::string out = events.finish().out;
  const size_t at = std::min(out.find(told), out.size());
  // Of 2 s, the whole since the container began.
  EXPECT_GE(in(out.substr(at, out.find('\n', at) - at), ".data.some.total"), 200'000) << out;
  EXPECT_TRUE(runtime({"delete", "box"}).ok());
}

// The kill that ends the container is told too.
TEST_F(VmEvents, TheLastOomKillIsTold) {
  CLOCHE_NEEDS(needs::cgroup2_controller("memory"));
  auto box = bundle({"busybox", "dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1"});
  box.config.linux_->cgroupsPath = "/vm-events";
  box.config.linux_->resources.emplace();
  box.config.linux_->resources->memory = {.limit = 32 << 20};
  ASSERT_TRUE(create(box).ok());
  Running events({.argv = command({"events", "--interval=100ms", "box"})});
  ASSERT_TRUE(events.wait_for_output("\"type\":\"stats\""));
  ASSERT_TRUE(runtime({"start", "box"}).ok());
  // Statistics may follow it, when their time comes before the process has ended.
  const std::string out = events.finish().out;
  EXPECT_TRUE(out.contains("{\"type\":\"oom\",\"id\":\"box\"}\n")) << out;
  EXPECT_TRUE(runtime({"delete", "box"}).ok());
}

}  // namespace
}  // namespace cloche::test
