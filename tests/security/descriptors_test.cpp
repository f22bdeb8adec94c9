// Class 2: a descriptor or a working directory of the host that leaks in (CVE-2016-9962, CVE-2024-21626).
//
// Seen to fail: without the look at getcwd(2) after the chdir the first test reached the host from /proc/self/fd/4 to
// 6; with descriptors that outlive the exec the second one saw them. No runtime with the hole was at hand: Debian's runc
// 1.1.5 and 1.0.0~rc93 are both repaired, and refuse all of it.
#include <filesystem>
#include <fstream>

#include "security/security.h"
#include "spec/write.h"

namespace cloche::test {
namespace {

class LeakedDescriptors : public SecurityTest {
 protected:
  void SetUp() override {
    SecurityTest::SetUp();
    if (!IsSkipped()) std::ofstream(canary()) << "the host's\n";
  }
  std::string canary() { return scratch() + "/canary"; }
};

// Whatever the runtime has open at that moment is a directory to start in, if the path is believed.
TEST_F(LeakedDescriptors, NoWorkingDirectoryIsOutside) {
  constexpr int kNumbers = 256;
  auto box = image({"probe", "reach", canary()});
  const auto link = [](int number) { return "/link-" + std::to_string(number); };
  for (int n = 0; n < kNumbers; ++n)
    std::filesystem::create_symlink("/proc/self/fd/" + std::to_string(n), box.rootfs() + link(n));
  auto running = image({"sleep", "1000"}, "running");
  running.config.root->path = box.rootfs();
  ASSERT_TRUE(start_detached(running, "running").ok());
  int refused = 0, inside = 0;
  const auto judge = [&](const std::string& cwd, const Outcome& outcome) {
    EXPECT_FALSE(outcome.out.contains("REACHED")) << cwd;
    EXPECT_FALSE(outcome.timed_out) << cwd;
    outcome.ok() ? ++inside : ++refused;
  };
  for (int n = 0; n < kNumbers; ++n)
    for (const std::string& cwd : {"/proc/self/fd/" + std::to_string(n), link(n)}) {
      box.config.process->cwd = cwd;
      judge(cwd, run(box));
      judge(cwd, runtime({"exec", "--cwd", cwd, "running", "probe", "reach", canary()}));
    }
  EXPECT_EQ(refused + inside, kNumbers * 4);
  tried("{} working directories x 2 ways x run and exec: {} refused, {} inside of the root, none outside",
        kNumbers, refused, inside);
  stop("running");
}

// Only what --preserve-fds names.
TEST_F(LeakedDescriptors, TheContainerSeesThreeOnly) {
  auto box = image({"probe", "descriptors"});
  const auto with_open = [&](const std::vector<std::string>& words) {
    std::string line;
    for (const std::string& word : command(words)) line += word + " ";
    return shell("exec 3</etc/passwd 4</ 5</proc 7</etc 9>" + scratch() + "/file; " + line);
  };
  box.write();
  EXPECT_EQ(with_open({"run", "--bundle", box.path(), "box"}).out, "0 1 2 in /\n");
  const Outcome two = with_open({"run", "--bundle", box.path(), "--preserve-fds", "2", "box"});
  EXPECT_EQ(two.out, "0 1 2 3 4 in /\n") << two.describe();
  ASSERT_TRUE(create(box).ok());
  ASSERT_TRUE(with_open({"start", "box"}).ok());
  ASSERT_TRUE(reaches("stopped"));
  EXPECT_EQ(output(), "0 1 2 in /\n");
  ASSERT_TRUE(runtime({"delete", "box"}).ok());
  auto running = image({"sleep", "1000"}, "running");
  ASSERT_TRUE(start_detached(running).ok());
  EXPECT_EQ(with_open({"exec", "box", "probe", "descriptors"}).out, "0 1 2 in /\n");
  EXPECT_EQ(with_open({"exec", "--preserve-fds", "1", "box", "probe", "descriptors"}).out, "0 1 2 3 in /\n");
  running.config.process->args = {"probe", "descriptors"};
  running.config.process->noNewPrivileges = false;
  std::ofstream(scratch() + "/process.json") << spec::to_json(*running.config.process);
  EXPECT_EQ(with_open({"exec", "--process", scratch() + "/process.json", "box"}).out, "0 1 2 in /\n");
  tried("run, create and start, exec, exec --process, with five descriptors open in the caller");
  stop();
}

// Root in a container, allowed to trace, sees the process that joins it and the one that starts beside it.
TEST_F(LeakedDescriptors, AProcessThatJoinsOrStartsShowsNothingOfTheHost) {
  constexpr int kExecs = 200, kStarts = 60;
  auto watcher = image({"probe", "look", canary()}, "watcher");
  ASSERT_TRUE(start_detached(watcher, "watcher").ok());
  for (int i = 0; i < kExecs; ++i) ASSERT_TRUE(runtime({"exec", "watcher", "busybox", "true"}).ok());
  auto box = image({"busybox", "true"});
  for (spec::Namespace& ns : box.config.linux_->namespaces)
    if (ns.type == "pid") ns.path = "/proc/" + pid_of("watcher") + "/ns/pid";
  box.map_ids(700000, 65536);
  for (int i = 0; i < kStarts; ++i) ASSERT_TRUE(run(box).ok());
  const std::string said = end_probe("watcher");
  EXPECT_EQ(number(said, "seen"), 0) << said;
  EXPECT_GT(number(said, "tries"), kExecs) << said;
  tried("{} looks into other processes' root, cwd and descriptors, during {} execs and {} starts",
        number(said, "tries"), kExecs, kStarts);
}

}  // namespace
}  // namespace cloche::test
