// What of a container criu is told to be outside of it.
#include "runtime/checkpoint_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cloche::runtime {
namespace {

using testing::ElementsAre;

constexpr char kHost[] =
    "31 1 0:32 / /tmp rw - tmpfs tmp rw\n"
    "32 1 0:5 / /dev rw - devtmpfs devtmpfs rw\n"
    "33 1 0:20 / /proc rw - proc proc rw\n"
    "34 1 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n"
    "35 1 8:1 / /srv/my\\040data rw - ext4 /dev/sda1 rw\n";
constexpr char kInside[] =
    "54 38 0:32 /b/rootfs / rw,relatime - tmpfs tmp rw\n"
    "55 54 0:35 / /proc rw - proc proc rw\n"
    "56 54 0:36 / /dev rw shared:7 master:1 - tmpfs tmpfs rw\n"
    "60 54 0:28 /box /sys/fs/cgroup ro - cgroup2 cgroup rw\n"
    "62 55 0:35 /bus /proc/bus ro - proc proc rw\n"
    "67 55 0:40 / /proc/acpi ro - tmpfs tmpfs rw\n"
    "68 55 0:5 /null /proc/kcore rw - devtmpfs devtmpfs rw\n"
    "72 60 0:40 / /sys/firmware ro - tmpfs tmpfs rw\n"
    "73 54 8:1 / /my\\040data rw - ext4 /dev/sda1 rw\n"
    "74 54 0:32 /b/etc /etc/part rw - tmpfs tmp rw\n"
    "75 56 0:41 / /dev/pts rw - devpts devpts rw\n"
    "76 56 0:41 /0 /dev/console rw - devpts devpts rw\n"
    "not a line\n";

TEST(CheckpointView, WhatTheHostHasTooIsExternal) {
  EXPECT_THAT(external_mounts(parse_mount_lines(kInside), parse_mount_lines(kHost)),
              ElementsAre("/proc/kcore", "/my data", "/etc/part", "/dev/console"));
}

TEST(CheckpointView, APartOfAFileSystemThatIsNowhereWholeIsExternal) {
  const auto inside = parse_mount_lines(
      "1 0 0:9 / / rw - overlay overlay rw\n"
      "2 1 0:7 /kept /data rw - tmpfs tmpfs rw\n"
      "3 1 0:8 /sys /proc/sys ro - proc proc rw\n");
  EXPECT_THAT(external_mounts(inside, {}), ElementsAre("/data", "/proc/sys"));
}

// A sysfs belongs to a network namespace: with the host's it is the host's, and no user namespace makes another.
TEST(CheckpointView, InAUserNamespaceAFileSystemOfTheHostsIsExternal) {
  const auto host =
      parse_mount_lines("2 1 0:7 / /sys rw - sysfs sysfs rw\n3 1 0:8 / /proc rw - proc proc rw\n");
  const auto inside = parse_mount_lines(
      "1 0 0:9 / / rw - overlay overlay rw\n"
      "2 1 0:7 / /sys ro - sysfs sysfs rw\n"
      "3 1 0:10 / /proc rw - proc proc rw\n");
  EXPECT_THAT(external_mounts(inside, host), ElementsAre());
  EXPECT_THAT(external_mounts(inside, host, true), ElementsAre("/sys"));
}

TEST(CheckpointView, AStreamIsNamedAsCriuNamesIt) {
  const auto inside = parse_mount_lines(kInside);
  const auto named = [&](std::string_view link, int64_t mount, uint64_t inode,
                         uint64_t character_device = 0) {
    return outside_name(
        {.link = link, .mount = mount, .inode = inode, .device = 0x15, .character_device = character_device},
        inside);
  };
  EXPECT_EQ(named("pipe:[77]", 14, 77), "pipe:[77]");
  EXPECT_EQ(named("/dev/null", 31, 4, 0x103), "file[1f:4]");
  EXPECT_EQ(named("/var/log/a", 0x24, 0xbeef), "file[24:beef]");
  EXPECT_EQ(named("/inside", 54, 4), "");
  EXPECT_EQ(named("/memfd:x (deleted)", 3, 4), "");
  EXPECT_EQ(named("anon_inode:[eventfd]", 3, 4), "");
  EXPECT_EQ(named("/dev/pts/0", 54, 3, 0x8800), "tty[8800:15]") << "its other end is outside";
  EXPECT_EQ(named("/dev/tty1", 32, 20, 0x401), "tty[401:15]");
}

TEST(CheckpointView, TheMountOfADescriptor) {
  EXPECT_EQ(mount_of_descriptor("pos:\t0\nflags:\t0100000\nmnt_id:\t31\nino:\t4\n"), 31);
  EXPECT_EQ(mount_of_descriptor("pos:\t0\n"), -1);
}

TEST(CheckpointView, StreamsComeBackAsTheyWereWritten) {
  EXPECT_EQ(streams_to_json({"/dev/null", "pipe:[7]"}), R"(["/dev/null","pipe:[7]"])");
  EXPECT_THAT(*streams_from_json(R"(["file[1f:4]", "pipe:[7]", "/dev/pts/0", "pipe:[8]"])"),
              ElementsAre("file[1f:4]", "pipe:[7]", ""));
  // From a directory of somebody else's: only names get through to criu.
  EXPECT_THAT(*streams_from_json(R"(["pipe:[7] --x", "pipe:[7]\n]", "tty"])"), ElementsAre("", "", ""));
  EXPECT_FALSE(streams_from_json("{}"));
  EXPECT_FALSE(streams_from_json("[1]"));
}

}  // namespace
}  // namespace cloche::runtime
