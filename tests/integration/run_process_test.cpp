// The process of cloche run: its end, its streams, signals, environment and terminal.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <utmp.h>

#include <fstream>

#include "support/box.h"
#include "support/host_state.h"
#include "support/needs.h"
#include "support/test_user.h"

namespace cloche::test {
namespace {

class RunProcess : public LeaksNothing {
 protected:
  void SetUp() override {
    LeaksNothing::SetUp();
    CLOCHE_NEEDS(needs::root());
  }
};

TEST_F(RunProcess, ExitCodes) {
  EXPECT_EQ(run_box({}, "exit 0").exit_code, 0);
  EXPECT_EQ(run_box({}, "exit 77").exit_code, 77);
  EXPECT_EQ(run_box({"--no-such-flag"}, "true").exit_code, 125);
  EXPECT_EQ(cloche_run({"no-such-image", "--", "true"}).exit_code, 125);
  EXPECT_EQ(cloche_run({"host"}).exit_code, 125);
  EXPECT_EQ(cloche_run({"host", "--", "/etc"}).exit_code, 126);
  EXPECT_EQ(cloche_run({"host", "--", "/etc/passwd"}).exit_code, 126);
  EXPECT_EQ(cloche_run({"host", "--", "no-such-command"}).exit_code, 127);
  EXPECT_EQ(cloche_run({"host", "--", "/no/such/command"}).exit_code, 127);
  EXPECT_EQ(run_box({"--pid", "host"}, "kill -TERM $$").exit_code, 128 + SIGTERM);
  EXPECT_EQ(run_box({"--pid", "host"}, "kill -KILL $$").exit_code, 128 + SIGKILL);
}

TEST_F(RunProcess, StandardInputOnlyWhenAskedFor) {
  Command command = box({}, "readlink /proc/self/fd/0; cat");
  command.input = "secret\n";
  EXPECT_EQ(run(command).out, "/dev/null\n");
  command = box({"-i"}, "cat");
  command.input = "given\n";
  EXPECT_EQ(run(command).out, "given\n");
}

TEST_F(RunProcess, BytesArriveAsTheyWereSent) {
  std::string bytes(1 << 20, '\0');
  uint32_t state = 1;
  for (char& c : bytes) c = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
  Command command = box({"-i"}, "cat; cat /etc/os-release >&2");
  command.input = bytes;
  const Outcome outcome = run(command);
  EXPECT_TRUE(outcome.out == bytes) << outcome.out.size();
  EXPECT_EQ(outcome.err, shell("cat /etc/os-release").out);
}

TEST_F(RunProcess, SignalsAreForwarded) {
  for (const auto& [name, number] :
       {std::pair{"TERM", SIGTERM}, {"USR1", SIGUSR1}, {"INT", SIGINT}, {"HUP", SIGHUP}}) {
    // The shell runs a trap when its read is interrupted.
    Running running(
        box({"-i"},
            fmt::format("trap 'echo got {}; exit 9' {}; echo ready; while :; do read x; done", name, name)));
    ASSERT_TRUE(running.wait_for_output("ready")) << running.so_far().describe();
    ASSERT_EQ(kill(running.pid(), number), 0);
    EXPECT_TRUE(running.wait_for_output(fmt::format("got {}", name))) << running.so_far().describe();
    EXPECT_EQ(running.finish().exit_code, 9);
  }
}

TEST_F(RunProcess, StartsWithNothingBlockedOrIgnored) {
  Command command = box({}, "awk '/^Sig(Blk|Ign|Cgt)/ {print $2}' /proc/self/status");
  command.argv.insert(command.argv.begin(), {"env", "--block-signal=USR2"});
  command.ignore = {SIGPIPE, SIGCHLD, 32, 33, 64};
  EXPECT_EQ(run(command).out, "0000000000000000\n0000000000000000\n0000000000000000\n");
}

// The fourth is that of the directory being listed.
TEST_F(RunProcess, HoldsThreeDescriptors) {
  Command command;
  command.argv = {"sh", "-c",
                  "exec 7</etc/passwd 9</; exec " + program("cloche") + " run host -- ls /proc/self/fd"};
  EXPECT_EQ(run(command).out, "0\n1\n2\n3\n");
}

// kill -9 gives nobody time to clean up; the kernel ends the container.
TEST_F(RunProcess, EndsWithItsCaller) {
  Running running(box({"-i"}, "echo running; cat; sleep 1000"));
  ASSERT_TRUE(running.wait_for_output("running\n")) << running.so_far().describe();
  const std::string inside = fmt::format("pgrep -P {} >/dev/null", running.pid());
  ASSERT_TRUE(shell(inside).ok());
  running.signal(SIGKILL);
  running.finish();
  // What is left on disk and in the cgroup tree goes with the next run; LeaksNothing sees that no process is there.
  EXPECT_EQ(run_box({}, "echo swept").out, "swept\n");
}

TEST_F(RunProcess, LeavesNoProcessBehindInASharedPidNamespace) {
  CLOCHE_NEEDS(needs::test_user());
  TestUser& user = TestUser::get();
  const Outcome outcome = user.run({.argv = {program("cloche"), "run", "--pid", "host", "host", "--", "sh",
                                             "-c", "sleep 1000 & (sleep 1000 &) ; exit 3"}});
  EXPECT_EQ(outcome.exit_code, 3) << outcome.describe();
}

// A process that asks to be traced by its parent, which is Cloche, stops at its next signal.
TEST_F(RunProcess, ATracedCommandDoesNotHangTheCaller) {
  CLOCHE_NEEDS(needs::program("python3"));
  const Outcome outcome =
      run_box({},
              "exec python3 -c 'import ctypes, os, signal; c = ctypes.CDLL(None); c.ptrace(0, 0, 0, 0); "
              "signal.signal(signal.SIGUSR1, lambda *_: os._exit(7)); os.kill(os.getpid(), signal.SIGUSR1); "
              "import time; time.sleep(1000)'");
  EXPECT_EQ(outcome.exit_code, 7) << outcome.describe();
}

TEST_F(RunProcess, TheThirdRequestToEndIsAnOrder) {
  Running running(box({}, "trap '' INT QUIT TERM; echo running; exec sleep 1000"));
  ASSERT_TRUE(running.wait_for_output("running\n"));
  // Different ones: what is pending already is not counted twice.
  for (const int signal : {SIGINT, SIGQUIT, SIGTERM}) running.signal(signal);
  EXPECT_EQ(running.finish().exit_code, 137);
}

TEST_F(RunProcess, ClosedStandardDescriptorsAreDevNull) {
  Command command;
  command.argv = {"sh", "-c",
                  "exec " + program("cloche") +
                      " run host -- sh -c 'readlink /proc/self/fd/0; exec ls /proc/self/fd >&2'" +
                      " 0<&- 9>&1 1>&-"};
  const Outcome outcome = run(command);
  EXPECT_EQ(outcome.err, "0\n1\n2\n3\n") << outcome.describe();
}

TEST_F(RunProcess, OpensItsOwnStreamsAgain) {
  CLOCHE_NEEDS(needs::root());
  for (const char* user : {"0", "1000"}) {
    const Outcome outcome = run_box({"--user", user}, "echo out >/dev/stdout; echo err >/dev/stderr");
    EXPECT_EQ(outcome.out, "out\n") << outcome.describe();
    EXPECT_EQ(outcome.err, "err\n");
  }
}

// To a run in another pid namespace the numbers of this one's processes mean nothing.
TEST_F(RunProcess, IsNotSweptByARunInAnotherPidNamespace) {
  CLOCHE_NEEDS(needs::root());
  Running running(box({"-i"}, "echo running; cat; exit 5"));
  ASSERT_TRUE(running.wait_for_output("running\n")) << running.so_far().describe();
  const Outcome other = run({.argv = {"unshare", "--pid", "--fork", "--mount-proc", program("cloche"), "run",
                                      "host", "--", "true"}});
  EXPECT_TRUE(other.ok()) << other.describe();
  EXPECT_EQ(running.finish().exit_code, 5);
}

TEST_F(RunProcess, Environment) {
  std::ofstream(scratch() + "/env") << "# comment\nFROM_FILE=a b\n\nTAKEN\nOVER=file\n";
  Command command = box({"--name", "bell", "--env-file", scratch() + "/env", "-e", "OVER=flag", "-e", "ALSO"},
                        "env | sort");
  command.set_env = {"TAKEN=from caller", "ALSO=too", "NOT_PASSED=x"};
  const Outcome outcome = run(command);
  EXPECT_EQ(outcome.out,
            "ALSO=too\nFROM_FILE=a b\nHOME=/root\nHOSTNAME=bell\nOVER=flag\n"
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nPWD=/\nTAKEN=from "
            "caller\ncontainer=cloche\n")
      << outcome.describe();
}

TEST_F(RunProcess, WorkingDirectoryUmaskAndUser) {
  EXPECT_EQ(run_box({"-w", "/opt/not/there"}, "pwd").out, "/opt/not/there\n");
  EXPECT_EQ(run_box({"-w", "/etc/passwd"}, "pwd").exit_code, 125);
  EXPECT_EQ(run_box({"-w", "relative"}, "pwd").exit_code, 125);
  EXPECT_EQ(run_box({}, "umask").out, "0022\n");
  EXPECT_EQ(run_box({"--umask", "077", "--user", "1:2"},
                    "umask; id -u; id -g; touch /tmp/x; stat -c %a:%u:%g /tmp/x")
                .out,
            "0077\n1\n2\n600:1:2\n");
  EXPECT_EQ(run_box({"--umask", "8"}, "umask").exit_code, 125);
}

TEST_F(RunProcess, ManyLeaveNothing) {
  for (int i = 0; i < 50; ++i) ASSERT_EQ(cloche_run({"host", "--", "true"}).exit_code, 0) << i;
  std::string all;
  for (int i = 0; i < 8; ++i) all += program("cloche") + " run host -- sh -c 'echo $$' & ";
  EXPECT_EQ(shell(all + "wait").out, "1\n1\n1\n1\n1\n1\n1\n1\n");
}

// The next run takes away what a killed engine left; the fixture sees that nothing stays.
TEST_F(RunProcess, AKilledEngineIsCleanedUpAfter) {
  CLOCHE_NEEDS(needs::cgroup2());
  {
    Running running(box({"--name", "killed", "-i"}, "echo ready; read x"));
    ASSERT_TRUE(running.wait_for_output("ready"));
    ASSERT_EQ(kill(running.pid(), SIGKILL), 0);
    EXPECT_EQ(running.finish().signal, SIGKILL);
  }
  EXPECT_EQ(run_box({"--name", "killed"}, "echo again").out, "again\n");
}

// A terminal of the test's own, with cloche at its other end.
class RunTerminal : public RunProcess {
 protected:
  void start(const std::vector<std::string>& flags, const std::string& script) {
    const Command command = box(flags, script);
    std::vector<char*> argv;
    for (const std::string& word : command.argv) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    const winsize size{.ws_row = 33, .ws_col = 99, .ws_xpixel = 0, .ws_ypixel = 0};
    int master = -1, slave = -1;
    ASSERT_EQ(openpty(&master, &slave, nullptr, nullptr, &size), 0);
    master_ = sys::Fd(master);
    slave_ = sys::Fd(slave);
    ASSERT_EQ(tcgetattr(slave, &before_), 0);
    pid_ = fork();
    if (pid_ == 0) {
      setenv(kMarkerVariable, marker().c_str(), 1);
      login_tty(slave);
      execv(argv[0], argv.data());
      _exit(99);
    }
  }
  void TearDown() override {
    if (pid_ > 0) end();
    RunProcess::TearDown();
  }
  bool wait_for(const std::string& text) {
    char bytes[4096];
    while (!seen_.contains(text)) {
      pollfd ready{.fd = master_.get(), .events = POLLIN, .revents = 0};
      if (poll(&ready, 1, 20000) != 1) return false;  // a safety net
      const ssize_t got = read(master_.get(), bytes, sizeof bytes);
      if (got <= 0) return false;
      seen_.append(bytes, static_cast<size_t>(got));
    }
    return true;
  }
  void type(const std::string& text) {
    ASSERT_EQ(write(master_.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  int end() {
    int status = 0;
    waitpid(std::exchange(pid_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  sys::Fd master_, slave_;
  termios before_{};
  pid_t pid_ = -1;
  std::string seen_;
};

TEST_F(RunTerminal, IsATerminalOfTheContainersOwn) {
  start({"-i", "-t"},
        "tty; stty size; test -t 2 && echo is; stat -c %F /dev/console; echo said > /dev/console; echo $TERM "
        "| wc -w; exit 5");
  EXPECT_TRUE(wait_for("1\r\n")) << seen_;
  EXPECT_EQ(seen_, "/dev/pts/0\r\n33 99\r\nis\r\ncharacter special file\r\nsaid\r\n1\r\n");
  EXPECT_EQ(end(), 5);
}

TEST_F(RunTerminal, FollowsItsSizeAndControlC) {
  start({"-i", "-t"},
        "trap 'stty size' WINCH; trap 'echo interrupted; exit 3' INT; echo ready; while :; do read x; done");
  ASSERT_TRUE(wait_for("ready")) << seen_;
  const winsize size{.ws_row = 44, .ws_col = 111, .ws_xpixel = 0, .ws_ypixel = 0};
  ASSERT_EQ(ioctl(master_.get(), TIOCSWINSZ, &size), 0);
  EXPECT_TRUE(wait_for("44 111")) << seen_;
  type("\x03");
  EXPECT_TRUE(wait_for("interrupted")) << seen_;
  EXPECT_EQ(end(), 3);
}

TEST_F(RunTerminal, BytesAreNotMangledAndTheModeComesBack) {
  start({"-i", "-t"}, "stty raw -echo; echo ready; head -c 5 | od -An -tx1");
  ASSERT_TRUE(wait_for("ready")) << seen_;
  type("\x03\r\x1a\x11\x04");
  EXPECT_TRUE(wait_for("03 0d 1a 11 04")) << seen_;
  EXPECT_EQ(end(), 0);
  termios after{};
  ASSERT_EQ(tcgetattr(slave_.get(), &after), 0);
  EXPECT_EQ(after.c_iflag, before_.c_iflag);
  EXPECT_EQ(after.c_oflag, before_.c_oflag);
  EXPECT_EQ(after.c_lflag, before_.c_lflag);
}

}  // namespace
}  // namespace cloche::test
