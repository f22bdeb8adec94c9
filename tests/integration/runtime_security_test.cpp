// Known attacks on runtimes, tried: each has no place to stand.
#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "support/bundle.h"
#include "support/needs.h"

namespace cloche::test {
namespace {

class RuntimeSecurity : public RuntimeTest {
 protected:
  void SetUp() override {
    RuntimeTest::SetUp();
    CLOCHE_NEEDS(needs::root());
  }
  static void give(Bundle& box, const std::string& capability) {
    for (auto* set :
         {&box.config.process->capabilities->bounding, &box.config.process->capabilities->effective,
          &box.config.process->capabilities->permitted})
      set->push_back(capability);
  }
  void in_image(const Bundle& box, const std::string& path, const std::string& text, mode_t mode) {
    std::ofstream(box.rootfs() + path) << text;
    ASSERT_EQ(::chmod((box.rootfs() + path).c_str(), mode), 0);
  }
};

TEST_F(RuntimeSecurity, TheIdThatMeansUnchangedIsRefused) {
  auto box = bundle({"id", "-u"});
  for (const auto& [uid, gid] : {std::pair(0xffffffffU, 0U), {0U, 0xffffffffU}}) {
    box.config.process->user.uid = uid;
    box.config.process->user.gid = gid;
    const Outcome outcome = run(box);
    EXPECT_EQ(outcome.exit_code, 1) << outcome.describe();
    EXPECT_TRUE(outcome.err.contains(uid != 0 ? "process.user.uid" : "process.user.gid")) << outcome.err;
  }
  box.config.process->user = {};
  box.config.process->args = {"sleep", "1000"};
  start_detached(box);
  EXPECT_EQ(runtime({"exec", "-u", "4294967295", "box", "id", "-u"}).exit_code, 255);
  stop();
}

// CVE-2019-19921: a link in /proc's place has proc, and all that is covered in it, be somewhere else.
TEST_F(RuntimeSecurity, ProcMustBeADirectory) {
  for (const char* name : {"proc", "sys"}) {
    auto box = bundle({"ls", "/"}, std::string("linked-") + name);
    std::filesystem::remove_all(box.rootfs() + "/" + name);
    std::filesystem::create_directory(box.rootfs() + "/elsewhere");
    std::filesystem::create_directory_symlink("/elsewhere", box.rootfs() + "/" + name);
    const Outcome outcome = run(box);
    EXPECT_EQ(outcome.exit_code, 1) << outcome.describe();
    EXPECT_TRUE(outcome.err.contains("symbolic link")) << outcome.err;
    EXPECT_TRUE(std::filesystem::is_empty(box.rootfs() + "/elsewhere"));
  }
}

TEST_F(RuntimeSecurity, TheRootAmongReadonlyPathsIsReadOnly) {
  auto box = bundle({"busybox", "touch", "/x"});
  box.config.root->readonly = false;
  box.config.linux_->readonlyPaths = {"/"};
  EXPECT_TRUE(run(box).err.contains("Read-only file system"));
  box.config.linux_->maskedPaths = {"//"};
  EXPECT_TRUE(run(box).err.contains("linux.maskedPaths"));
}

// Hooks of this stage are programs of the image.
TEST_F(RuntimeSecurity, AStartContainerHookHasTheCommandsRights) {
  auto box = bundle({"true"});
  in_image(box, "/report", "", 0666);
  box.config.root->readonly = false;
  box.config.process->user.uid = 1000;
  box.config.process->noNewPrivileges = true;
  box.config.linux_->seccomp = spec::Seccomp{.defaultAction = "SCMP_ACT_ALLOW"};
  box.config.hooks.emplace().startContainer = {
      {.path = "/bin/sh",
       .args = {"sh", "-c",
                "cat >/dev/null; { id -u; busybox grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/self/status; "
                "ls /proc/1/fd /proc/self/fd; } >/report 2>&1; :"},
       .env = {"PATH=/bin"},
       .timeout = {}}};
  const Outcome outcome = run(box);
  ASSERT_TRUE(outcome.ok()) << outcome.describe();
  const std::string report = shell("cat " + box.rootfs() + "/report").out;
  EXPECT_TRUE(report.starts_with("1000\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n")) << report;
  EXPECT_TRUE(report.contains("/proc/self/fd:\n0\n1\n2\n3\n")) << report;
}

// Whoever waits for the end of a pipe must not have to wait for the container.
TEST_F(RuntimeSecurity, ACreatedContainerHoldsNothingOfTheCallers) {
  auto box = bundle({"true"});
  box.write();
  std::string line;
  for (const std::string& word : command({"create", "--bundle", box.path(), "box"})) line += word + " ";
  const Outcome created =
      shell("exec 5</etc/passwd 9>" + scratch() + "/pipe; " + line + " </dev/null >/dev/null 2>&1");
  ASSERT_TRUE(created.ok()) << created.describe();
  const std::string pid = member(runtime({"state", "box"}).out, ".pid");
  const Outcome held = shell("readlink /proc/" + pid +
                             "/fd/* | grep -v -e '^/dev/null$' -e '^socket:' -e '^/memfd:cloche-init'");
  EXPECT_EQ(held.out, "");
  EXPECT_TRUE(runtime({"delete", "--force", "box"}).ok());
}

// Any device could be made and opened.
TEST_F(RuntimeSecurity, ADevicePolicyThatCannotBeLoadedIsRefusedToWhoMakesNodes) {
  auto box = bundle({"true"});
  box.config.linux_->resources.emplace().devices = {{.allow = false, .type = {}, .access = "rwm"}};
  box.write();
  EXPECT_TRUE(runtime({"--cgroup-manager", "disabled", "run", "--bundle", box.path(), "box"}).ok());
  give(box, "CAP_MKNOD");
  box.write();
  const Outcome outcome = runtime({"--cgroup-manager", "disabled", "run", "--bundle", box.path(), "box"});
  EXPECT_EQ(outcome.exit_code, 1) << outcome.describe();
  EXPECT_TRUE(outcome.err.contains("linux.resources.devices")) << outcome.err;
}

}  // namespace
}  // namespace cloche::test
