// `cloche-runtime exec`: one more process in a container, with the container's restrictions.
#include <sys/wait.h>

#include <fstream>

#include "spec/write.h"
#include "support/bundle.h"
#include "support/needs.h"

namespace cloche::test {
namespace {

class RuntimeExec : public RuntimeTest {
 protected:
  Outcome exec(std::vector<std::string> words) {
    words.insert(words.begin(), "exec");
    return runtime(std::move(words));
  }
};

TEST_F(RuntimeExec, JoinsEveryNamespaceAndKeepsTheRestrictions) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"sleep", "1000"});
  ASSERT_TRUE(start_detached(box).ok());
  const std::string init = member(runtime({"state", "box"}).out, ".pid");
  for (const char* ns : {"mnt", "pid", "net", "ipc", "uts", "cgroup", "user"}) {
    const Outcome inside = exec({"box", "busybox", "readlink", std::string("/proc/self/ns/") + ns});
    EXPECT_EQ(inside.out, shell("readlink /proc/" + init + "/ns/" + ns).out) << ns << inside.describe();
  }
  const auto lines = [](const std::string& pid) {
    return "busybox grep -E '^(Cap|NoNewPrivs|Seccomp:|Groups)' /proc/" + pid + "/status";
  };
  EXPECT_EQ(exec({"box", "sh", "-c", lines("self")}).out, exec({"box", "sh", "-c", lines("1")}).out);
  EXPECT_EQ(exec({"box", "hostname"}).out, "cloche\n");
  EXPECT_EQ(exec({"box", "cat", "/proc/self/cgroup"}).out, exec({"box", "cat", "/proc/1/cgroup"}).out);
  EXPECT_TRUE(runtime({"delete", "-f", "box"}).ok());
}

TEST_F(RuntimeExec, InAUserNamespace) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"sleep", "1000"});
  box.map_ids(700000, 65536);
  const Outcome started = start_detached(box);
  ASSERT_TRUE(started.ok()) << started.describe();
  const Outcome outcome =
      exec({"--user", "1000:1001", "box", "sh", "-c", "id -u; id -g; cat /proc/self/uid_map"});
  EXPECT_TRUE(outcome.ok()) << outcome.describe();
  EXPECT_NE(outcome.out.find("1000\n1001\n"), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.out.find("700000"), std::string::npos) << outcome.out;
  EXPECT_TRUE(runtime({"delete", "-f", "box"}).ok());
}

// Its clocks are another container's: root of this container's user namespace has no right to them, and who joins does.
TEST_F(RuntimeExec, InATimeNamespaceThatIsNotOfItsUserNamespace) {
  CLOCHE_NEEDS(needs::root());
  auto first = bundle({"sleep", "1000"}, "first");
  first.config.linux_->namespaces.push_back({.type = "time", .path = {}});
  first.config.linux_->timeOffsets["monotonic"] = {.secs = 1000, .nanosecs = 0};
  ASSERT_TRUE(start_detached(first, "first").ok());
  const std::string time = "/proc/" + member(runtime({"state", "first"}).out, ".pid") + "/ns/time";
  auto box = bundle({"sleep", "1000"});
  box.map_ids(700000, 65536);
  box.config.linux_->namespaces.push_back({.type = "time", .path = time});
  const Outcome started = start_detached(box);
  ASSERT_TRUE(started.ok()) << started.describe();
  for (const char* id : {"first", "box"}) {
    const Outcome inside = exec({id, "busybox", "readlink", "/proc/self/ns/time"});
    EXPECT_EQ(inside.out, shell("readlink " + time).out) << inside.describe();
  }
  for (const char* id : {"box", "first"}) EXPECT_TRUE(runtime({"delete", "-f", id}).ok());
}

