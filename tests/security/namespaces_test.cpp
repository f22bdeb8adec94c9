// Class 9: id maps that are cut off, and cgroups that a container can write: CVE-2021-43784, CVE-2023-25809,
// CVE-2022-0492. That limits are what was asked for (CVE-2023-6476) is seen in the guest of the VM tests, where each
// one bites.
//
// Seen to fail: Debian 11's runc 1.0.0~rc93 before +deb11u4 has CVE-2023-25809, and is caught by
//   --gtest_filter='Cgroups.NorWhere*' (see security.h)
// which runc 1.1.5 passes. Cloche failed with a cgroup mount that was not read-only, and with no bound on an id map's
// lines. CVE-2021-43784 is in that runc too and is not caught: no map of digits was found that it takes for another.
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "security/security.h"
#include "spec/default_spec.h"
#include "support/box.h"
#include "support/test_user.h"

namespace cloche::test {
namespace {
namespace fs = std::filesystem;

class IdMaps : public SecurityTest {
 protected:
  static std::vector<spec::IDMapping> lines(uint32_t count, uint32_t first) {
    std::vector<spec::IDMapping> map;
    for (uint32_t i = 0; i < count; ++i)
      map.push_back({.containerID = i, .hostID = first + 2 * i, .size = 1});
    return map;
  }
  Bundle mapped(uint32_t count, uint32_t first) {
    auto box = image({"cat", "/proc/self/uid_map"});
    box.map_ids(first, 1);
    box.config.linux_->uidMappings = lines(count, first);
    for (spec::Mount& mount : box.config.mounts) std::erase(mount.options, "gid=5");
    return box;
  }
};

TEST_F(IdMaps, AreWrittenWholeOrRefused) {
  // The kernel's own bounds: 340 lines, and less than a page in one write (user_namespaces(7)).
  const auto most = run(mapped(340, 2000));
  ASSERT_TRUE(most.ok()) << most.describe();
  EXPECT_EQ(std::ranges::count(most.out, '\n'), 340);
  EXPECT_TRUE(most.out.contains(" 339       2678          1\n")) << most.out;
  int refused = 0;
  for (const uint32_t count : {341U, 1000U, 4096U, 5958U, 10000U, 70000U}) {
    const auto outcome = run(mapped(count, 2000));
    EXPECT_FALSE(outcome.ok()) << count << " lines: " << outcome.out.substr(0, 200);
    EXPECT_EQ(outcome.out, "");
    EXPECT_TRUE(peer() || outcome.err.contains(fmt::format("uidMappings: has {} lines", count)))
        << outcome.describe();
    ++refused;
  }
  const auto longer = run(mapped(340, 1'000'000'000));
  EXPECT_FALSE(longer.ok()) << longer.out;
  EXPECT_TRUE(peer() || longer.err.contains("the kernel takes an id map of less than")) << longer.describe();
  tried("340 lines, all there; {} longer maps, to 70000 lines, and one of more than a page: refused",
        refused);
}

TEST_F(IdMaps, OfTheCommandLine) {
  if (peer()) GTEST_SKIP() << "needs Cloche's engine";
  for (const int count : {341, 6000}) {
    std::vector<std::string> flags;
    for (int i = 0; i < count; ++i) {
      flags.emplace_back("--uidmap");
      flags.push_back(fmt::format("{}:{}:1", i, 2000 + 2 * i));
    }
    const Outcome outcome = run_box(flags, "cat /proc/self/uid_map");
    EXPECT_FALSE(outcome.ok());
    EXPECT_EQ(outcome.out, "");
    EXPECT_TRUE(outcome.err.contains(std::to_string(count))) << outcome.describe();
  }
  tried("341 and 6000 times --uidmap: refused");
}

class Cgroups : public SecurityTest {
 protected:
  static void drop_namespace(Bundle& box, const std::string& type) {
    std::erase_if(box.config.linux_->namespaces, [&](const auto& ns) { return ns.type == type; });
  }
  long tries_ = 0;
  void expect_closed(const std::string& label, const Outcome& outcome) {
    ASSERT_TRUE(outcome.ok()) << label << outcome.describe();
    EXPECT_EQ(number(outcome.out, "opened"), 0) << label << outcome.out;
    EXPECT_GT(number(outcome.out, "tries"), 5) << label << outcome.out;
    tries_ += number(outcome.out, "tries");
  }
};

TEST_F(Cgroups, NoFileOfTheirsIsWritable) {
  int containers = 0;
  for (const bool users : {false, true})
    for (const bool own_view : {true, false}) {
      auto box = image({"probe", "write-below", "/sys/fs/cgroup"}, fmt::format("box-{}-{}", users, own_view));
      give(box, {"CAP_DAC_OVERRIDE", "CAP_CHOWN", "CAP_FOWNER"});
      if (!own_view) drop_namespace(box, "cgroup");
      if (users) box.map_ids(700000, 65536);
      expect_closed(fmt::format("user namespace {} cgroup namespace {}", users, own_view), run(box));
      ++containers;
      if (users || !own_view) continue;
      // What the probe would find, were the mount not read-only.
      for (spec::Mount& mount : box.config.mounts)
        if (mount.destination == "/sys/fs/cgroup") std::erase(mount.options, "ro");
      const Outcome open = run(box);
      EXPECT_GT(number(open.out, "opened"), 5) << open.describe();
    }
  if (!peer())
    for (const std::vector<std::string>& wish : {std::vector<std::string>{}, {"--cgroupns", "host"}}) {
      auto flags = wish;
      flags.insert(flags.end(), {"-v", program("cloche_security_probe") + ":/mnt/probe:ro"});
      expect_closed("cloche run ", run_box(flags, "/mnt/probe write-below /sys/fs/cgroup"));
      ++containers;
    }
  tried("{} files below /sys/fs/cgroup opened to write them, in {} containers", tries_, containers);
}

// A user's container in cgroups that are the user's: there the files' owner does not keep its root out.
TEST_F(Cgroups, NorWhereTheyAreTheUsersOwn) {
  CLOCHE_NEEDS(needs::test_user());
  CLOCHE_NEEDS(needs::cgroup2());
  const std::string top =
      fs::exists("/sys/fs/cgroup/cgroup.procs") ? "/sys/fs/cgroup" : "/sys/fs/cgroup/unified";
  const TestUser& user = TestUser::get();
  const std::string cgroup = fmt::format("{}/security-{}", top, ::getpid());
  ASSERT_TRUE(fs::create_directories(cgroup + "/session"));
  ASSERT_TRUE(shell(fmt::format("chown -R {0}:{1} {2}", user.uid(), user.gid(), cgroup)).ok());
  const auto inside = [&](const std::vector<std::string>& words) {
    std::vector<std::string> argv{
        "sh", "-c",
        fmt::format("echo $$ >{}/session/cgroup.procs && exec setpriv --reuid {} --regid {} "
                    "--clear-groups env HOME={} XDG_RUNTIME_DIR={} \"$@\"",
                    cgroup, user.uid(), user.gid(), user.home(), user.runtime_directory()),
        "sh"};
    argv.insert(argv.end(), words.begin(), words.end());
    return test::run({.argv = argv});
  };
  int containers = 0;
  for (const bool own_view : {true, false}) {
    auto box = image({"probe", "write-below", "/sys/fs/cgroup"}, own_view ? "own" : "shared");
    const auto args = box.config.process->args;
    box.config = spec::default_rootless_spec(user.uid(), user.gid());
    box.config.ociVersion = "1.0.2";
    box.config.process->args = args;
    box.config.process->terminal = false;
    box.config.linux_->cgroupsPath = fs::path(cgroup.substr(top.size())) / "box";
    if (!own_view) drop_namespace(box, "cgroup");
    ASSERT_TRUE(shell(fmt::format("chown -R {0}:{1} {2}; chmod 755 {3}", user.uid(), user.gid(), box.path(),
                                  scratch()))
                    .ok());
    box.write();
    std::vector<std::string> words = SecurityTest::runtime_program();
    words.insert(words.end(), {"--root", user.home() + "/state", "run", "--bundle", box.path(), "box"});
    expect_closed(fmt::format("rootless, cgroup namespace {}", own_view), inside(words));
    ++containers;
    if (peer()) continue;
    std::vector<std::string> flags{"-v", program("cloche_security_probe") + ":/mnt/probe:ro",
                                   "--cgroup-parent", cgroup.substr(top.size())};
    if (!own_view) flags.insert(flags.end(), {"--cgroupns", "host"});
    expect_closed("cloche run as a user ",
                  inside(test::box(flags, "/mnt/probe write-below /sys/fs/cgroup").argv));
    ++containers;
  }
  fs::remove_all(user.home() + "/state");
  shell("rmdir " + cgroup + "/* " + cgroup);
  tried(
      "{} files below /sys/fs/cgroup opened to write them, in {} containers of a user whose cgroups they are",
      tries_, containers);
}

// release_agent is version 1's, and a program of the host's root (CVE-2022-0492).
TEST_F(Cgroups, NoHierarchyIsMountedInside) {
  const std::string script =
      "for kind in 'cgroup -o memory' 'cgroup -o rdma' 'cgroup -o none,name=x' 'cgroup -o cpu' cgroup2; do "
      "for way in '' 'unshare -rm' 'unshare -rmC' 'unshare -m' 'unshare -C'; do "
      "$way busybox mount -t $kind x /mnt 2>/dev/null && echo MOUNTED $kind; "
      "$way busybox mount -o remount,rw /sys/fs/cgroup 2>/dev/null && echo REMOUNTED; done; done; echo end";
  int containers = 0;
  if (!peer())
    for (const std::vector<std::string>& flags : {std::vector<std::string>{},
                                                  {"--cap-add", "DAC_OVERRIDE"},
                                                  {"--cgroupns", "host"},
                                                  {"--new-privileges"}}) {
      EXPECT_EQ(run_box(flags, script).out, "end\n");
      ++containers;
    }
  auto box = image({"busybox", "sh", "-c", script});
  fs::create_directory(box.rootfs() + "/mnt");
  // Without a filter of calls the container may make a user namespace; that gives no rights over hierarchies of v1.
  std::string plain = script;
  plain.replace(plain.find("'unshare -rm' 'unshare -rmC' "), 29, "");
  plain.replace(plain.find(" cgroup2;"), 9, ";");
  box.config.process->args.back() = plain;
  give(box, {"CAP_DAC_OVERRIDE", "CAP_CHOWN", "CAP_SETUID", "CAP_SETGID", "CAP_MKNOD"});
  EXPECT_EQ(run(box).out, "end\n");
  tried("5 hierarchies to mount and a remount, each in 5 ways, in {} containers", containers + 1);
}

}  // namespace
}  // namespace cloche::test
