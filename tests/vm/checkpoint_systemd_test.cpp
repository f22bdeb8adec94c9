// Checkpoints of containers that are scopes of systemd's, beside a systemd of the test's own.
#include <fmt/format.h>

#include <fstream>

#include "support/systemd_nest.h"
#include "vm/checkpoint.h"

namespace cloche::test {
namespace {

namespace fs = std::filesystem;

class VmCheckpointSystemd : public VmCheckpoint {
 protected:
  void SetUp() override {
    CLOCHE_NEEDS(needs::program("criu"));
    CLOCHE_NEEDS(needs::program("systemctl"));
    VmCheckpoint::SetUp();
    nest_.emplace(scratch());
    ASSERT_EQ(nest_->problem(), "");
    ASSERT_EQ(nest_->open_sysctls(), "");
  }
  void TearDown() override {
    nest_.reset();
    VmCheckpoint::TearDown();
  }
  [[nodiscard]] std::vector<std::string> runtime_program() const override {
    if (!nest_) return VmCheckpoint::runtime_program();
    return nest_->inside({program("cloche-runtime"), "--systemd-cgroup"});
  }
  // Six processes, pid 3 in a cgroup that the container made, and room for one, which criu needs. Counts signals in
  // memory; the file only shows it.
  Bundle nearly_full() {
    auto box = counting(
        "busybox mkdir /sys/fs/cgroup/own; i=0; trap 'i=$((i+1)); echo $i >/count' USR1; for n in 1 2 3 4 5; "
        "do sleep 1000 & done; echo 3 >/sys/fs/cgroup/own/cgroup.procs; "
        "echo 0 >/count; while :; do wait; done");
    for (auto& mount : box.config.mounts)
      if (mount.type == "cgroup") std::erase(mount.options, "ro");
    box.config.linux_->cgroupsPath = "vm-pods.slice::box";
    box.config.linux_->resources->pids->limit = 7;
    return box;
  }
  bool counts(const Bundle& box, const std::string& id, int64_t next) {
    EXPECT_TRUE(runtime({"kill", id, "USR1"}).ok());
    return counts_beyond(box, next - 1) && count(box) == next;
  }
  std::string in_scope(const std::string& scope, const std::string& file) {
    return text_of(nest_->cgroup() + "/" + scope + "/" + file);
  }
  void expect_no_unit(const std::string& unit) {
    EXPECT_EQ(nest_->property(unit, "LoadState"), "not-found");
    EXPECT_EQ(shell("find " + nest_->cgroup() + " -name " + unit).out, "");
  }
  std::optional<SystemdNest> nest_;
};

constexpr char kSecond[] = "other.slice/other-pods.slice/x-second.scope";

TEST_F(VmCheckpointSystemd, ANearlyFullContainerGoesOnInAnotherScopeWithItsLimits) {
  auto box = nearly_full();
  ASSERT_TRUE(start_detached(box).ok()) << text_of(scratch() + "/err");
  ASSERT_TRUE(counts(box, "box", 1));
  const Outcome left = checkpoint({"--leave-running"});
  ASSERT_TRUE(left.ok()) << left.describe();
  EXPECT_EQ(nest_->property("box.scope", "ActiveState"), "active");
  ASSERT_TRUE(counts(box, "box", 2));
  const Outcome dumped = checkpoint();
  ASSERT_TRUE(dumped.ok()) << dumped.describe();
  EXPECT_EQ(status(), "");
  expect_no_unit("box.scope");

  box.config.linux_->cgroupsPath = "other-pods.slice:x:second";
  const Outcome restored = restore(box, "second");
  ASSERT_TRUE(restored.ok()) << restored.describe() << text_of(images() + "/restore.log");
  EXPECT_EQ(nest_->property("x-second.scope", "TasksMax"), "7");
  ASSERT_TRUE(nest_->run({"systemctl", "daemon-reload"}).ok());
  EXPECT_EQ(in_scope(kSecond, "pids.max") + in_scope(kSecond, "pids.current"), "7\n6\n");
  EXPECT_TRUE(counts(box, "second", 3));
  const std::vector<std::string> two{"exec", "second", "sh", "-c", "cat /proc/1/cgroup /proc/3/cgroup | cat"};
  EXPECT_NE(runtime(two).err.find("can't fork"), std::string::npos) << "it is full";
  ASSERT_TRUE(runtime({"update", "--pids-limit", "9", "second"}).ok());
  EXPECT_EQ(nest_->property("x-second.scope", "TasksMax"), "9");
  EXPECT_EQ(runtime(two).out, "0::/\n0::/own\n");
  EXPECT_TRUE(runtime({"pause", "second"}).ok());
  EXPECT_EQ(status("second"), "paused");
  EXPECT_TRUE(runtime({"resume", "second"}).ok());
  end("second");
  expect_no_unit("x-second.scope");

  fs::remove(images() + "/pages-1.img");
  const Outcome failed = restore(box, "third");
  EXPECT_EQ(failed.exit_code, 1) << failed.describe();
  EXPECT_NE(failed.err.find("criu restore refused: "), std::string::npos) << failed.err;
  EXPECT_EQ(status("third"), "");
  expect_no_unit("x-second.scope");
}

}  // namespace
}  // namespace cloche::test