TEST_F(RuntimeExec, ExitCodesAndFlags) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"sleep", "1000"});
  ASSERT_TRUE(start_detached(box).ok());
  EXPECT_EQ(exec({"box", "sh", "-c", "exit 42"}).exit_code, 42);
  EXPECT_EQ(exec({"box", "--", "sh", "-c", "exit 41"}).exit_code, 41);
  EXPECT_EQ(exec({"box", "sh", "-c", "kill -9 $$"}).exit_code, 137);
  EXPECT_EQ(exec({"--cwd", "/etc", "-e", "A=1", "--env=B=2", "box", "sh", "-c", "echo $PWD $A $B"}).out,
            "/etc 1 2\n");
  EXPECT_EQ(exec({"-u", "5:6", "-g", "7", "-g", "8", "box", "sh", "-c", "id -u; id -G"}).out, "5\n6 7 8\n");
  const std::string caps =
      exec({"--cap", "CAP_SYS_PTRACE", "box", "busybox", "grep", "CapEff", "/proc/self/status"}).out;
  EXPECT_NE(caps.find("0000000020080420"), std::string::npos) << caps;
  const Outcome missing = exec({"box", "no-such-command"});
  EXPECT_EQ(missing.exit_code, 255);
  EXPECT_NE(missing.err.find("executable file not found in $PATH"), std::string::npos) << missing.err;
  const Outcome refused = exec({"box", "/etc"});
  EXPECT_EQ(refused.exit_code, 255);
  EXPECT_NE(refused.err.find("is a directory"), std::string::npos) << refused.err;
  EXPECT_EQ(exec({"box"}).exit_code, 255) << "no command";
  EXPECT_TRUE(runtime({"delete", "-f", "box"}).ok());
  EXPECT_NE(exec({"box", "true"}).err.find("does not exist"), std::string::npos);
}

TEST_F(RuntimeExec, TheProcessAsAFileDetachedWithItsPid) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"sleep", "1000"});
  ASSERT_TRUE(start_detached(box).ok());
  spec::Process process = *box.config.process;
  process.args = {"sleep", "2000"};
  process.user.uid = 33;
  std::ofstream(scratch() + "/process.json") << spec::to_json(process);
  const Outcome outcome =
      shell(program("cloche-runtime") + " --root " + state_root() + " exec --process " + scratch() +
            "/process.json --detach --pid-file " + scratch() + "/pid box </dev/null >/dev/null");
  ASSERT_TRUE(outcome.ok()) << outcome.describe();
  std::string pid;
  std::ifstream(scratch() + "/pid") >> pid;
  EXPECT_NE(shell("cat /proc/" + pid + "/cmdline | tr '\\0' ' '").out.find("sleep 2000"), std::string::npos);
  EXPECT_EQ(shell("awk '/^Uid/ {print $2}' /proc/" + pid + "/status").out, "33\n");
  EXPECT_EQ(member(runtime({"ps", "-f", "json", "box"}).out, "length"), "2");
  // This program has inherited it, and the container's first process cannot end before it is waited for.
  ASSERT_TRUE(shell("kill -9 " + pid).ok());
  EXPECT_EQ(waitpid(std::stoi(pid), nullptr, 0), std::stoi(pid));
  EXPECT_TRUE(runtime({"delete", "-f", "box"}).ok());
}

TEST_F(RuntimeExec, ATerminal) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"sleep", "1000"});
  ASSERT_TRUE(start_detached(box).ok());
  EXPECT_NE(exec({"-t", "box", "tty"}).out.find("/dev/pts/"), std::string::npos);
  EXPECT_EQ(exec({"box", "tty"}).exit_code, 1) << "not a terminal";
  EXPECT_TRUE(runtime({"delete", "-f", "box"}).ok());
}

// Stopped between the look at the init and the clone: then the kernel has no process to give (ENOMEM).
TEST_F(RuntimeExec, IntoAContainerThatEndsMeanwhile) {
  CLOCHE_NEEDS(needs::root());
  CLOCHE_NEEDS(needs::program("strace"));
  auto box = bundle({"sleep", "1000"});
  ASSERT_TRUE(start_detached(box).ok());
  const std::string trace = scratch() + "/trace";
  std::vector<std::string> argv{
      "strace", "-qq", "-o", trace, "-e", "trace=socketpair", "-e", "inject=socketpair:signal=STOP:when=1"};
  for (std::string& word : command({"exec", "box", "true"})) argv.push_back(std::move(word));
  Running execs({.argv = argv});
  const std::string pid = shell("until grep -q 'stopped by SIGSTOP' " + trace +
                                " 2>/dev/null; do sleep 0.01; done; pgrep -P " + std::to_string(execs.pid()))
                              .out;
  ASSERT_NE(pid, "");
  stop();
  shell("kill -CONT " + pid);
  const Outcome outcome = execs.finish();
  EXPECT_EQ(outcome.exit_code, 255) << outcome.describe();
  EXPECT_NE(outcome.err.find("container not running"), std::string::npos) << outcome.err;
  EXPECT_TRUE(runtime({"delete", "-f", "box"}).ok());
}

}  // namespace
}  // namespace cloche::test
