// The place in which the callers' tests run, and the program's start.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <filesystem>
#include <stdexcept>

#include "callers/caller.h"
#include "support/place.h"

namespace cloche::test {
namespace {

namespace fs = std::filesystem;

void mount_or_throw(const char* type, const std::string& target, unsigned long flags,
                    const std::string& options = "") {
  if (mount(type, target.c_str(), type, flags, options.c_str()) != 0)
    throw std::runtime_error(fmt::format("mount {} at {}: {}", type, target, std::strerror(errno)));
}

// What is written below `path` stays in memory and in this namespace.
void keep_changes(const std::string& path, const std::string& memory) {
  std::string name = path;
  std::ranges::replace(name, '/', '-');
  fs::create_directories(fmt::format("{}/{}/upper", memory, name));
  fs::create_directories(fmt::format("{}/{}/work", memory, name));
  mount_or_throw("overlay", path, 0,
                 fmt::format("lowerdir={0},upperdir={1}/{2}/upper,workdir={1}/{2}/work", path, memory, name));
}

}  // namespace

void enter_world() {
  const std::string options = cgroup2_options();
  if (unshare(CLONE_NEWNS) != 0 || mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    throw std::runtime_error(fmt::format("a mount namespace: {}", std::strerror(errno)));
  // With the v1 hierarchies below it. They stay as they are on the machine.
  if (umount2("/sys/fs/cgroup", MNT_DETACH) != 0)
    throw std::runtime_error(fmt::format("umount2(/sys/fs/cgroup): {}", std::strerror(errno)));
  mount_or_throw("cgroup2", "/sys/fs/cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC, options);
  // Where the callers write whatever they are told. As on a machine, only root may write to most of it.
  for (const char* path : {"/run", "/opt", "/var/cache", "/mnt"})
    mount_or_throw("tmpfs", path, MS_NOSUID | MS_NODEV, "mode=0755");
  mount_or_throw("tmpfs", "/var/tmp", MS_NOSUID | MS_NODEV, "mode=1777");
  // Programs of Debian's packages only, and ours.
  mount_or_throw("tmpfs", "/usr/local", MS_NODEV, "mode=0755");
  fs::create_directory("/usr/local/bin");
  keep_changes("/etc", "/mnt");
  const Outcome installed =
      run({.argv = {"sh", "-ec", documented("/usr/local/bin/cloche-runtime")}, .cwd = source_directory()});
  if (!installed.ok()) throw std::runtime_error(installed.describe());
}

}  // namespace cloche::test

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (geteuid() == 0 && !testing::GTEST_FLAG(list_tests)) {
    try {
      cloche::test::enter_world();
    } catch (const std::exception& error) {
      std::fprintf(stderr, "cloche_caller_tests: %s\n", error.what());
      return 1;
    }
  }
  return RUN_ALL_TESTS();
}
