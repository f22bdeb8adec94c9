// SCMP_ACT_NOTIFY: an agent of the host answers the container's calls.
#include <sys/syscall.h>

#include <algorithm>
#include <memory>

#include "support/bundle.h"
#include "support/needs.h"
#include "support/seccomp_agent.h"

namespace cloche::test {
namespace {

class SeccompListener : public RuntimeTest {
 protected:
  std::string path() { return scratch() + "/agent.sock"; }

  Bundle handing_over(spec::Strings calls, std::vector<std::string> args) {
    auto box = bundle(std::move(args));
    box.config.linux_->seccomp = spec::Seccomp{
        .defaultAction = "SCMP_ACT_ALLOW",
        .listenerPath = path(),
        .listenerMetadata = "some \"opaque\" words",
        .syscalls = {{.names = std::move(calls), .action = "SCMP_ACT_NOTIFY", .errnoRet = {}, .args = {}}}};
    box.config.annotations = {{"key", "value"}};
    return box;
  }
  // Waits: the agent takes the state in its own time.
  std::string state_number(SeccompAgent& agent, size_t number) {
    for (int tries = 0; tries < 1000 && agent.states().size() <= number; ++tries) ::usleep(10'000);
    const auto states = agent.states();
    return number < states.size() ? states[number] : "no state came";
  }
};

const spec::Strings kMakers{"mkdir", "mkdirat"};
const std::map<int, int> kNoMedium{{SYS_mkdir, ENOMEDIUM}, {SYS_mkdirat, ENOMEDIUM}};

TEST_F(SeccompListener, TheAgentAnswers) {
  CLOCHE_NEEDS(needs::root());
  SeccompAgent agent(path(), kNoMedium);
  spec::Strings calls = kMakers;
  calls.emplace_back("uname");
  const auto box = handing_over(
      calls, {"sh", "-c", "mkdir /dev/shm/x 2>&1; busybox uname; ls /proc/self/fd | busybox wc -l"});
  const Outcome outcome = run(box);
  EXPECT_EQ(outcome.out, "mkdir: can't create directory '/dev/shm/x': No medium found\nLinux\n4\n")
      << outcome.describe();
  EXPECT_GE(std::ranges::count(agent.asked(), SYS_uname), 1) << "it went on: the agent said so";
}

TEST_F(SeccompListener, TheStateIsThatOfTheSpecification) {
  CLOCHE_NEEDS(needs::root());
  SeccompAgent agent(path());
  const auto box = handing_over(kMakers, {"sleep", "1000"});
  ASSERT_TRUE(start_detached(box).ok());
  const std::string state = state_number(agent, 0);
  const std::string pid = member(runtime({"state", "box"}).out, ".pid");
  EXPECT_EQ(member(state, ".ociVersion"), "1.2.0");
  EXPECT_EQ(member(state, ".fds | join(\" \")"), "seccompFd");
  EXPECT_EQ(member(state, ".pid"), pid);
  EXPECT_EQ(member(state, ".metadata"), box.config.linux_->seccomp->listenerMetadata);
  EXPECT_EQ(member(state, ".state | .id, .status, .pid, .bundle, .annotations.key"),
            "box\ncreated\n" + pid + "\n" + box.path() + "\nvalue");
  EXPECT_EQ(agent.listeners(), 1);
  EXPECT_EQ(shell("ls -l /proc/" + pid + "/fd").out.find("seccomp"), std::string::npos);
  stop();
  EXPECT_TRUE(runtime({"delete", "box"}).ok());
}

// Whatever the runtime itself still calls between the filter and the command: that too is the agent's to answer, and it
// has the listener by then.
TEST_F(SeccompListener, TheRuntimesOwnCallsMayBeAmongThem) {
  CLOCHE_NEEDS(needs::root());
  for (const bool no_new_privileges : {true, false}) {
    SeccompAgent agent(path());
    auto box = handing_over(
        {"sendmsg",   "write",  "read",   "close", "close_range", "execve",          "execveat",
         "futex",     "mmap",   "munmap", "fcntl", "nanosleep",   "clock_nanosleep", "exit_group",
         "setresuid", "capset", "prctl",  "wait4", "clone",       "clone3"},
        {"sh", "-c", "busybox echo hello"});
    box.config.process->noNewPrivileges = no_new_privileges;
    const Outcome outcome = run(box);
    EXPECT_EQ(outcome.out, "hello\n") << outcome.describe();
    EXPECT_GE(agent.asked().size(), 5U);
  }
}

TEST_F(SeccompListener, WithEveryFlag) {
  CLOCHE_NEEDS(needs::root());
  CLOCHE_NEEDS(needs::kernel(5, 19));
  SeccompAgent agent(path(), kNoMedium);
  auto box = handing_over(kMakers, {"sh", "-c", "mkdir /dev/shm/x 2>&1"});
  box.config.linux_->seccomp->flags = {"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", "SECCOMP_FILTER_FLAG_TSYNC",
                                       "SECCOMP_FILTER_FLAG_LOG"};
  EXPECT_EQ(run(box).out, "mkdir: can't create directory '/dev/shm/x': No medium found\n");
}

TEST_F(SeccompListener, HooksInTheContainerAreUnderIt) {
  CLOCHE_NEEDS(needs::root());
  SeccompAgent agent(path(), kNoMedium);
  auto box = handing_over(kMakers, {"sh", "-c", "cat /dev/shm/said"});
  box.config.hooks.emplace().startContainer = {
      {.path = "/bin/sh",
       .args = {"sh", "-c", "mkdir /dev/shm/x 2>/dev/shm/said || true"},
       .env = {},
       .timeout = {}}};
  const Outcome outcome = run(box);
  EXPECT_EQ(outcome.out, "mkdir: can't create directory '/dev/shm/x': No medium found\n")
      << outcome.describe();
  EXPECT_EQ(agent.listeners(), 1);
}

TEST_F(SeccompListener, AUserNamespace) {
  CLOCHE_NEEDS(needs::root());
  SeccompAgent agent(path(), kNoMedium);
  auto box = handing_over(kMakers, {"sh", "-c", "mkdir /dev/shm/x 2>&1"});
  box.map_ids(700000, 65536);
  box.config.process->user.uid = 1000;
  const Outcome outcome = run(box);
  EXPECT_EQ(outcome.out, "mkdir: can't create directory '/dev/shm/x': No medium found\n")
      << outcome.describe();
}

TEST_F(SeccompListener, CreateThenStartAndExec) {
  CLOCHE_NEEDS(needs::root());
  SeccompAgent agent(path(), kNoMedium);
  const auto box = handing_over(kMakers, {"sleep", "1000"});
  const Outcome created = create(box);
  ASSERT_TRUE(created.ok()) << created.describe();
  EXPECT_EQ(agent.listeners(), 0) << "the filter is loaded by start";
  ASSERT_TRUE(runtime({"start", "box"}).ok());
  const std::string init = member(state_number(agent, 0), ".pid");
  EXPECT_EQ(init, member(runtime({"state", "box"}).out, ".pid"));

  const Outcome executed = runtime({"exec", "box", "sh", "-c", "mkdir /dev/shm/x 2>&1"});
  EXPECT_EQ(executed.out, "mkdir: can't create directory '/dev/shm/x': No medium found\n")
      << executed.describe();
  const std::string state = state_number(agent, 1);
  EXPECT_NE(member(state, ".pid"), init) << "that of the process, not of the container";
  EXPECT_EQ(member(state, ".state | .id, .status, .pid"), "box\nrunning\n" + init);
  EXPECT_EQ(agent.listeners(), 2);
  stop();
  EXPECT_TRUE(runtime({"delete", "box"}).ok());
}

TEST_F(SeccompListener, NobodyListens) {
  CLOCHE_NEEDS(needs::root());
  const auto box = handing_over(kMakers, {"true"});
  for (const Outcome& outcome : {run(box), create(box)}) {
    EXPECT_EQ(outcome.exit_code, 1);
    EXPECT_NE(outcome.err.find("seccomp-listener"), std::string::npos) << outcome.err;
    EXPECT_NE(outcome.err.find("\"" + path() + "\""), std::string::npos) << outcome.err;
    EXPECT_NE(outcome.err.find("ENOENT"), std::string::npos) << outcome.err;
    EXPECT_EQ(status(), "") << "nothing is left of it";
  }
}

// Everything that could report the failure is among the calls, and nobody is there to answer them.
TEST_F(SeccompListener, TheAgentEndsBeforeItIsSentAnything) {
  CLOCHE_NEEDS(needs::root());
  auto agent = std::make_unique<SeccompAgent>(path());
  auto box = handing_over({"sendmsg", "write", "close", "futex", "exit_group"}, {"true"});
  box.config.hooks.emplace().createRuntime = {
      {.path = "/bin/sh",
       .args = {"sh", "-c", "echo waits >&2; mkfifo " + scratch() + "/go; read word < " + scratch() + "/go"},
       .env = {"PATH=/usr/bin:/bin"},
       .timeout = {}}};
  box.write();
  Running running({.argv = command({"run", "--bundle", box.path(), "box"})});
  ASSERT_TRUE(shell("while ! [ -p " + scratch() + "/go ]; do sleep 0.01; done").ok());
  agent.reset();
  shell("echo on > " + scratch() + "/go");
  const Outcome outcome = running.finish();
  EXPECT_EQ(outcome.exit_code, 1) << outcome.describe();
  EXPECT_NE(outcome.err.find("linux.seccomp.listenerPath"), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find("sendmsg"), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find("EPIPE"), std::string::npos) << outcome.err;
  EXPECT_EQ(status(), "") << "nothing is left of it";
}

TEST_F(SeccompListener, AStartWithoutTheAgentCanBeRepeated) {
  CLOCHE_NEEDS(needs::root());
  auto agent = std::make_unique<SeccompAgent>(path());
  ASSERT_TRUE(create(handing_over(kMakers, {"sleep", "1000"})).ok());
  agent.reset();
  const Outcome outcome = runtime({"start", "box"});
  EXPECT_EQ(outcome.exit_code, 1) << outcome.describe();
  EXPECT_NE(outcome.err.find("linux.seccomp.listenerPath"), std::string::npos) << outcome.err;
  EXPECT_EQ(status(), "created");
  agent = std::make_unique<SeccompAgent>(path());
  EXPECT_TRUE(runtime({"start", "box"}).ok());
  EXPECT_EQ(status(), "running");
  stop();
  EXPECT_TRUE(runtime({"delete", "box"}).ok());
}

TEST_F(SeccompListener, WithoutCallsForTheAgentNobodyHasToListen) {
  CLOCHE_NEEDS(needs::root());
  auto box = handing_over(kMakers, {"echo", "on"});
  box.config.linux_->seccomp->syscalls[0].action = "SCMP_ACT_ERRNO";
  EXPECT_EQ(run(box).out, "on\n");
}

TEST_F(SeccompListener, TheFeaturesNameIt) {
  const std::string features = runtime({"features"}).out;
  EXPECT_EQ(member(features,
                   ".linux.seccomp | (.actions | index(\"SCMP_ACT_NOTIFY\")) != null, (.knownFlags | "
                   "index(\"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV\")) != null"),
            "true\ntrue");
}

}  // namespace
}  // namespace cloche::test
