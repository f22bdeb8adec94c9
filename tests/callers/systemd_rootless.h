// Podman of an ordinary user whose own systemd manager has a bus: its containers are scopes of that manager.
#pragma once

#include "callers/systemd.h"
#include "support/test_user.h"

namespace cloche::test {

class RootlessPodmanSystemdTest : public PodmanBesideSystemd {
 protected:
  void SetUp() override {
    const needs::Missing missing = needs::test_user();
    // Before the machine is looked at: the user stays until the program's end, and is no leak of this test.
    if (!missing) user_ = &TestUser::get();
    PodmanTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    if (missing) GTEST_SKIP() << "needs " << *missing;
    const std::string home = scratch() + "/home";
    write_file(
        home + "/.config/containers/storage.conf",
        fmt::format("[storage]\ndriver = \"overlay\"\nrunroot = \"{0}/run\"\ngraphroot = \"{0}/store\"\n",
                    home));
    ASSERT_TRUE(call(fmt::format("cp {0} {1}/image.tar && chown -R {2}:{3} {1}", image_archive(), home,
                                 user_->uid(), user_->gid()))
                    .ok());
    ASSERT_EQ(systemd().start_user_manager(user_->uid(), user_->gid()), "");
    ASSERT_EQ(systemd().start_user_bus(user_->uid(), user_->gid()), "");
    const Outcome imported = as_caller("podman import image.tar box");
    ASSERT_TRUE(imported.ok()) << imported.describe();
  }
  [[nodiscard]] Outcome as_caller(const std::string& script) const override {
    return systemd().user_shell(
        user_->uid(), user_->gid(),
        fmt::format("export HOME={}/home; cd $HOME; {}", systemd().directory(), script));
  }
  [[nodiscard]] const char* manager() const override { return "--user"; }
  [[nodiscard]] const TestUser& user() const { return *user_; }

 private:
  const TestUser* user_ = nullptr;
};

}  // namespace cloche::test
