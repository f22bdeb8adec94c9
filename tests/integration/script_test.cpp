// The script of a plan makes the container that Cloche makes: both are run, and compared from inside.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "support/command.h"
#include "support/host_state.h"
#include "support/needs.h"
#include "support/test_user.h"

namespace cloche::test {
namespace {

// What a container shows of itself, one "-- name" line before each part.
constexpr const char* kProbe =
    "echo '-- namespaces'; for n in mnt pid uts ipc net user cgroup time; do readlink /proc/self/ns/$n; done;"
    "echo '-- mountinfo'; cat /proc/self/mountinfo;"
    "echo '-- capabilities'; grep -E '^(Cap|NoNewPrivs)' /proc/self/status;"
    "echo '-- seccomp'; grep -E '^Seccomp:' /proc/self/status;"
    "echo '-- ids'; grep -E '^(Uid|Gid|Groups|Umask)' /proc/self/status; cat /proc/self/uid_map "
    "/proc/self/gid_map;"
    "echo '-- cgroup'; cat /proc/self/cgroup; grep -s . /sys/fs/cgroup/hugetlb.2MB.max || :;"
    "echo '-- hostname'; cat /proc/sys/kernel/hostname /proc/sys/net/ipv4/ip_forward;"
    "echo '-- clocks'; cat /proc/self/timens_offsets;"
    "echo '-- limits'; cat /proc/self/limits;"
    "echo '-- process'; pwd; cat /proc/self/oom_score_adj; tr '\\0' '\\n' </proc/1/environ | sort;"
    "echo '-- devices'; ls -1 /dev;"
    "echo '-- network'; cat /sys/class/net/lo/flags; ls /sys/class/net;"
    "echo '-- descriptors'; ls /proc/1/fd >/tmp/open; grep -x '[0-9]' /tmp/open";

using Parts = std::map<std::string, std::string>;

Parts parts_of(const std::string& output) {
  Parts parts;
  std::istringstream lines(output);
  std::string name;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("-- ")) {
      name = line.substr(3);
    } else {
      parts[name] += line + "\n";
    }
  }
  return parts;
}

// Numbers that the kernel counts up (mount ids, devices) go, the order and everything else stays. The layers'
// directories are named where they were mounted from, which is a matter of the maker's.
std::string normalised(const std::string& mountinfo) {
  std::istringstream lines(mountinfo);
  std::string out;
  const std::regex numbers("^[0-9]+ [0-9]+ [0-9]+:[0-9]+ "),
      layers("(lowerdir\\+?|upperdir|workdir)=[^, ]*,?");
  for (std::string line; std::getline(lines, line);) {
    out += std::regex_replace(std::regex_replace(line, numbers, ""), layers, "") + "\n";
  }
  return out;
}

std::set<std::string> own_namespaces(const std::string& inside) {
  std::set<std::string> own;
  std::istringstream lines(inside);
  for (std::string line; std::getline(lines, line);) {
    const std::string type = line.substr(0, line.find(':'));
    const Outcome host = run({.argv = {"readlink", "/proc/self/ns/" + type}});
    if (host.out != line + "\n") own.insert(type);
  }
  return own;
}

class Script : public LeaksNothing {
 protected:
  // Both containers, from the same flags; `as` runs a command as the caller to test.
  template <class As>
  void compare(std::vector<std::string> flags, const As& as) {
    flags.insert(flags.end(), {"host", "--", "sh", "-c", kProbe});
    std::vector<std::string> explain = {program("cloche"), "explain", "--script", "run"};
    std::vector<std::string> direct = {program("cloche"), "run"};
    explain.insert(explain.end(), flags.begin(), flags.end());
    direct.insert(direct.end(), flags.begin(), flags.end());

    const Outcome written = as(Command{.argv = explain});
    ASSERT_TRUE(written.ok()) << written.describe();
    const std::string path = scratch() + "/by-hand.sh";
    std::ofstream(path) << written.out;
    const Outcome by_hand = as(Command{.argv = {"sh", path}});
    ASSERT_TRUE(by_hand.ok()) << by_hand.describe();
    const Outcome cloche = as(Command{.argv = direct});
    ASSERT_TRUE(cloche.ok()) << cloche.describe();

    Parts left = parts_of(by_hand.out), right = parts_of(cloche.out);
    EXPECT_EQ(own_namespaces(left["namespaces"]), own_namespaces(right["namespaces"]));
    EXPECT_EQ(normalised(left["mountinfo"]), normalised(right["mountinfo"]));
    for (const char* part : {"capabilities", "ids", "cgroup", "hostname", "clocks", "limits", "process",
                             "devices", "network", "descriptors"}) {
      EXPECT_FALSE(right[part].empty()) << part;
      EXPECT_EQ(left[part], right[part]) << part;
    }
    // The one difference that is listed: a filter that a shell cannot load.
    EXPECT_THAT(written.out,
                testing::HasSubstr("seccomp: setpriv(1) loads a seccomp filter from util-linux 2.41 on"));
    EXPECT_EQ(left["seccomp"], "Seccomp:\t0\n");
    EXPECT_EQ(right["seccomp"], "Seccomp:\t2\n");
  }
};

TEST_F(Script, MakesTheSameContainerAsRoot) {
  CLOCHE_NEEDS(needs::root());
  CLOCHE_NEEDS(needs::built("cloche"));
  CLOCHE_NEEDS(needs::program("setpriv"));
  CLOCHE_NEEDS(needs::program("ip"));
  compare({"--hostname", "same"}, [](const Command& command) { return run(command); });
}

TEST_F(Script, SetsTheSameLimitsClocksAndSysctls) {
  CLOCHE_NEEDS(needs::root());
  CLOCHE_NEEDS(needs::built("cloche"));
  CLOCHE_NEEDS(needs::program("ip"));
  std::vector<std::string> flags = {"--hostname",    "same",
                                    "--time",        "new",
                                    "--time-offset", "monotonic=86400",
                                    "--time-offset", "boottime=-5",
                                    "--ulimit",      "nofile=512:1024",
                                    "--sysctl",      "net.ipv4.ip_forward=1",
                                    "--user",        "1000:1000"};
  if (!needs::cgroup2_controller("hugetlb")) {
    flags.insert(flags.end(), {"--cgroup-conf", "hugetlb.2MB.max=4194304"});
  }
  compare(flags, [](const Command& command) { return run(command); });
}

TEST_F(Script, MakesTheSameContainerForAnOrdinaryUser) {
  CLOCHE_NEEDS(needs::built("cloche"));
  CLOCHE_NEEDS(needs::test_user());
  CLOCHE_NEEDS(needs::user_namespaces());
  CLOCHE_NEEDS(needs::id_map_helpers());
  CLOCHE_NEEDS(needs::program("ip"));
  TestUser& user = TestUser::get();
  compare({"--hostname", "same"}, [&](const Command& command) { return user.run(command); });
}

}  // namespace
}  // namespace cloche::test
