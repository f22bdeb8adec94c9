// `update` on this kernel: what it refuses, and device rules, which need no controller. Limits that bite are in
// tests/vm/update_test.cpp.
#include <algorithm>
#include <fstream>

#include "support/bundle.h"
#include "support/needs.h"

namespace cloche::test {
namespace {

class RuntimeUpdate : public RuntimeTest {
 protected:
  Outcome update(const std::string& document, std::vector<std::string> flags = {}) {
    std::vector<std::string> words{"update", "--resources", "-"};
    words.insert(words.end(), flags.begin(), flags.end());
    words.emplace_back("box");
    return test::run({.argv = command(words), .input = document});
  }
  void expect_refusal(const Outcome& outcome, const std::string& text) {
    EXPECT_EQ(outcome.exit_code, 1) << outcome.describe();
    EXPECT_TRUE(outcome.err.starts_with("cloche-runtime: ")) << outcome.err;
    EXPECT_EQ(std::ranges::count(outcome.err, '\n'), 1) << outcome.err;
    EXPECT_TRUE(outcome.err.contains(text)) << outcome.err;
  }
};

TEST_F(RuntimeUpdate, AContainerThatIsNotThereOrHasStopped) {
  CLOCHE_NEEDS(needs::root());
  expect_refusal(update("{}"), "container does not exist");
  const auto box = bundle({"true"});
  ASSERT_TRUE(start_detached(box).ok());
  ASSERT_TRUE(reaches("stopped"));
  expect_refusal(update("{}"), "container not running");
  EXPECT_TRUE(runtime({"delete", "box"}).ok());
}

TEST_F(RuntimeUpdate, DocumentsThatAreNone) {
  CLOCHE_NEEDS(needs::root());
  const auto box = bundle({"sleep", "1000"});
  ASSERT_TRUE(create(box).ok());
  expect_refusal(runtime({"update", "--resources", scratch() + "/none", "box"}), "No such file or directory");
  expect_refusal(runtime({"update", "--resources=" + scratch(), "box"}), "is a directory");
  expect_refusal(update(""), "--resources -: ");
  expect_refusal(update(R"({"memory":{"limit":"64M"}})"), "memory.limit: expected a number, found a string");
  expect_refusal(update(R"({"memory":{"limit":-2}})"), "memory.limit: -2 is no limit");
  expect_refusal(update(R"({"pids":{"limit":-5}})"), "pids.limit: -5 is no limit");
  expect_refusal(update(R"({"cpu":{"quota":-7}})"), "cpu.quota: -7 is no limit");
  expect_refusal(update(R"({"cpu":{"realtimeRuntime":950000}})"), "cpu.realtimeRuntime: cgroup v2 has no");
  expect_refusal(update(R"({"unified":{"cgroup.procs":"1"}})"), "unified[\"cgroup.procs\"]");
  expect_refusal(update(R"({"unified":{"a/b":"1"}})"), "it must have no '/'");
  expect_refusal(runtime({"update", "box"}), "which limit?");
  expect_refusal(runtime({"update", "--memory", "much", "box"}), "--memory: \"much\" is not a size");
  expect_refusal(runtime({"update", "-pids-limit", "few", "box"}), "--pids-limit: \"few\" is not a whole");
  expect_refusal(runtime({"update", "--blkio-weight=70000", "box"}), "--blkio-weight: \"70000\" is not");
  expect_refusal(runtime({"update", "--blkio-weight=5", "box"}), "blockIO.weight: 5 is not in 10 to 1000");
  expect_refusal(runtime({"update", "--l3-cache-schema", "L3:0=f", "box"}), "Intel RDT");
  expect_refusal(runtime({"update", "--memory"}), "flag needs an argument: -memory");
  const Outcome odd = update(R"({"memroy":{}})");
  EXPECT_TRUE(odd.ok()) << odd.describe();
  EXPECT_TRUE(odd.err.contains("memroy")) << odd.describe();
  EXPECT_TRUE(runtime({"delete", "--force", "box"}).ok());
}

TEST_F(RuntimeUpdate, WithoutACgroupThereIsNothingToLimit) {
  CLOCHE_NEEDS(needs::root());
  const auto box = bundle({"sleep", "1000"});
  box.write();
  ASSERT_TRUE(runtime({"--cgroup-manager", "disabled", "create", "--bundle", box.path(), "box"}).ok());
  expect_refusal(runtime({"update", "--pids-limit", "5", "box"}), "has no cgroup of its own");
  EXPECT_TRUE(runtime({"delete", "--force", "box"}).ok());
}

// The rules of an update take the place of those of the config, at once, for the processes that run.
TEST_F(RuntimeUpdate, DeviceRules) {
  CLOCHE_NEEDS(needs::root());
  CLOCHE_NEEDS(needs::cgroup2());
  auto box = bundle({"sleep", "1000"});
  auto& capabilities = *box.config.process->capabilities;
  for (auto* set : {&capabilities.bounding, &capabilities.effective, &capabilities.permitted})
    set->emplace_back("CAP_MKNOD");
  ASSERT_TRUE(start_detached(box).ok());
  const Outcome made = runtime({"exec", "box", "busybox", "mknod", "/dev/fuse", "c", "10", "229"});
  ASSERT_TRUE(made.ok()) << made.describe();
  const auto opens = [&] { return runtime({"exec", "box", "sh", "-c", ": < /dev/fuse"}); };
  EXPECT_TRUE(opens().err.contains("Operation not permitted")) << opens().describe();
  const Outcome allowed =
      update(R"({"devices":[{"allow":true,"type":"c","major":10,"minor":229,"access":"r"}]})");
  ASSERT_TRUE(allowed.ok()) << allowed.describe();
  EXPECT_TRUE(opens().ok()) << opens().describe();
  EXPECT_TRUE(runtime({"exec", "box", "sh", "-c", ": < /dev/null"}).ok());
  expect_refusal(update(R"({"devices":[{"allow":true,"type":"x"}]})"), "devices[0].type");
  EXPECT_TRUE(opens().ok());
  ASSERT_TRUE(update(R"({"devices":[{"allow":false}]})").ok());
  EXPECT_TRUE(opens().err.contains("Operation not permitted")) << opens().describe();
  std::ofstream(scratch() + "/rules")
      << R"({"devices":[{"allow":true,"type":"c","major":10,"minor":229,"access":"r"}]})";
  const Outcome from_file = runtime({"update", "--resources", scratch() + "/rules", "box"});
  ASSERT_TRUE(from_file.ok()) << from_file.describe();
  EXPECT_TRUE(opens().ok()) << opens().describe();
  stop();
  EXPECT_TRUE(runtime({"delete", "box"}).ok());
}

}  // namespace
}  // namespace cloche::test
