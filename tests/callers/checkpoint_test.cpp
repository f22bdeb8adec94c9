// Checkpoints asked for through the callers. They need a kernel that criu(8) knows: tests/vm/guest has one.
#include <string>

#include "callers/containerd.h"
#include "callers/podman.h"

namespace cloche::test {
namespace {

// Counts in memory, from a million where it has never been started; the file only shows it.
constexpr char kCount[] =
    "sh -c 'i=1000000; [ ! -e /started ] || i=0; touch /started; "
    "while :; do i=$((i+1)); echo $i >/count.new; mv /count.new /count; sleep 0.1; done'";
constexpr int kStart = 1'000'000;

// What `show` prints is a number above `number`, soon.
template <class Show>
bool counts_beyond(int number, Show show) {
  return wait_until([&] {
    const std::string text = show();
    return text.size() == 7 && text.find_first_not_of("0123456789") == std::string::npos &&
           std::stoi(text) > number;
  });
}

class PodmanCheckpoint : public PodmanTest {
 protected:
  void SetUp() override {
    PodmanTest::SetUp();
    if (IsSkipped()) return;
    CLOCHE_NEEDS(needs::program("criu"));
    import_image();
  }
};

TEST_F(PodmanCheckpoint, ACountGoesOnWhereItWas) {
  const auto count = [&] { return line_of("podman exec box cat /count"); };
  ASSERT_TRUE(call(std::string("podman run -d --name box box ") + kCount).ok());
  ASSERT_TRUE(counts_beyond(kStart, count));
  const Outcome dumped = call("podman container checkpoint box");
  ASSERT_TRUE(dumped.ok()) << dumped.describe();
  EXPECT_EQ(line_of("podman inspect -f '{{.State.Running}} {{.State.Checkpointed}}' box"), "false true");
  const Outcome restored = call("podman container restore box");
  ASSERT_TRUE(restored.ok()) << restored.describe();
  EXPECT_TRUE(call("podman exec box rm /count").ok());
  EXPECT_TRUE(counts_beyond(kStart, count));
  EXPECT_TRUE(call("podman rm -f -t 0 box").ok());
}

class ContainerdCheckpoint : public ContainerdTest {
 protected:
  [[nodiscard]] std::string exec(const std::string& name, const std::string& command) {
    return fmt::format("ctr task exec --exec-id {} {} {}", ++execs_, name, command);
  }
  bool counts(const std::string& name) {
    EXPECT_TRUE(wait_until([&] { return call(exec(name, "rm -f /count")).ok(); }));
    return counts_beyond(kStart, [&] { return line_of(exec(name, "cat /count")); });
  }
  void end(const std::string& name) {
    EXPECT_TRUE(call("ctr task kill -s KILL " + name).ok());
    EXPECT_TRUE(wait_until([&] { return !call("ctr task ls").out.contains("RUNNING"); }));
    call("ctr task rm " + name);
    EXPECT_TRUE(call("ctr container rm " + name).ok());
  }

 private:
  int execs_ = 0;
};

TEST_F(ContainerdCheckpoint, ACountGoesOnWhereItWas) {
  CLOCHE_NEEDS(needs::program("criu"));
  ASSERT_TRUE(call(ctr_run(fmt::format("-d {} box {}", kImage, kCount))).ok());
  ASSERT_TRUE(counts("box"));
  const Outcome dumped = call("ctr container checkpoint --rw --image --task box docker.io/library/kept:1");
  ASSERT_TRUE(dumped.ok()) << dumped.describe();
  EXPECT_TRUE(counts("box")) << "the container goes on";
  end("box");
  // It stays with the container.
  const Outcome restored = call(fmt::format(
      "ctr container restore --rw --live again docker.io/library/kept:1 </dev/null >{0}/restored 2>&1 &",
      scratch()));
  EXPECT_TRUE(counts("again")) << call("cat " + scratch() + "/restored").out << call("ctr task ls").out;
  end("again");
}

}  // namespace
}  // namespace cloche::test
