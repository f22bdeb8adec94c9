// Namespaces, id maps and cgroups of cloche run.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <sstream>

#include "support/box.h"
#include "support/host_state.h"
#include "support/needs.h"
#include "support/test_user.h"

namespace cloche::test {
namespace {

struct Kind {
  const char *name, *flag;
};
constexpr Kind kKinds[] = {{"mnt", ""},      {"user", ""},     {"pid", "--pid"},         {"uts", "--uts"},
                           {"ipc", "--ipc"}, {"net", "--net"}, {"cgroup", "--cgroupns"}, {"time", "--time"}};
constexpr char kShow[] = "for n in mnt user pid uts ipc net cgroup time; do readlink /proc/self/ns/$n; done";

class RunNamespaces : public LeaksNothing {
 protected:
  static std::vector<std::string> lines(const std::string& text) {
    std::vector<std::string> all;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) all.push_back(line);
    return all;
  }
};

TEST_F(RunNamespaces, AllEightAreNew) {
  CLOCHE_NEEDS(needs::root());
  const auto host = lines(shell(kShow).out);
  const Outcome outcome = run_box({}, kShow);
  const auto inside = lines(outcome.out);
  ASSERT_EQ(inside.size(), std::size(kKinds)) << outcome.describe();
  for (size_t i = 0; i < inside.size(); ++i) EXPECT_NE(inside[i], host[i]) << kKinds[i].name;
}

TEST_F(RunNamespaces, EachCanBeTheHosts) {
  CLOCHE_NEEDS(needs::root());
  const auto host = lines(shell(kShow).out);
  for (const Kind& shared : kKinds) {
    if (*shared.flag == 0) continue;
    const Outcome outcome = run_box({shared.flag, "host"}, kShow);
    const auto inside = lines(outcome.out);
    ASSERT_EQ(inside.size(), std::size(kKinds)) << shared.flag << outcome.describe();
    for (size_t i = 0; i < inside.size(); ++i)
      EXPECT_EQ(inside[i] == host[i], kKinds[i].name == shared.name) << shared.flag << " and " << inside[i];
  }
}

TEST_F(RunNamespaces, EachCanBeJoined) {
  CLOCHE_NEEDS(needs::root());
  Running holder(
      Command{.argv = {"unshare", "--pid", "--fork", "--uts", "--ipc", "--net", "--cgroup", "--time", "sh",
                       "-c", "read pid rest < /proc/self/stat; echo $pid; echo ready; read x"}});
  ASSERT_TRUE(holder.wait_for_output("ready"));
  const std::string pid = lines(holder.so_far().out).at(0);
  const auto theirs = lines(
      shell("for n in mnt user pid uts ipc net cgroup time; do readlink /proc/" + pid + "/ns/$n; done").out);
  ASSERT_EQ(theirs.size(), std::size(kKinds));
  for (size_t k = 0; k < std::size(kKinds); ++k) {
    if (*kKinds[k].flag == 0) continue;
    const Outcome outcome =
        run_box({kKinds[k].flag, fmt::format("path:/proc/{}/ns/{}", pid, kKinds[k].name)}, kShow);
    const auto inside = lines(outcome.out);
    ASSERT_EQ(inside.size(), std::size(kKinds)) << kKinds[k].flag << outcome.describe();
    EXPECT_EQ(inside[k], theirs[k]) << kKinds[k].flag;
  }
  holder.close_input();
  (void)holder.finish();
}

TEST_F(RunNamespaces, TheUserNamespaceIsAlwaysNew) {
  for (const char* wish : {"host", "path:/proc/self/ns/user"}) {
    const Outcome outcome = run_box({"--userns", wish}, "echo ran");
    EXPECT_EQ(outcome.exit_code, 125);
    EXPECT_EQ(outcome.out, "");
    EXPECT_TRUE(outcome.err.contains("user namespace")) << outcome.err;
    EXPECT_EQ(lines(outcome.err).size(), 1U) << outcome.err;
  }
}

TEST_F(RunNamespaces, LoopbackIsUpAndAlone) {
  CLOCHE_NEEDS(needs::root());
  const Outcome outcome =
      run_box({}, "cat /proc/net/dev | tail -n +3 | cut -d: -f1 | tr -d ' '; cat /sys/class/net/lo/flags");
  EXPECT_EQ(outcome.out, "lo\n0x9\n") << outcome.describe();  // IFF_UP | IFF_LOOPBACK
}

TEST_F(RunNamespaces, ClocksAreMoved) {
  CLOCHE_NEEDS(needs::root());
  const std::string uptime = "cut -d. -f1 /proc/uptime";
  const long host = std::stol(shell(uptime).out);
  const Outcome moved =
      run_box({"--time-offset", "boottime=1000000", "--time-offset", "monotonic=5"}, uptime);
  ASSERT_TRUE(moved.ok()) << moved.describe();
  const long later = std::stol(shell(uptime).out);
  EXPECT_GE(std::stol(moved.out), host + 1000000);
  EXPECT_LE(std::stol(moved.out), later + 1000000);
  EXPECT_EQ(run_box({"--time-offset", "realtime=5"}, "true").exit_code, 125);
  EXPECT_EQ(run_box({"--time", "host", "--time-offset", "boottime=5"}, "true").exit_code, 125);
}

TEST_F(RunNamespaces, HostName) {
  CLOCHE_NEEDS(needs::root());
  EXPECT_EQ(run_box({"--hostname", "bell"}, "hostname; echo $HOSTNAME").out, "bell\nbell\n");
  EXPECT_EQ(run_box({"--name", "cloche-named"}, "hostname").out, "cloche-named\n");
  EXPECT_EQ(run_box({"--uts", "host"}, "hostname; echo ${HOSTNAME-unset}").out,
            shell("hostname").out + "unset\n");
  const Outcome both = run_box({"--uts", "host", "--hostname", "bell"}, "true");
  EXPECT_EQ(both.exit_code, 125);
  EXPECT_TRUE(both.err.contains("would rename the host")) << both.err;
}

TEST_F(RunNamespaces, ProcessOneSeesOnlyItsOwn) {
  CLOCHE_NEEDS(needs::root());
  EXPECT_EQ(run_box({}, "echo $$; ls -d /proc/[0-9]* | head -1").out, "1\n/proc/1\n");
}

class RunIds : public LeaksNothing {};

TEST_F(RunIds, MapsAreAsGiven) {
  CLOCHE_NEEDS(needs::root());
  // The range that root's containers get here.
  const long first = std::stol(run_box({}, "awk '{print $2}' /proc/self/uid_map").out);
  const auto range = [&](int inside, long outside, int size) {
    return fmt::format("{}:{}:{}", inside, first + outside, size);
  };
  const Outcome outcome =
      run_box({"--uidmap", range(0, 20, 10), "--uidmap", range(10, 0, 10), "--gidmap", range(0, 7, 20)},
              "awk '{print $1, $2, $3}' /proc/self/uid_map /proc/self/gid_map");
  EXPECT_EQ(outcome.out, fmt::format("0 {} 10\n10 {} 10\n0 {} 20\n", first + 20, first, first + 7))
      << outcome.describe();
}

// Whose ids the container has, his files it could read.
TEST_F(RunIds, TheHostsOwnIdsAreRefused) {
  CLOCHE_NEEDS(needs::root());
  for (const char* flag : {"--uidmap", "--gidmap"})
    for (const char* map : {"0:0:1", "0:0:65536", "0:42:1", "0:1000:1"}) {
      const Outcome outcome = run_box({flag, map}, "head -c 4 /etc/shadow");
      EXPECT_EQ(outcome.exit_code, 125) << flag << ' ' << map;
      EXPECT_EQ(outcome.out, "");
      EXPECT_TRUE(outcome.err.contains("subordinate")) << outcome.err;
    }
}

TEST_F(RunIds, MoreThan340LinesAreRefused) {
  CLOCHE_NEEDS(needs::root());
  std::vector<std::string> flags;
  for (int i = 0; i < 341; ++i)
    flags.insert(flags.end(), {"--uidmap", fmt::format("{}:{}:1", i, 1000 + 2 * i)});
  const Outcome outcome = run_box(flags, "true");
  EXPECT_EQ(outcome.exit_code, 125);
  EXPECT_TRUE(outcome.err.contains("at most 340 lines")) << outcome.err;
  flags.clear();
  for (int i = 0; i < 340; ++i)
    flags.insert(flags.end(), {"--uidmap", fmt::format("{}:{}:1", i, 700000 + 2 * i)});
  const Outcome wide = run_box(flags, "true");
  EXPECT_EQ(wide.exit_code, 125);
  EXPECT_TRUE(wide.err.contains("less than 4096 bytes")) << wide.err;
}

TEST_F(RunIds, UsersByNumberAndName) {
  CLOCHE_NEEDS(needs::root());
  EXPECT_EQ(run_box({"--user", "daemon"}, "id -u; id -g").out, "1\n1\n");
  EXPECT_EQ(run_box({"--user", "33:4", "--group-add", "27"}, "id -u; id -g; id -G").out, "33\n4\n4 27\n");
  EXPECT_EQ(run_box({"--user", "4242"}, "id -u; id -g").out, "4242\n0\n");
  for (const char* user : {"no-such-user", "70000", "0x0", "", ":5", "-1", "4294967295"}) {
    const Outcome outcome = run_box({std::string("--user=") + user}, "echo ran");
    if (*user == 0) continue;  // an empty flag is one that is not given
    EXPECT_EQ(outcome.exit_code, 125) << user;
    EXPECT_EQ(outcome.out, "") << user;
  }
}

class RunCgroups : public LeaksNothing {};

TEST_F(RunCgroups, HasItsOwnWithoutAnyLimit) {
  CLOCHE_NEEDS(needs::root());
  CLOCHE_NEEDS(needs::cgroup2());
  Running running(box({"--name", "cgroup-test", "-i"},
                      "grep ^0: /proc/self/cgroup; cat /sys/fs/cgroup/cgroup.procs; read x"));
  ASSERT_TRUE(running.wait_for_output("\n1\n")) << running.so_far().describe();
  EXPECT_TRUE(running.so_far().out.starts_with("0::/\n"));
  const std::string top = shell("awk '$3 == \"cgroup2\" {printf \"%s\", $2; exit}' /proc/mounts").out;
  const Outcome seen = shell("wc -l < " + top + "/cloche-cgroup-test/cgroup.procs");
  EXPECT_EQ(seen.out, "1\n") << seen.describe();
  running.close_input();
  running.finish();
}

// Where a controller is on cgroup v2 its limit bites (tests of machines that have it); where it is on v1, nothing
// runs, and the sentence says where it is.
TEST_F(RunCgroups, AMissingControllerIsRefused) {
  CLOCHE_NEEDS(needs::root());
  for (const auto& [controller, flags] :
       std::map<std::string, std::vector<std::string>>{{"memory", {"--memory", "64M"}},
                                                       {"cpu", {"--cpus", "1"}},
                                                       {"pids", {"--pids-limit", "5"}},
                                                       {"cpuset", {"--cpuset-cpus", "0"}}}) {
    const std::string v1 = shell("awk '$3 == \"cgroup\" && $4 ~ /(^|,)" + controller +
                                 "(,|$)/ {printf \"%s\", $2; exit}' /proc/mounts")
                               .out;
    const Outcome outcome = run_box(flags, "echo ran");
    if (v1.empty()) {
      EXPECT_EQ(outcome.out, "ran\n") << outcome.describe();
      continue;
    }
    EXPECT_EQ(outcome.exit_code, 125);
    EXPECT_EQ(outcome.out, "");
    EXPECT_TRUE(outcome.err.contains(controller + " controller")) << outcome.err;
    EXPECT_TRUE(outcome.err.contains(v1)) << outcome.err;
    EXPECT_TRUE(outcome.err.contains("cgroup_no_v1=" + controller)) << outcome.err;
  }
}

TEST_F(RunCgroups, InAPureTree) {
  CLOCHE_NEEDS(needs::root());
  CLOCHE_NEEDS(needs::cgroup2_controller("hugetlb"));
  Command command = box({"--cgroup-conf", "hugetlb.2MB.max=2097152"},
                        "grep ^0: /proc/self/cgroup; cat /sys/fs/cgroup/hugetlb.2MB.max; echo 1 > "
                        "/sys/fs/cgroup/cgroup.freeze");
  command.pure_cgroup2 = true;
  const Outcome outcome = run(command);
  EXPECT_EQ(outcome.out, "0::/\n2097152\n") << outcome.describe();
  EXPECT_TRUE(outcome.err.contains("Read-only file system")) << outcome.describe();
}

// A cgroup that belongs to an ordinary user, as `systemd-run --user --scope -p Delegate=yes` gives one.
class DelegatedCgroup : public LeaksNothing {
 protected:
  void SetUp() override {
    LeaksNothing::SetUp();
    CLOCHE_NEEDS(needs::root());
    CLOCHE_NEEDS(needs::test_user());
    CLOCHE_NEEDS(needs::user_namespaces());
    CLOCHE_NEEDS(needs::cgroup2_controller("hugetlb"));
    top_ = shell("awk '$3 == \"cgroup2\" {printf \"%s\", $2; exit}' /proc/mounts").out;
    path_ = top_ + "/cloche-delegated";
    handed_down_ = shell("cat " + top_ + "/cgroup.subtree_control").out.contains("hugetlb");
    const std::string owner = TestUser::get().name();
    ASSERT_TRUE(shell("echo +hugetlb >" + top_ + "/cgroup.subtree_control && mkdir " + path_ + " && cd " +
                      path_ + " && chown " + owner + " . cgroup.procs cgroup.threads cgroup.subtree_control")
                    .ok());
  }
  void TearDown() override {
    if (!path_.empty()) {
      EXPECT_TRUE(shell("rmdir " + path_).ok()) << "something is left in it";
      if (!handed_down_) {
        EXPECT_TRUE(shell("echo -hugetlb >" + top_ + "/cgroup.subtree_control").ok());
      }
    }
    LeaksNothing::TearDown();
  }
  // As the user, in the cgroup: alone, or beside the shell that starts it.
  [[nodiscard]] Outcome run_in_it(const std::string& run, bool alone) const {
    const TestUser& user = TestUser::get();
    std::string line = "echo $$ >" + path_ + "/cgroup.procs; ";
    if (alone) line += "exec ";
    line += "setpriv --reuid=" + user.name() + " --regid=" + user.name() +
            " --clear-groups env XDG_RUNTIME_DIR=" + user.runtime_directory() + " " + program("cloche") +
            " run " + run;
    return shell(line + "; exit $?");
  }
  static constexpr char kLimited[] =
      "--cgroup-conf hugetlb.2MB.max=4194304 host -- cat /sys/fs/cgroup/hugetlb.2MB.max";
  std::string top_, path_;
  bool handed_down_ = false;
};

TEST_F(DelegatedCgroup, GivesItsUserLimits) {
  const Outcome outcome = run_in_it(kLimited, true);
  EXPECT_EQ(outcome.out, "4194304\n") << outcome.describe();
}

TEST_F(DelegatedCgroup, WithOtherProcessesGivesNoneAndSaysSo) {
  const Outcome limited = run_in_it(kLimited, false);
  EXPECT_EQ(limited.exit_code, 125) << limited.describe();
  EXPECT_TRUE(limited.err.contains(path_ + " holds 1 other process")) << limited.describe();
  // Nothing was asked for that the cgroup cannot give.
  const Outcome plain = run_in_it("host -- cat /proc/self/cgroup", false);
  EXPECT_TRUE(plain.out.ends_with("0::/\n")) << plain.describe();
}

}  // namespace
}  // namespace cloche::test
