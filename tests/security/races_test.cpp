// Class 3: a path swapped for a symbolic link while mounts are made in it (CVE-2021-30465, CVE-2019-19921,
// CVE-2023-27561, CVE-2024-45310, CVE-2018-15664).
//
// Seen to fail: Debian 12's runc 1.1.5+ds1-1+deb12u1 has CVE-2024-45310, makes directories outside of the root, and is
// caught by --gtest_filter='Races.AMountsDestinationInTheRoot' (see security.h). crun 1.8.1 makes none there.
#include <filesystem>
#include <fstream>
#include <sstream>

#include "security/security.h"

namespace cloche::test {
namespace {

class Races : public SecurityTest {
 protected:
  // Something of every kind that is made below `top` of the container.
  static void fill(Bundle& box, const std::string& top, const std::string& source) {
    for (spec::Mount& made : std::vector{
             mount(top + "/made/deep", "tmpfs", "tmpfs", {}), mount(top + "/bound", "bind", source, {"bind"}),
             mount(top + "/bound-file", "bind", source + "/file", {"bind", "ro"})})
      box.config.mounts.push_back(std::move(made));
    box.config.linux_->devices.push_back(
        {.path = top + "/node", .type = "c", .major = 1, .minor = 3, .fileMode = 0666, .uid = 0, .gid = 0});
    box.config.linux_->maskedPaths.push_back(top + "/directory");
    box.config.linux_->readonlyPaths.push_back(top + "/file");
    box.config.root->readonly = false;
  }
  // Starts containers beside a swapper of `link` and `directory` for 10^5 exchanges and at least 60 starts.
  void race(Bundle& box, const std::string& directory, const std::string& link, const char* where) {
    const Canary canary(scratch() + "/canary");
    std::filesystem::create_directories(directory + "/directory");
    std::ofstream(directory + "/file") << "the container's\n";
    std::filesystem::create_symlink(canary.path(), link);
    box.write();
    Running swapper({.argv = {program("cloche_security_probe"), "swap", directory, link, "100000"}});
    ASSERT_TRUE(swapper.wait_for_output("ready"));
    int started = 0, refused = 0;
    Outcome last;
    for (int i = 0; i < 60; ++i) {
      const Outcome outcome = runtime({"run", "--bundle", box.path(), "box"});
      EXPECT_FALSE(outcome.timed_out);
      EXPECT_FALSE(outcome.out.contains("REACHED")) << outcome.describe();
      outcome.ok() ? ++started : ++refused;
      last = outcome;
    }
    const Outcome swapped = swapper.finish();
    EXPECT_GE(number(swapped.out, "rounds"), 100000) << swapped.describe();
    EXPECT_EQ(canary.changes(), "");
    EXPECT_GT(started, 0) << last.describe();
    tried("{} exchanges in {} against {} starts: {} ran, {} were refused", number(swapped.out, "rounds"),
          where, started + refused, started, refused);
  }
};

TEST_F(Races, AMountsDestinationInTheRoot) {
  auto box = image({"probe", "reach", scratch() + "/canary"});
  std::filesystem::create_directory(scratch() + "/source");
  std::ofstream(scratch() + "/source/file") << "bound\n";
  fill(box, "/swapped", scratch() + "/source");
  race(box, box.rootfs() + "/swapped", box.rootfs() + "/link", "the root file system");
}

// What another container shares, in which it can rename at will.
TEST_F(Races, AMountsDestinationInASharedVolume) {
  auto box = image({"probe", "reach", scratch() + "/canary"});
  const std::string volume = scratch() + "/volume";
  std::filesystem::create_directory(volume);
  std::filesystem::create_directory(scratch() + "/source");
  std::ofstream(scratch() + "/source/file") << "bound\n";
  box.config.mounts.push_back(mount("/volume", "bind", volume, {"rbind"}));
  fill(box, "/volume/swapped", scratch() + "/source");
  race(box, volume + "/swapped", volume + "/link", "a shared volume");
}

// The calls themselves: nothing is mounted on, made or changed below the root by a path that could be swapped.
TEST_F(Races, NoCallNamesAPathBelowTheRoot) {
  CLOCHE_NEEDS(needs::program("strace"));
  auto box = image({"busybox", "true"});
  std::filesystem::create_directory(scratch() + "/source");
  std::ofstream(scratch() + "/source/file") << "bound\n";
  fill(box, "/top", scratch() + "/source");
  box.config.process->terminal = true;
  box.write();
  const std::string trace = scratch() + "/trace";
  std::vector<std::string> argv{
      "strace",
      "-f",
      "-qq",
      "-s",
      "4096",
      "-o",
      trace,
      "-e",
      "trace=%file,mount,umount2,move_mount,open_tree,mount_setattr,fsmount,mkdirat,mknodat,symlinkat"};
  for (std::string& word : command({"run", "--bundle", box.path(), "box"})) argv.push_back(std::move(word));
  const Outcome outcome = test::run({.argv = argv});
  ASSERT_TRUE(outcome.ok()) << outcome.describe();
  std::ifstream lines(trace);
  int moved = 0, made = 0;
  for (std::string line; std::getline(lines, line);) {
    const std::string call = line.substr(line.find(' ') + 1);
    const auto is = [&](const char* name) { return call.find(name) != std::string::npos; };
    EXPECT_FALSE(is(" mount(") || call.starts_with("mount(")) << line;
    EXPECT_FALSE(is(box.rootfs().append("/").c_str())) << line;
    if (is("move_mount(")) {
      ++moved;
      // "/" is the new root's place, before the pivot.
      EXPECT_TRUE(call.contains("MOVE_MOUNT_T_EMPTY_PATH") || call.contains("AT_FDCWD, \"/\"")) << line;
    }
    if (is("mkdirat(") || is("mknodat(") || is("symlinkat(")) {
      const bool state = call.contains(state_root()) || call.contains("/sys/fs/cgroup");
      made += static_cast<int>(!state);
      EXPECT_TRUE(state || !call.contains("AT_FDCWD")) << line;
    }
    EXPECT_FALSE(call.contains("mkdir(") || call.contains("mknod(")) << line;
  }
  EXPECT_GT(moved, 10);
  EXPECT_GT(made, 5);
  tried("{} mounts attached and {} files made, as a trace has them: none by a path below the root", moved,
        made);
}

}  // namespace
}  // namespace cloche::test
