// The texts that facts of the host are read from, as typical hosts have them and as broken ones might.
#include "runtime/facts.h"

#include <gtest/gtest.h>

namespace cloche::runtime {
namespace {

using plan::IdRange;
using plan::KernelVersion;

testing::AssertionResult is(const std::vector<IdRange>& ranges,
                            std::vector<std::pair<uint32_t, uint32_t>> wanted) {
  bool same = ranges.size() == wanted.size();
  for (size_t i = 0; same && i < ranges.size(); ++i)
    same = ranges[i].first == wanted[i].first && ranges[i].count == wanted[i].second;
  if (same) return testing::AssertionSuccess();
  return testing::AssertionFailure() << (ranges.empty() ? "no range" : std::to_string(ranges[0].first));
}

TEST(Facts, KernelRelease) {
  EXPECT_EQ(parse_release("6.1.0-18-amd64"), (KernelVersion{6, 1}));
  EXPECT_EQ(parse_release("5.15"), (KernelVersion{5, 15}));
  EXPECT_EQ(parse_release("6.12-rc1+"), (KernelVersion{6, 12}));
  EXPECT_EQ(parse_release("banana"), (KernelVersion{0, 0}));
  EXPECT_EQ(parse_release("6"), (KernelVersion{0, 0}));
  EXPECT_EQ(parse_release(""), (KernelVersion{0, 0}));
}

TEST(Facts, OnlyTheWholeIdentityMapIsTheHosts) {
  EXPECT_TRUE(is_identity_map("         0          0 4294967295\n"));
  EXPECT_FALSE(is_identity_map("         0          0      65536\n"));
  EXPECT_FALSE(is_identity_map("         0       1000          1\n"));
  EXPECT_FALSE(is_identity_map("0 0 1000\n1000 1000 4294966295\n"));
  EXPECT_FALSE(is_identity_map(""));
}

TEST(Facts, UserOfAnId) {
  const char* passwd =
      "root:x:0:0:root:/root:/bin/bash\nbroken\nann:x:1000:1000:Ann,,,:/home/ann:/bin/sh\n"
      "twin:x:1000:1000::/home/twin:/bin/sh\nodd:x::0::/:/bin/sh";
  EXPECT_EQ(find_user(passwd, 1000).name, "ann");
  EXPECT_EQ(find_user(passwd, 1000).home, "/home/ann");
  EXPECT_EQ(find_user(passwd, 0).name, "root");
  EXPECT_EQ(find_user(passwd, 7).name, "");
  EXPECT_EQ(find_user("", 0).name, "");
}

TEST(Facts, SubordinateIdsByNameOrNumber) {
  const char* text =
      "ann:100000:65536\n# a comment\nbob:165536:65536\n1000:300000:10\nann:x:1\nann:1:0\nann:5\n"
      "ann:4294967296:1\nann:9:1:2";
  EXPECT_TRUE(is(parse_subids(text, "ann", 1000), {{100000, 65536}, {300000, 10}}));
  EXPECT_TRUE(is(parse_subids(text, "bob", 1001), {{165536, 65536}}));
  EXPECT_TRUE(is(parse_subids(text, "", 1000), {{300000, 10}}));
  EXPECT_TRUE(is(parse_subids(text, "eve", 1002), {}));
}

TEST(Facts, RootsRangeIsItsOwnOrTheFirstFreeOne) {
  EXPECT_TRUE(is(root_subids(""), {{524288, 65536}}));
  EXPECT_TRUE(is(root_subids("ann:100000:65536\n"), {{524288, 65536}}));
  EXPECT_TRUE(is(root_subids("ann:524288:65536\nbob:589824:1\n"), {{655360, 65536}}));
  // An entry that begins below the range and reaches into it.
  EXPECT_TRUE(is(root_subids("ann:500000:65536\n"), {{589824, 65536}}));
  EXPECT_TRUE(is(root_subids("ann:524288:65536\nroot:1000000:1000\n"), {{1000000, 1000}}));
  EXPECT_TRUE(is(root_subids("cloche:2000000:65536\n"), {{2000000, 65536}}));
  EXPECT_TRUE(is(root_subids("all:0:4294967295\n"), {}));
}

TEST(Facts, OwnCgroup) {
  EXPECT_EQ(parse_own_cgroup("0::/user.slice/user-1000.slice/session-2.scope\n"),
            "/user.slice/user-1000.slice/session-2.scope");
  EXPECT_EQ(parse_own_cgroup("5:memory:/a\n1:name=systemd:/b\n0::/\n"), "/");
  EXPECT_EQ(parse_own_cgroup("5:memory:/a\n"), "");
  EXPECT_EQ(parse_own_cgroup("0::/gone (deleted)\n"), "");
}

TEST(Facts, MountTableOfAHybridHost) {
  const auto table = parse_mountinfo(
      "22 27 0:21 / /proc rw,relatime - proc proc rw\n"
      "31 23 0:28 / /sys/fs/cgroup rw shared:4 master:1 - tmpfs tmpfs rw,mode=755\n"
      "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:5 - cgroup cgroup rw,cpu,cpuacct\n"
      "38 31 0:35 / /sys/fs/cgroup/blkio rw,relatime - cgroup cgroup rw,blkio\n"
      "40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd\n"
      "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n"
      "50 27 8:1 / /mnt/two\\040words\\134 rw - ext4 /dev/sda1 rw\n"
      "51 27 8:1 / /half\n"
      "not a mount at all\n");
  EXPECT_EQ(table.mounts.size(), 7U);
  EXPECT_EQ(table.cgroup2, "/sys/fs/cgroup/unified");
  EXPECT_EQ(table.cgroup2_options, (std::vector<std::string>{"rw", "nsdelegate"}));
  EXPECT_EQ(table.v1.at("cpu"), "/sys/fs/cgroup/cpu,cpuacct");
  EXPECT_EQ(table.v1.at("io"), "/sys/fs/cgroup/blkio");
  EXPECT_EQ(table.v1.count("rw"), 0U);
  EXPECT_EQ(table.mounts.back().target, "/mnt/two words\\");
  EXPECT_EQ(table.mounts.back().type, "ext4");
}

TEST(Facts, RuntimeDirectory) {
  EXPECT_EQ(runtime_directory(true, 0, "/run/user/0"), "/run/cloche");
  EXPECT_EQ(runtime_directory(false, 1000, "/run/user/1000"), "/run/user/1000/cloche");
  EXPECT_EQ(runtime_directory(false, 1000, nullptr), "/tmp/cloche-1000");
  EXPECT_EQ(runtime_directory(false, 1000, "relative"), "/tmp/cloche-1000");
}

TEST(Facts, OnlyWhatARequestNeedsIsWanted) {
  spec::Spec spec;
  auto wanted = wanted_for(spec, false);
  EXPECT_FALSE(wanted.ids || wanted.controllers || wanted.modules || wanted.mounts);
  spec.linux_.emplace().namespaces = {{"user", ""}};
  EXPECT_TRUE(wanted_for(spec, false).ids);
  spec.process.emplace().apparmorProfile = "x";
  EXPECT_TRUE(wanted_for(spec, false).modules);
  EXPECT_TRUE(wanted_for(spec, true).mounts);
}

// This machine, whatever it is: what is gathered agrees with itself.
TEST(Facts, OfThisHostAreWhole) {
  const auto facts = gather_facts(FactsWanted::everything());
  ASSERT_TRUE(facts) << facts.error().message();
  EXPECT_GE(facts->kernel, (KernelVersion{5, 15}));
  EXPECT_GE(facts->cpus, 1U);
  EXPECT_FALSE(facts->mounts.empty());
  EXPECT_FALSE(facts->root_entries.empty());
  EXPECT_TRUE(facts->namespace_admin || !facts->privileged);
  EXPECT_TRUE(facts->runtime_dir.starts_with('/'));
}

}  // namespace
}  // namespace cloche::runtime
