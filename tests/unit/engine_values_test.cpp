// What is typed on the command line, well and badly.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <limits>

#include "engine/process_options.h"
#include "engine/values.h"
#include "spec/size.h"

namespace cloche::engine {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Values, Sizes) {
  EXPECT_EQ(spec::parse_size("0").value(), 0);
  EXPECT_EQ(spec::parse_size("1073741824").value(), 1 << 30);
  for (const char* text : {"512M", "512m", "512mb", "512MiB", "512Mi", "0.5g", "524288k"})
    EXPECT_EQ(spec::parse_size(text).value(), 512 << 20) << text;
  EXPECT_EQ(spec::parse_size("max").value(), -1);
  EXPECT_EQ(spec::parse_size("-1").value(), -1);
  for (const char* text : {"", "m", "-5m", "+5m", "5x", "5bb", "5mm", "1.2.3m", ".", "0x10", "1e3", " 5m",
                           "5m ", "5 m", "nan", "inf", "five"})
    EXPECT_FALSE(spec::parse_size(text)) << text;
  EXPECT_THAT(spec::parse_size("99999999999999t").error(), HasSubstr("larger than any memory"));
  EXPECT_FALSE(spec::parse_size(std::string(400, '9')));
  EXPECT_FALSE(spec::parse_size("9223372036854775808"));
}

TEST(Values, WholeNumbers) {
  EXPECT_EQ(parse_whole("-7", -10, 10).value(), -7);
  for (const char* text : {"", "+1", "1.0", "1 ", " 1", "0x1", "99999999999999999999", "-"})
    EXPECT_FALSE(parse_whole(text, -10, 10)) << text;
  EXPECT_THAT(parse_whole("11", 0, 10).error(), HasSubstr("out of range: 0 to 10"));
}

TEST(Values, Cpus) {
  EXPECT_EQ(parse_cpus("1.5").value(), 150000);
  EXPECT_EQ(parse_cpus("0.01").value(), 1000);
  for (const char* text : {"", "0", "-1", "0.001", "nan", "inf", "1e9", "1,5", "two"})
    EXPECT_FALSE(parse_cpus(text)) << text;
}

TEST(Values, IdMaps) {
  const auto range = parse_id_map("0:100000:65536").value();
  EXPECT_EQ(range.containerID, 0U);
  EXPECT_EQ(range.hostID, 100000U);
  EXPECT_EQ(range.size, 65536U);
  for (const char* text :
       {"", "0", "0:1", "0:1:", "::", "0:1:2:3", "-1:0:1", "0:4294967296:1", "a:b:c", "0: 1:1"})
    EXPECT_FALSE(parse_id_map(text)) << text;
}

TEST(Values, Ulimits) {
  const auto both = parse_ulimit("nofile=1024:4096").value();
  EXPECT_EQ(both.type, "RLIMIT_NOFILE");
  EXPECT_EQ(both.soft, 1024U);
  EXPECT_EQ(both.hard, 4096U);
  EXPECT_EQ(parse_ulimit("core=0").value().hard, 0U);
  EXPECT_EQ(parse_ulimit("nproc=unlimited").value().soft, std::numeric_limits<uint64_t>::max());
  for (const char* text : {"", "=", "nofile", "nofile=", "=5", "nofile=1:2:3", "nofile=:5",
                           "nofile=5:", "nofile=-2", "nofile=18446744073709551616"})
    EXPECT_FALSE(parse_ulimit(text)) << text;
}

TEST(Values, Namespaces) {
  using Kind = NamespaceChoice::Kind;
  for (const char* text : {"", "new", "private"})
    EXPECT_EQ(parse_namespace("--pid", text).value().kind, Kind::fresh);
  EXPECT_EQ(parse_namespace("--pid", "host").value().kind, Kind::host);
  EXPECT_EQ(parse_namespace("--pid", "path:/proc/1/ns/pid").value().path, "/proc/1/ns/pid");
  EXPECT_EQ(parse_namespace("--net", "none").value().kind, Kind::fresh);
  for (const char* text : {"none", "Host", "path:", "path:relative", "container:x", "/proc/1/ns/pid"})
    EXPECT_FALSE(parse_namespace("--pid", text)) << text;
}

TEST(Values, Devices) {
  const auto null = parse_device("/dev/null:/dev/void:rw").value();
  EXPECT_EQ(null.device.path, "/dev/void");
  EXPECT_EQ(null.rule.access, "rw");
  EXPECT_EQ(parse_device("/dev/null:r").value().rule.access, "r");
  for (const char* text : {"", "dev/null", "/dev", "/etc/passwd", "/dev/no-such", "/dev/null:/dev/x:rwx",
                           "/dev/null:/dev/x:", "/dev/null:a:b:c", "/dev/null:"})
    EXPECT_FALSE(parse_device(text)) << text;
}

TEST(Values, DeviceRules) {
  const auto rule = parse_device_rule("c 10:* rwm").value();
  EXPECT_EQ(rule.major, 10);
  EXPECT_FALSE(rule.minor);
  for (const char* text : {"", "c", "c 1:2", "x 1:2 r", "c 1 r", "c 1:2 x", "c -1:2 r", "c 1:2 r w",
                           "c  1:2 r", "c 1:99999999999999999999 r"})
    EXPECT_FALSE(parse_device_rule(text)) << text;
}

