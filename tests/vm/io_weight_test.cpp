// Weights of the io controller, each by what of the kernel acts on it: two containers read one disk at the same time.
#include <fmt/format.h>

#include "support/bundle.h"
#include "support/needs.h"
#include "vm/counters.h"

namespace cloche::test {
namespace {

class VmIoWeight : public RuntimeTest {
 protected:
  void SetUp() override {
    RuntimeTest::SetUp();
    look_at("/dev/vda");
  }
  void look_at(const std::string& device) {
    const std::string text = shell("lsblk -dnro MAJ:MIN " + device).out;
    number_ = text.substr(0, text.find('\n'));
    major_ = std::strtoll(number_.c_str(), nullptr, 10);
    minor_ = std::strtoll(number_.c_str() + number_.find(':') + 1, nullptr, 10);
  }
  [[nodiscard]] spec::WeightDevice disk(uint16_t weight) const {
    return {.major = major_, .minor = minor_, .weight = weight, .leafWeight = {}};
  }
  // Reads the disk past every cache, one page after another, until it is killed.
  bool start_reader(const std::string& name, const spec::BlockIO& limits) {
    auto box =
        bundle({"sh", "-c", "while :; do busybox dd if=/disk of=/dev/null bs=4k iflag=direct; done"}, name);
    auto& config = *box.config.linux_;
    config.cgroupsPath = parent_.name() + "/" + name;
    config.devices = {{.path = "/disk", .type = "b", .major = major_, .minor = minor_}};
    config.resources.emplace().blockIO = limits;
    config.resources->devices = {
        {.allow = true, .type = "b", .major = major_, .minor = minor_, .access = "rm"}};
    const Outcome started = start_detached(box, name);
    EXPECT_TRUE(started.ok()) << started.describe();
    return started.ok();
  }
  // How many times as much the second of the two reads.
  double times_as_much(const spec::BlockIO& light, const spec::BlockIO& heavy, int64_t pages) {
    if (!start_reader("light", light) || !start_reader("heavy", heavy)) return 0;
    const auto read = [](const std::string& cgroup) { return io_counter(cgroup, "rbytes"); };
    const auto [little, much] =
        grown_together(parent_.path() + "/light", parent_.path() + "/heavy", read, pages * 4096);
    for (const char* name : {"light", "heavy"}) {
      stop(name);
      EXPECT_TRUE(runtime({"delete", name}).ok());
    }
    std::cout << "bytes read: " << little << " and " << much << "\n";
    EXPECT_GT(little, 0);
    return little > 0 ? static_cast<double>(much) / static_cast<double>(little) : 0;
  }
  const std::string& number() const { return number_; }

 private:
  ParentCgroup parent_{"vm-io-weight"};
  std::string number_;
  int64_t major_ = 0, minor_ = 0;
};

// The model says of the disk that it does a hundred reads a second, whatever it can do, and the kernel hands out those.
TEST_F(VmIoWeight, TheKernelsCostModelSharesADiskByIt) {
  CLOCHE_NEEDS(needs::cgroup2_controller("io"));
  CLOCHE_NEEDS(needs::disks());
  const Outcome on = shell(fmt::format(R"sh(set -e; cd /sys/fs/cgroup
      echo "{0} ctrl=user model=linear rbps=100000000 rseqiops=100 rrandiops=100 \
      wbps=100000000 wseqiops=100 wrandiops=100" >io.cost.model
      echo "{0} enable=1 ctrl=user rpct=0 wpct=0 min=100 max=100" >io.cost.qos)sh",
                                       number()));
  ASSERT_TRUE(on.ok()) << on.describe();
  // 1000 and 10000 in io.weight.
  EXPECT_GT(times_as_much({.weight = 109}, {.weight = 1000}, 500), 4);
  // One disk's own weight has the last word.
  EXPECT_GT(times_as_much({.weight = 1000, .weightDevice = {disk(109)}},
                          {.weight = 109, .weightDevice = {disk(1000)}}, 500),
            4);
  EXPECT_LT(times_as_much({.weight = 500}, {.weight = 500}, 500), 2);
  EXPECT_TRUE(shell(fmt::format("echo {} enable=0 >/sys/fs/cgroup/io.cost.qos", number())).ok());
}

TEST_F(VmIoWeight, BfqSharesADiskByIt) {
  CLOCHE_NEEDS(needs::cgroup2_controller("io"));
  CLOCHE_NEEDS(needs::disks());
  const std::string scheduler = "/sys/block/vda/queue/scheduler";
  ASSERT_TRUE(shell("echo bfq >" + scheduler).ok());
  EXPECT_GT(times_as_much({.weight = 10}, {.weight = 1000}, 4000), 1.3);
  // The cost model is off, and io.weight refuses the disk.
  EXPECT_GT(times_as_much({.weight = 1000, .weightDevice = {disk(10)}},
                          {.weight = 10, .weightDevice = {disk(1000)}}, 4000),
            1.3);
  EXPECT_LT(times_as_much({.weight = 100}, {.weight = 100}, 4000), 1.3);
  EXPECT_TRUE(shell("echo none >" + scheduler).ok());
}

// Neither of the two shares this disk out, nor has the model been on for it: its weights stay when it is switched off.
TEST_F(VmIoWeight, ADiskThatNothingSharesOutIsNamed) {
  CLOCHE_NEEDS(needs::cgroup2_controller("io"));
  CLOCHE_NEEDS(needs::disks());
  look_at("/dev/vdb");
  auto box = bundle({"true"});
  box.config.linux_->cgroupsPath = "/vm-io-weight/box";
  box.config.linux_->resources.emplace().blockIO = {.weightDevice = {disk(500)}};
  expect_refusal(run(box), "the kernel keeps no weights for the disk " + number());
}

}  // namespace
}  // namespace cloche::test
