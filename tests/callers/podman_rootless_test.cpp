// Podman of an ordinary user.
#include <unistd.h>

#include <sstream>

#include "callers/podman.h"
#include "support/test_user.h"

namespace cloche::test {
namespace {

// With subordinate ids and without a cgroup: nothing delegates one here.
class RootlessPodman : public PodmanTest {
 protected:
  void SetUp() override {
    const auto missing = needs::test_user();
    // Before the machine is looked at: the user stays until the program's end, and is no leak of this test.
    if (!missing) user_ = &TestUser::get();
    PodmanTest::SetUp();
    if (missing) GTEST_SKIP() << "needs " << *missing;
    if (IsSkipped()) return;
    write_file(
        user_->home() + "/.config/containers/storage.conf",
        fmt::format("[storage]\ndriver = \"overlay\"\nrunroot = \"{}/run\"\ngraphroot = \"{}/store\"\n",
                    user_->runtime_directory(), user_->home()));
    ASSERT_TRUE(call(fmt::format("cp {1} {0}/image.tar && chown -R {2}:{3} {0}", user_->home(),
                                 image_archive(), user_->uid(), user_->gid()))
                    .ok());
    const Outcome imported = as_user("podman import image.tar box");
    ASSERT_TRUE(imported.ok()) << imported.describe();
  }
  void TearDown() override {
    // The process that keeps the user's namespaces would stay.
    if (!IsSkipped()) as_user("podman system migrate");
    // The place of all its containers' states stays by design; what is left of one in it is reported.
    if (user_ != nullptr) rmdir((user_->runtime_directory() + "/cloche-runtime").c_str());
    PodmanTest::TearDown();
  }
  Outcome as_user(const std::string& script) const { return user_->shell(script); }

  const TestUser* user_ = nullptr;
};

TEST_F(RootlessPodman, AContainersLife) {
  const Outcome inside = as_user(
      "podman run --rm --user app --read-only --tmpfs /scratch box sh -c "
      "'id -u; cat /proc/self/uid_map; touch /scratch/file && echo written; exit 4'");
  EXPECT_EQ(inside.exit_code, 4) << inside.describe();
  std::istringstream words(inside.out);
  std::string id, first_inside, first_outside;
  words >> id >> first_inside >> first_outside;
  EXPECT_EQ(id + " " + first_inside + " " + first_outside, fmt::format("1000 0 {}", user_->uid()))
      << inside.describe();
  EXPECT_TRUE(inside.out.ends_with("written\n")) << inside.describe();

  const Outcome started = as_user("podman run -d --name box box sleep 1000 >/dev/null");
  ASSERT_TRUE(started.ok()) << started.describe();
  EXPECT_EQ(as_user("podman inspect -f '{{.OCIRuntime}} {{.State.Status}}' box").out,
            "cloche-runtime running\n");
  EXPECT_EQ(as_user("podman exec --user app box id -u").out, "1000\n");
  EXPECT_EQ(as_user("podman exec box sh -c 'exit 7'").exit_code, 7);
  const Outcome removed = as_user("podman rm -f -t 0 box");
  EXPECT_TRUE(removed.ok()) << removed.describe();
}

}  // namespace
}  // namespace cloche::test