TEST(Values, Volumes) {
  const auto plain = parse_volume("/a:/b").value();
  EXPECT_EQ(plain.source, "/a");
  EXPECT_EQ(plain.destination, "/b");
  EXPECT_THAT(plain.options, ElementsAre("rbind"));
  EXPECT_THAT(parse_volume("/a:/b:ro,bind").value().options, ElementsAre("ro", "bind"));
  for (const char* text : {"", ":", "::", "/a", "/a:", ":/b", "a:/b", ".a:/b", "/a:b", "/a:/", "/a://",
                           "/a:/b:", "/a:/b:ro,", "/a:/b:rw:ro", "/a:/b:nonsense"})
    EXPECT_FALSE(parse_volume(text)) << text;
  EXPECT_THAT(parse_volume("data:/b").error(), HasSubstr("named volumes"));
  const auto here = std::filesystem::current_path();
  EXPECT_EQ(parse_volume("./a/:/b").value().source, (here / "a").string());
  EXPECT_EQ(parse_volume(".:/b").value().source, here.string());
  EXPECT_EQ(parse_volume("../x:/b").value().source, (here.parent_path() / "x").string());
}

TEST(Values, Mounts) {
  const auto bind = parse_mount("type=bind,src=/a,dst=/b,readonly,bind-propagation=rslave").value();
  EXPECT_THAT(bind.options, ElementsAre("rbind", "ro", "rslave"));
  const auto tmpfs = parse_mount("type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=700").value();
  EXPECT_THAT(tmpfs.options, Contains("size=1m"));
  EXPECT_EQ(tmpfs.source, "tmpfs");
  EXPECT_THAT(parse_mount("source=/a,target=/b,readonly=false").value().options, Contains("rw"));
  for (const char* text : {"", "type=bind", "type=volume,src=/a,dst=/b", "src=/a", "dst=/b", "src=a,dst=/b",
                           "src=/a,dst=b", "src=/a,dst=/", "src=/a,dst=/b,", "src=/a,dst=/b,what=ever",
                           "src=/a,dst=/b,nonsense", "=,=", "type=tmpfs"})
    EXPECT_FALSE(parse_mount(text)) << text;
}

TEST(Values, Tmpfs) {
  EXPECT_THAT(parse_tmpfs("/t").value().options, ElementsAre("nosuid", "nodev", "noexec"));
  EXPECT_THAT(parse_tmpfs("/t:size=1m,exec").value().options, Contains("exec"));
  for (const char* text : {"", "t", "/", ":size=1m"}) EXPECT_FALSE(parse_tmpfs(text)) << text;
}

constexpr std::string_view kPasswd =
    "root:x:0:0:root:/root:/bin/sh\n1000:x:7:8::/:/bin/sh\nann:x:1000:1001::/home/ann:/bin/"
    "sh\nbroken:x:nan:1::/:\nshort\n";
constexpr std::string_view kGroup = "root:x:0:\n1000:x:9:\nstaff:x:50:ann\nodd:x::\n";

TEST(ResolveUser, ByNumberOrName) {
  const auto ann = resolve_user("ann", kPasswd, kGroup).value();
  EXPECT_EQ(ann.uid, 1000U);
  EXPECT_EQ(ann.gid, 1001U);
  EXPECT_EQ(resolve_user("ann:staff", kPasswd, kGroup).value().gid, 50U);
  EXPECT_EQ(resolve_user("ann:7", kPasswd, kGroup).value().gid, 7U);
  EXPECT_EQ(resolve_user("5", kPasswd, kGroup).value().gid, 0U);
}

// An account named "1000" must not become the user of whoever asks for the number 1000.
TEST(ResolveUser, DigitsAreNeverNames) {
  const auto number = resolve_user("1000", kPasswd, kGroup).value();
  EXPECT_EQ(number.uid, 1000U);
  EXPECT_EQ(number.gid, 1001U);
  EXPECT_EQ(resolve_user("0:1000", kPasswd, kGroup).value().gid, 1000U);
}

// A user's group that is no number is not root's; "01000" is the number of ann's line.
TEST(ResolveUser, NobodyGetsTheGroupRootByMistake) {
  EXPECT_FALSE(resolve_user("eve", "eve:x:5:4294967296::/:\n", ""));
  EXPECT_FALSE(resolve_user("eve", "eve:x:5:::/:\n", ""));
  EXPECT_FALSE(resolve_user("5", "eve:x:5:::/:\n", ""));
  EXPECT_EQ(resolve_user("eve:7", "eve:x:5:::/:\n", "").value().gid, 7U);
  EXPECT_EQ(resolve_user("01000", kPasswd, kGroup).value().gid, 1001U);
  EXPECT_EQ(resolve_user("5", "eve:x:05:9::/:\n", "").value().gid, 9U);
}

TEST(ResolveUser, HostileInputIsRefused) {
  for (const char* text :
       {"", ":", ":0", "0:", "4294967295", "4294967296", "99999999999999999999", "-1", "0:-1", "0:4294967295",
        "nobody-here", "0:no-such-group", "broken", "0:odd", "ann:staff:x", " ann", "root\n", "short"})
    EXPECT_FALSE(resolve_user(text, kPasswd, kGroup)) << text;
  EXPECT_FALSE(resolve_user("root", "", ""));
  EXPECT_EQ(resolve_user("0", "", "").value().uid, 0U);
}

}  // namespace
}  // namespace cloche::engine
