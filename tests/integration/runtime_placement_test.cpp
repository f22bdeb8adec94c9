// Where a container's processes run and where their memory comes from, seen from inside.
#include <fstream>

#include "support/bundle.h"
#include "support/needs.h"

namespace cloche::test {
namespace {

class RuntimePlacement : public RuntimeTest {
 protected:
  static constexpr const char* kPolicies =
      "busybox awk '{ print $2 }' /proc/self/numa_maps | busybox sort -u";
  static constexpr const char* kProcessors =
      "busybox awk '/^Cpus_allowed_list/ { print $2 }' /proc/self/status";

  Outcome exec(const std::string& script) { return runtime({"exec", "box", "sh", "-c", script}); }
};

TEST_F(RuntimePlacement, MemoryComesByThePolicyInEveryProcess) {
  CLOCHE_NEEDS(needs::root());
  CLOCHE_NEEDS(needs::numa());
  auto box = bundle({"sh", "-c", kPolicies});
  EXPECT_EQ(run(box).out, "default\n");
  box.config.linux_->memoryPolicy = {.mode = "MPOL_BIND", .nodes = "0", .flags = {"MPOL_F_STATIC_NODES"}};
  const Outcome outcome = run(box);
  EXPECT_TRUE(outcome.ok()) << outcome.describe();
  EXPECT_EQ(outcome.out, "bind=static:0\n");
  box.config.process->args = {"sleep", "1000"};
  ASSERT_TRUE(start_detached(box).ok());
  EXPECT_EQ(exec(kPolicies).out, "bind=static:0\n");
  stop();
}

TEST_F(RuntimePlacement, ANodeThatIsNotThereIsAnErrorThatNamesIt) {
  CLOCHE_NEEDS(needs::root());
  CLOCHE_NEEDS(needs::numa());
  auto box = bundle({"true"});
  box.config.linux_->memoryPolicy = {.mode = "MPOL_BIND", .nodes = "999", .flags = {}};
  const Outcome outcome = run(box);
  EXPECT_EQ(outcome.exit_code, 1);
  for (const char* word : {"memory-policy", "set_mempolicy(MPOL_BIND, 999)", "EINVAL", "none of these nodes"})
    EXPECT_NE(outcome.err.find(word), std::string::npos) << word << ": " << outcome.err;
}

TEST_F(RuntimePlacement, AnExecRunsOnItsProcessors) {
  CLOCHE_NEEDS(needs::root());
  const std::string all = shell(kProcessors).out;
  CLOCHE_NEEDS(all == "0\n" ? needs::Missing("two processors") : needs::Missing());
  auto box = bundle({"sh", "-c", std::string(kProcessors) + "; exec sleep 1000"});
  box.config.process->execCPUAffinity = {.initial = "0", .final_ = "1"};
  ASSERT_TRUE(start_detached(box).ok());
  EXPECT_EQ(exec(kProcessors).out, "1\n") << "the config's";
  EXPECT_TRUE(says("\n"));
  EXPECT_EQ(output(), all) << "it is not for the first process";
  const auto with = [&](const std::string& affinity) {
    std::ofstream(scratch() + "/process.json")
        << R"({"args": ["sh", "-c", "busybox grep ^Cpus_allowed_list: /proc/self/status"], "cwd": "/", )"
        << R"("env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}, "execCPUAffinity": )" << affinity << "}";
    return runtime({"exec", "--process", scratch() + "/process.json", "box"});
  };
  EXPECT_EQ(with(R"({"initial": "1", "final": "0"})").out, "Cpus_allowed_list:\t0\n");
  // Before Linux 6.2 a cgroup with a cpuset may give whoever comes into it all its processors: the kernel's to decide.
  const std::string decided = with(R"({"initial": "1"})").out;
  const bool may_widen = needs::kernel(6, 2) && !needs::cgroup2_controller("cpuset");
  if (!may_widen || decided != "Cpus_allowed_list:\t" + all) {
    EXPECT_EQ(decided, "Cpus_allowed_list:\t1\n");
  }
  const Outcome missing = with(R"({"final": "4000"})");
  EXPECT_EQ(missing.exit_code, 255);
  for (const char* word : {"affinity-final", "sched_setaffinity(0, 4000)", "none of these processors"})
    EXPECT_NE(missing.err.find(word), std::string::npos) << word << ": " << missing.err;
  EXPECT_NE(with(R"({"final": "x"})").err.find("process.execCPUAffinity.final: \"x\""), std::string::npos);
  stop();
}

TEST_F(RuntimePlacement, APersonalityIsEveryProcesss) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"sh", "-c", "busybox uname -m; exec sleep 1000"});
  box.config.linux_->personality = {.domain = "LINUX32", .flags = {}};
  ASSERT_TRUE(start_detached(box).ok());
  EXPECT_EQ(exec("busybox uname -m").out, "i686\n");
  EXPECT_TRUE(says("i686\n"));
  stop();
}

// A misspelt name would else be a call that is silently not filtered.
TEST_F(RuntimePlacement, UnknownSystemCallsAreToldToWhoAsks) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"true"});
  box.config.linux_->seccomp =
      spec::Seccomp{.defaultAction = "SCMP_ACT_ALLOW",
                    .syscalls = {{.names = {"mkdri", "uname"}, .action = "SCMP_ACT_ERRNO"}}};
  EXPECT_EQ(run(box).err, "");
  const Outcome told = runtime({"--debug", "run", "--bundle", box.path(), "told"});
  EXPECT_NE(
      told.err.find("info: linux.seccomp.syscalls: left out, since libseccomp knows no such calls: mkdri\n"),
      std::string::npos)
      << told.err;
}

TEST_F(RuntimePlacement, IntelRdtNeedsItsFileSystem) {
  CLOCHE_NEEDS(needs::root());
  CLOCHE_NEEDS(shell("grep -q ' - resctrl ' /proc/self/mountinfo").ok()
                   ? needs::Missing("no resctrl file system")
                   : needs::Missing());
  auto box = bundle({"true"});
  box.config.linux_->intelRdt = spec::IntelRdt{.schemata = {"L3:0=f"}};
  const Outcome outcome = run(box);
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_NE(outcome.err.find("linux.intelRdt: no resctrl file system is mounted"), std::string::npos)
      << outcome.err;
}

}  // namespace
}  // namespace cloche::test
