// Class 8: capabilities that a program's file turns into rights: CVE-2022-24769, CVE-2022-27649, CVE-2022-29162.
//
// Seen to fail: with the permitted set as inheritable one, and with nothing dropped from the bounding set. No runtime
// with the hole was at hand: Debian's runc 1.1.5 and 1.0.0~rc93 and crun 1.8.1 are repaired.
#include <filesystem>
#include <fstream>

#include "security/security.h"
#include "spec/write.h"
#include "support/box.h"
#include "support/test_user.h"

namespace cloche::test {
namespace {
namespace fs = std::filesystem;

class InheritableCapabilities : public SecurityTest {
 protected:
  // "CapInh" of a /proc/PID/status: hexadecimal, without leading zeros.
  static std::string set_of(const std::string& status, const std::string& name) {
    const size_t at = status.find(name + ":\t");
    if (at == std::string::npos) return "none in: " + status;
    const size_t first = at + name.size() + 2;
    const std::string digits = status.substr(first, status.find('\n', first) - first);
    const size_t significant = digits.find_first_not_of('0');
    return significant == std::string::npos ? "0" : digits.substr(significant);
  }
  int looked_ = 0;
  void expect_none(const std::string& label, const Outcome& outcome) {
    ASSERT_TRUE(outcome.ok()) << label << outcome.describe();
    EXPECT_EQ(set_of(outcome.out, "CapInh"), "0") << label;
    EXPECT_EQ(set_of(outcome.out, "CapAmb"), "0") << label;
    ++looked_;
  }
  // A caller who has some to hand down.
  static std::vector<std::string> with_inheritable(std::vector<std::string> argv) {
    argv.insert(argv.begin(), {"setpriv", "--inh-caps", "+net_raw,+sys_admin,+net_admin", "--ambient-caps",
                               "+net_raw,+sys_admin,+net_admin"});
    return argv;
  }
};

const std::vector<std::string> kStatus{"cat", "/proc/self/status"};

TEST_F(InheritableCapabilities, OfTheRuntime) {
  CLOCHE_NEEDS(needs::program("setpriv"));
  auto box = image(kStatus);
  auto running = image({"sleep", "1000"}, "running");
  give(running, {"CAP_NET_RAW", "CAP_SYS_ADMIN"});
  ASSERT_TRUE(start_detached(running, "running").ok());
  for (const bool caller : {false, true})
    for (const uint32_t uid : {0U, 1000U})
      for (const bool more : {false, true})
        for (const bool no_new_privileges : {false, true}) {
          auto one = box;
          one.config.process->user.uid = uid;
          one.config.process->noNewPrivileges = no_new_privileges;
          if (more) give(one, {"CAP_NET_RAW", "CAP_SYS_ADMIN"});
          one.write();
          const auto label = fmt::format("caller's {} uid {} more {} ", caller, uid, more);
          const auto both = [&](const std::string& what, std::vector<std::string> words) {
            for (const std::string& word : kStatus)
              if (words[0] == "exec" && words[1] != "--process") words.push_back(word);
            auto argv = command(std::move(words));
            expect_none(label + what, test::run({.argv = caller ? with_inheritable(argv) : argv}));
          };
          both("run ", {"run", "--bundle", box.path(), "box"});
          const std::string user = std::to_string(uid);
          if (more)
            both("exec --cap ",
                 {"exec", "--user", user, "--cap", "CAP_NET_RAW", "--cap", "CAP_SYS_ADMIN", "running"});
          else
            both("exec ", {"exec", "--user", user, "running"});
          std::ofstream(scratch() + "/process.json") << spec::to_json(*one.config.process);
          both("exec --process ", {"exec", "--process", scratch() + "/process.json", "running"});
        }
  stop("running");
  tried(
      "CapInh and CapAmb of {} processes of run and exec: default and more rights, root and not, from a "
      "caller that "
      "hands some down",
      looked_);
}

// A config that says nothing of capabilities asks for none.
TEST_F(InheritableCapabilities, NoneWhereNoneAreNamed) {
  auto box = image(kStatus);
  box.config.process->capabilities.reset();
  const Outcome outcome = run(box);
  ASSERT_TRUE(outcome.ok()) << outcome.describe();
  for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"})
    EXPECT_EQ(set_of(outcome.out, set), "0") << set;
  tried("the five sets of a config without capabilities");
}

TEST_F(InheritableCapabilities, OfClocheRun) {
  CLOCHE_NEEDS(needs::program("setpriv"));
  if (peer()) GTEST_SKIP() << "needs Cloche's engine";
  for (const std::vector<std::string>& flags :
       {std::vector<std::string>{},
        {"--user", "1000"},
        {"--cap-add", "NET_RAW"},
        {"--cap-add", "ALL"},
        {"--user", "1000", "--cap-add", "ALL"},
        {"--user", "1000", "--cap-add", "SYS_ADMIN", "--new-privileges"},
        {"--cap-drop", "ALL"},
        {"--userns", "own"}}) {
    const bool own = !flags.empty() && flags[0] == "--userns";
    if (own && needs::test_user()) continue;
    const Command command = box(flags, "cat /proc/self/status");
    std::string label;
    for (const std::string& flag : flags) label += flag + " ";
    if (own) {
      expect_none(label, TestUser::get().run(command));
      continue;
    }
    expect_none(label, test::run(command));
    expect_none(label, test::run({.argv = with_inheritable(command.argv)}));
  }
  tried("CapInh and CapAmb of {} processes of cloche run", looked_);
}

// A program with capabilities in its file gains, for who is not root, what the bounding set has and no more.
TEST_F(InheritableCapabilities, AProgramsFileGivesNoMoreThanTheBoundingSet) {
  CLOCHE_NEEDS(needs::program("setcap"));
  auto box = image(kStatus);
  const std::string net_bind = "400";
  struct Probe {
    std::string name, capabilities;
    std::string gained, with_net_raw;  // CapPrm of uid 1000; "": not executed
  };
  const Probe probes[] = {{"inheritable", "cap_net_raw,cap_sys_admin,cap_net_bind_service+ei", "0", "0"},
                          {"permitted", "cap_net_raw,cap_net_bind_service+p", net_bind, "2400"},
                          {"outside", "cap_sys_admin+p", "0", "0"},
                          {"effective", "cap_sys_admin+ep", "", ""},
                          {"all", "cap_net_raw,cap_net_bind_service+eip", "", "2400"}};
  box.config.process->user.uid = 1000;
  int runs = 0;
  for (const Probe& probe : probes) {
    const std::string path = box.rootfs() + "/" + probe.name + "/busybox";
    fs::create_directory(box.rootfs() + "/" + probe.name);
    fs::copy_file(fs::canonical(box.rootfs() + "/bin/busybox"), path);
    ASSERT_TRUE(shell("setcap " + probe.capabilities + " " + path).ok());
  }
  auto running = image({"sleep", "1000"}, "running");
  running.config.root->path = box.rootfs();
  running.config.process->noNewPrivileges = false;
  ASSERT_TRUE(start_detached(running, "running").ok());
  for (const bool more : {false, true})
    for (const bool no_new_privileges : {false, true}) {
      auto one = box;
      one.config.process->noNewPrivileges = no_new_privileges;
      if (more) give(one, {"CAP_NET_RAW"});
      for (const Probe& probe : probes) {
        one.config.process->args = {"/" + probe.name + "/busybox", "cat", "/proc/self/status"};
        // Beside what the file gives the config's permitted set is not kept by an exec of who is not root.
        const std::string wanted = more ? probe.with_net_raw : probe.gained;
        const auto judge = [&](const std::string& label, const Outcome& outcome) {
          const std::string got = outcome.ok() ? set_of(outcome.out, "CapPrm") : "";
          // With no_new_privs no more than what the config permits: here the same.
          EXPECT_EQ(got, wanted) << label << probe.name << " more " << more << " no_new_privs "
                                 << no_new_privileges << ": " << got << " instead of " << wanted << "\n"
                                 << outcome.err;
          ++runs;
        };
        judge("run ", run(one));
        std::vector<std::string> words{"exec", "--user", "1000"};
        if (more) words.insert(words.end(), {"--cap", "CAP_NET_RAW"});
        if (no_new_privileges) words.emplace_back("--no-new-privs");
        words.emplace_back("running");
        words.insert(words.end(), one.config.process->args.begin(), one.config.process->args.end());
        judge("exec ", runtime(words));
      }
    }
  stop("running");
  tried("{} runs and execs of 5 programs with capabilities in their files, by who is not root", runs);
}

}  // namespace
}  // namespace cloche::test
