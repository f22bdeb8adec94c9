// Capabilities, no_new_privs, seccomp, limits and sysctls of cloche run.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>

#include "support/box.h"
#include "support/host_state.h"
#include "support/needs.h"

namespace cloche::test {
namespace {

class RunRestrictions : public LeaksNothing {};

constexpr char kSets[] =
    "awk '/^Cap/ {printf \"%s \", substr($2, 9)}' /proc/self/status";  // Inh Prm Eff Bnd Amb

TEST_F(RunRestrictions, Capabilities) {
  CLOCHE_NEEDS(needs::root());
  const auto sets = [](const std::vector<std::string>& flags) { return run_box(flags, kSets).out; };
  // CHOWN 0, DAC_OVERRIDE 1, FOWNER 3, FSETID 4, KILL 5, SETGID 6, SETUID 7, NET_BIND_SERVICE 10
  EXPECT_EQ(sets({}), "00000000 000004fb 000004fb 000004fb 00000000 ");
  EXPECT_EQ(sets({"--user", "1"}), "00000000 00000000 00000000 000004fb 00000000 ");
  EXPECT_EQ(sets({"--cap-drop", "ALL"}), "00000000 00000000 00000000 00000000 00000000 ");
  EXPECT_EQ(sets({"--cap-drop", "ALL", "--cap-add", "NET_RAW"}),
            "00000000 00002000 00002000 00002000 00000000 ");
  EXPECT_EQ(sets({"--cap-drop", "CAP_CHOWN", "--cap-add", "net_admin"}),
            "00000000 000014fa 000014fa 000014fa 00000000 ");
  EXPECT_EQ(sets({"--cap-add", "ALL"}), "00000000 ffffffff ffffffff ffffffff 00000000 ");
  const Outcome typo = run_box({"--cap-add", "NET_AMDIN"}, "echo ran");
  EXPECT_EQ(typo.exit_code, 125);
  EXPECT_TRUE(typo.err.contains("--cap-add NET_AMDIN: there is no such capability")) << typo.err;
}

TEST_F(RunRestrictions, ADroppedCapabilityIsMissed) {
  CLOCHE_NEEDS(needs::root());
  EXPECT_TRUE(run_box({}, "touch /tmp/x && chown 1 /tmp/x").ok());
  EXPECT_FALSE(run_box({"--cap-drop", "CHOWN"}, "touch /tmp/x && chown 1 /tmp/x").ok());
}

TEST_F(RunRestrictions, NoNewPrivileges) {
  CLOCHE_NEEDS(needs::root());
  const std::string gain =
      "cp /usr/bin/id /tmp/id && chmod 4755 /tmp/id; awk '/^NoNewPrivs/ {print $2}' /proc/self/status";
  EXPECT_EQ(run_box({}, gain).out, "1\n");
  EXPECT_EQ(run_box({"--new-privileges"}, gain).out, "0\n");
  // A set-user-id program of the container's own root, in the root file system (its /tmp is nosuid).
  const std::string script =
      "cp /usr/bin/id /opt/id && chmod 4755 /opt/id && exec setpriv --reuid 1 --regid 1 --clear-groups "
      "/opt/id -u";
  EXPECT_EQ(run_box({}, script).out, "1\n");
  EXPECT_EQ(run_box({"--new-privileges"}, script).out, "0\n");
}

TEST_F(RunRestrictions, Seccomp) {
  CLOCHE_NEEDS(needs::root());
  const std::string mode = "awk '/^Seccomp:/ {print $2}' /proc/self/status";
  EXPECT_EQ(run_box({}, mode).out, "2\n");
  EXPECT_EQ(run_box({"--new-privileges", "--user", "1"}, mode).out, "2\n");
  EXPECT_EQ(run_box({"--seccomp", "unconfined"}, mode).out, "0\n");
  const Outcome blocked = run_box({}, "unshare -U true; mount -t tmpfs x /srv; echo end");
  EXPECT_EQ(blocked.out, "end\n");
  EXPECT_TRUE(blocked.err.contains("unshare failed: Operation not permitted")) << blocked.err;
  EXPECT_TRUE(blocked.err.contains("mount: /srv: permission denied")) << blocked.err;
  EXPECT_EQ(run_box({"--seccomp", "unconfined"}, "unshare -U echo shared").out, "shared\n");
  // The default profile lets through what a capability that was asked for is for.
  EXPECT_EQ(run_box({"--cap-add", "SYS_ADMIN"}, "mount -t tmpfs x /srv && echo mounted").out, "mounted\n");
}

TEST_F(RunRestrictions, AProfileOfOnesOwn) {
  CLOCHE_NEEDS(needs::root());
  const std::string path = scratch() + "/profile.json";
  std::ofstream(path) << R"({"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
      {"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":95}]})";
  const Outcome outcome = run_box({"--seccomp", path}, "mkdir /tmp/x; unshare -U echo shared");
  EXPECT_EQ(outcome.out, "shared\n");
  EXPECT_TRUE(outcome.err.contains("Operation not supported")) << outcome.describe();
  for (const char* bad : {"{", "[]", R"({"defaultAction":"SCMP_ACT_WHAT"})", R"({"syscalls":[]})", ""}) {
    std::ofstream(path) << bad;
    const Outcome refused = run_box({"--seccomp", path}, "echo ran");
    EXPECT_EQ(refused.exit_code, 125) << bad;
    EXPECT_EQ(refused.out, "") << bad;
    EXPECT_TRUE(refused.err.contains("seccomp")) << refused.err;
  }
  EXPECT_EQ(run_box({"--seccomp", "/no/such"}, "true").exit_code, 125);
}

TEST_F(RunRestrictions, LimitsOfTheProcess) {
  CLOCHE_NEEDS(needs::root());
  EXPECT_EQ(run_box({"--ulimit", "nofile=64:128", "--oom-score-adj", "500"},
                    "ulimit -Sn; ulimit -Hn; cat /proc/self/oom_score_adj")
                .out,
            "64\n128\n500\n");
  const Outcome bitten =
      run_box({"--ulimit", "fsize=4096"}, "dd if=/dev/zero of=/tmp/x bs=8192 count=1; stat -c %s /tmp/x");
  EXPECT_EQ(bitten.out, "4096\n") << bitten.describe();
  for (const char* limit : {"what=1", "nofile", "nofile=x", "nofile=2:1"})
    EXPECT_EQ(run_box({"--ulimit", limit}, "true").exit_code, 125) << limit;
}

TEST_F(RunRestrictions, Sysctls) {
  CLOCHE_NEEDS(needs::root());
  const std::string host = shell("cat /proc/sys/net/ipv4/ip_unprivileged_port_start").out;
  EXPECT_EQ(run_box({"--sysctl", "net.ipv4.ip_unprivileged_port_start=7"},
                    "cat /proc/sys/net/ipv4/ip_unprivileged_port_start")
                .out,
            "7\n");
  EXPECT_EQ(shell("cat /proc/sys/net/ipv4/ip_unprivileged_port_start").out, host);
  for (const char* machine :
       {"kernel.pid_max=100", "vm.swappiness=1", "net.ipv4../../vm.swappiness=1", "what"}) {
    const Outcome outcome = run_box({"--sysctl", machine}, "echo ran");
    EXPECT_EQ(outcome.exit_code, 125) << machine;
    EXPECT_EQ(outcome.out, "") << machine;
  }
  EXPECT_EQ(run_box({"--net", "host", "--sysctl", "net.ipv4.ip_forward=1"}, "true").exit_code, 125);
}

}  // namespace
}  // namespace cloche::test
