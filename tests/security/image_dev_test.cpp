// Class 4: the image's own /dev trusted (CVE-2025-31133, CVE-2025-52565).
//
// Seen to fail: runc 1.1.5 (Debian 12) follows a link in /dev's place and leaves links in the host's canary; crun 1.8.1
// leaves masked files uncovered where the image's null is a FIFO or a file:
//   --gtest_filter='ImageDev.*' with CLOCHE_SECURITY_RUNTIME=runc, or "crun --cgroup-manager=disabled"
// and Cloche where it took whatever bore a device's name for the device.
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "security/security.h"

namespace cloche::test {
namespace {
namespace fs = std::filesystem;

class ImageDev : public SecurityTest {
 protected:
  void plant(const std::string& path, const std::string& kind, const std::string& target,
             const std::string& up) {
    fs::remove_all(path);
    fs::create_directories(fs::path(path).parent_path());
    if (kind == "relative") fs::create_symlink(up + target, path);
    if (kind == "absolute") fs::create_symlink(target, path);
    if (kind == "magic") fs::create_symlink("/proc/self/root" + target, path);
    if (kind == "descriptor") fs::create_symlink("/proc/self/fd/5", path);
    if (kind == "FIFO") ::mkfifo(path.c_str(), 0666);
    if (kind == "file") std::ofstream(path) << "the image's\n";
  }
};

// With a /dev of the runtime's, and with none: then the nodes go into the image's own. With a terminal and without.
TEST_F(ImageDev, WhateverTheImageHasThere) {
  const Canary canary(scratch() + "/canary");
  int starts = 0, refused = 0;
  for (const std::string name : {"", "/null", "/console", "/ptmx", "/pts"})
    for (const char* kind : {"relative", "absolute", "magic", "descriptor", "FIFO", "file"})
      for (const bool own : {true, false})
        for (const bool terminal : {true, false}) {
          auto box = image({"sh", "-c",
                            "cat /proc/timer_list | busybox wc -c; probe reach " + canary.path() +
                                "; cat /proc/kcore | busybox head -c 1 | busybox wc -c; echo end >/dev/null; "
                                "cat /dev/console/file /dev/null/file /dev/pts/file; :"},
                           "image");
          fs::remove_all(box.rootfs() + "/dev");
          const bool directory = name.empty() || name == "/pts";
          plant(box.rootfs() + "/dev" + name, kind, canary.path() + (directory ? "/directory" : "/file"),
                "../../../../../../../..");
          if (!own)
            std::erase_if(box.config.mounts, [](const spec::Mount& m) {
              return m.destination == "/dev" || m.destination == "/dev/shm" || m.destination == "/dev/mqueue";
            });
          box.config.process->terminal = terminal;
          box.config.root->readonly = false;
          const Outcome outcome = run(box);
          const std::string label =
              fmt::format("/dev{} is a {}; own {} terminal {}\n", name, kind, own, terminal);
          EXPECT_FALSE(outcome.timed_out) << label;
          EXPECT_FALSE(outcome.out.contains("REACHED")) << label << outcome.describe();
          EXPECT_FALSE(outcome.out.contains("the host's")) << label << outcome.describe();
          // What is masked is so whatever the image's null is.
          EXPECT_TRUE(!outcome.ok() || outcome.out.starts_with("0")) << label << outcome.describe();
          ++starts;
          refused += static_cast<int>(!outcome.ok());
          EXPECT_EQ(canary.changes(), "") << label;
          fs::remove_all(box.path());
        }
  tried("5 names x 6 kinds x own or image's /dev x with or without a terminal: {} starts, {} refused", starts,
        refused);
}

}  // namespace
}  // namespace cloche::test
