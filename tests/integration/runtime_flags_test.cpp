// Flags of cloche-runtime by what they do.
#include <linux/keyctl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>
#include <thread>

#include "support/bundle.h"
#include "support/files.h"
#include "support/needs.h"
#include "support/test_user.h"
#include "support/unix_socket.h"

namespace cloche::test {
namespace {

namespace fs = std::filesystem;

class RuntimeFlags : public RuntimeTest {
 protected:
  std::string init_pid(const std::string& id = "box") { return member(runtime({"state", id}).out, ".pid"); }
  // The container's cgroup as a directory of the host.
  std::string cgroup_directory() {
    return shell("printf %s%s \"$(findmnt -nro TARGET -t cgroup2 | head -n 1)\" \"$(sed -n s/^0:://p /proc/" +
                 init_pid() + "/cgroup)\"")
        .out;
  }
};

class RuntimePidfdSocket : public RuntimeFlags {
 protected:
  sys::Fd listening() {
    sys::Fd listener = bound_socket(path(), SOCK_STREAM);
    EXPECT_EQ(listen(listener.get(), 1), 0);
    return listener;
  }
  std::string path() { return scratch() + "/pidfd"; }
  // The pid of a pidfd's process; only a pidfd has that line (proc(5)).
  static std::string process_of(const sys::Fd& pidfd) {
    std::ifstream file("/proc/self/fdinfo/" + std::to_string(pidfd.get()));
    for (std::string line; std::getline(file, line);)
      if (line.starts_with("Pid:\t")) return line.substr(5);
    return "no pidfd";
  }
  static bool has_ended(const sys::Fd& pidfd) {
    pollfd look{.fd = pidfd.get(), .events = POLLIN, .revents = 0};
    return poll(&look, 1, 0) == 1;
  }
};

TEST_F(RuntimePidfdSocket, GetsThatOfACreatedContainer) {
  CLOCHE_NEEDS(needs::root());
  const sys::Fd listener = listening();
  const auto box = bundle({"sleep", "1000"});
  const Outcome created = create(box, "box", {"--pidfd-socket", path()});
  ASSERT_TRUE(created.ok()) << created.describe();
  const sys::Fd pidfd = sent_descriptor(listener);
  EXPECT_EQ(process_of(pidfd), init_pid());
  EXPECT_FALSE(has_ended(pidfd));
  EXPECT_TRUE(runtime({"delete", "box"}).ok());
  EXPECT_TRUE(has_ended(pidfd));
}

TEST_F(RuntimePidfdSocket, GetsThatOfARunAndOfAnExec) {
  CLOCHE_NEEDS(needs::root());
  const auto box = bundle({"sleep", "1000"});
  box.write();
  const std::string quiet = " </dev/null >/dev/null",
                    line = program("cloche-runtime") + " --root " + state_root();
  {
    const sys::Fd listener = listening();
    const Outcome ran =
        shell(line + " run --detach --pidfd-socket " + path() + " --bundle " + box.path() + " box" + quiet);
    ASSERT_TRUE(ran.ok()) << ran.describe();
    EXPECT_EQ(process_of(sent_descriptor(listener)), init_pid());
  }
  fs::remove(path());
  const sys::Fd listener = listening();
  const Outcome outcome = shell(line + " exec --detach --pidfd-socket " + path() + " --pid-file " +
                                scratch() + "/pid box sleep 2000" + quiet);
  ASSERT_TRUE(outcome.ok()) << outcome.describe();
  const sys::Fd pidfd = sent_descriptor(listener);
  const std::string pid = text_of(scratch() + "/pid");
  EXPECT_EQ(process_of(pidfd), pid);
  EXPECT_NE(pid, init_pid());
  EXPECT_EQ(text_of("/proc/" + pid + "/cmdline"), std::string("sleep\0002000\0", 11));
  // This program has inherited it, and the container's first process cannot end before it is waited for.
  ASSERT_TRUE(shell("kill -9 " + pid).ok());
  EXPECT_EQ(waitpid(std::stoi(pid), nullptr, 0), std::stoi(pid));
  EXPECT_TRUE(runtime({"delete", "-f", "box"}).ok());
}

TEST_F(RuntimePidfdSocket, WithoutAListenerNothingIsMade) {
  CLOCHE_NEEDS(needs::root());
  const Outcome refused = create(bundle({"true"}), "box", {"--pidfd-socket", path()});
  expect_refusal(refused, "connect(\"" + path() + "\")");
  EXPECT_EQ(status(), "");
}

TEST_F(RuntimeFlags, KeepLeavesTheStateOfARunThatHasEnded) {
  CLOCHE_NEEDS(needs::root());
  const auto box = bundle({"sh", "-c", "exit 7"});
  EXPECT_EQ(run(box).exit_code, 7);
  EXPECT_EQ(status(), "") << "without the flag nothing is left";
  const Outcome kept = runtime({"run", "--keep", "--bundle", box.path(), "box"});
  EXPECT_EQ(kept.exit_code, 7) << kept.describe();
  EXPECT_EQ(status(), "stopped");
  EXPECT_EQ(runtime({"list", "-q"}).out, "box\n");
  expect_refusal(run(box), "exists already");
  EXPECT_TRUE(runtime({"delete", "box"}).ok());
  EXPECT_EQ(status(), "");
  EXPECT_FALSE(fs::exists(state_root() + "/box"));
}

TEST_F(RuntimeFlags, NoPivotChangesNothing) {
  CLOCHE_NEEDS(needs::root());
  CLOCHE_NEEDS(needs::program("strace"));
  auto box = bundle({"sh", "-c", "busybox stat -c %d:%i / && echo /*"});
  const Outcome without = run(box);
  ASSERT_TRUE(without.ok()) << without.describe();
  const std::string trace = scratch() + "/trace";
  std::vector<std::string> argv{"strace", "-f", "-qq", "-o", trace, "-e", "trace=pivot_root,chroot"};
  for (std::string& word : command({"run", "--no-pivot", "--bundle", box.path(), "box"}))
    argv.push_back(std::move(word));
  const Outcome with = test::run({.argv = argv});
  EXPECT_TRUE(with.ok()) << with.describe();
  EXPECT_EQ(with.out, without.out);
  EXPECT_EQ(with.out.substr(0, with.out.find('\n') + 1), shell("stat -c %d:%i " + box.rootfs()).out);
  const std::string calls = text_of(trace);
  EXPECT_TRUE(std::regex_search(calls, std::regex("pivot_root\\(.*\\) *= 0"))) << calls;
  EXPECT_FALSE(calls.contains("chroot(")) << calls;
}

TEST_F(RuntimeFlags, ASessionKeyringOfItsOwnUnlessTheCallersIsKept) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"keyring"});
  fs::copy_file(program("cloche_keyring_probe"), box.rootfs() + "/bin/keyring");
  const long number = syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0);
  CLOCHE_NEEDS(number < 0 ? needs::Missing("keyctl(2)") : needs::Missing());
  const std::string callers = std::to_string(number) + "\n";
  const Outcome own = run(box);
  ASSERT_TRUE(own.ok()) << own.describe();
  EXPECT_NE(own.out, callers);
  const Outcome kept = runtime({"run", "--no-new-keyring", "--bundle", box.path(), "box"});
  ASSERT_TRUE(kept.ok()) << kept.describe();
  EXPECT_EQ(kept.out, callers);
}

TEST_F(RuntimeFlags, AnExecIntoAPausedContainerWaitsWhereItMay) {
  CLOCHE_NEEDS(needs::root());
  CLOCHE_NEEDS(needs::cgroup2());
  const auto box = bundle({"sleep", "1000"});
  ASSERT_TRUE(start_detached(box).ok());
  ASSERT_TRUE(runtime({"pause", "box"}).ok());
  const Outcome refused = runtime({"exec", "box", "true"});
  EXPECT_EQ(refused.exit_code, 255);
  EXPECT_TRUE(
      refused.err.contains("it is paused (with --ignore-paused the command waits until it is resumed)"))
      << refused.err;
  EXPECT_EQ(std::ranges::count(refused.err, '\n'), 1) << refused.err;
  Running waits({.argv = command({"exec", "--ignore-paused", "box", "echo", "resumed"})});
  const std::string members = cgroup_directory() + "/cgroup.procs";
  const auto processes = [&] {
    const std::string pids = text_of(members);
    return std::ranges::count(pids, '\n');
  };
  for (int tries = 0; tries < 1000 && processes() < 2; ++tries)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_EQ(processes(), 2) << "it is in the container, and frozen";
  EXPECT_EQ(status(), "paused");
  EXPECT_EQ(waitpid(waits.pid(), nullptr, WNOHANG), 0);
  ASSERT_TRUE(runtime({"resume", "box"}).ok());
  const Outcome done = waits.finish();
  EXPECT_TRUE(done.ok()) << done.describe();
  EXPECT_EQ(done.out, "resumed\n");
  EXPECT_TRUE(runtime({"delete", "-f", "box"}).ok());
}

TEST_F(RuntimeFlags, AnExecInACgroupBelowTheContainers) {
  CLOCHE_NEEDS(needs::root());
  CLOCHE_NEEDS(needs::cgroup2());
  const auto box = bundle({"sleep", "1000"});
  ASSERT_TRUE(start_detached(box).ok());
  EXPECT_EQ(runtime({"exec", "box", "busybox", "grep", "^0:", "/proc/self/cgroup"}).out, "0::/\n");
  for (const char* name : {"below", "/below"}) {
    fs::create_directory(cgroup_directory() + "/below");
    const Outcome inside =
        runtime({"exec", "--cgroup", name, "box", "busybox", "grep", "^0:", "/proc/self/cgroup"});
    EXPECT_EQ(inside.out, "0::/below\n") << inside.describe();
  }
  const Outcome missing = runtime({"exec", "--cgroup", "nowhere", "box", "true"});
  EXPECT_EQ(missing.exit_code, 255) << missing.describe();
  EXPECT_TRUE(missing.err.contains(cgroup_directory() + "/nowhere")) << missing.err;
  const Outcome outside = runtime({"exec", "--cgroup", "../nowhere", "box", "true"});
  EXPECT_EQ(outside.exit_code, 255);
  EXPECT_TRUE(outside.err.contains("--cgroup: the path must not hold \"..\"")) << outside.err;
  EXPECT_TRUE(runtime({"delete", "-f", "box"}).ok());
}

TEST_F(RuntimeFlags, ARootlessSpecRunsForAnOrdinaryUser) {
  CLOCHE_NEEDS(needs::root());
  CLOCHE_NEEDS(needs::test_user());
  CLOCHE_NEEDS(needs::user_namespaces());
  const TestUser& user = TestUser::get();
  const auto box = bundle({"true"}, "source");
  const std::string own = user.home() + "/bundle";
  ASSERT_TRUE(user.shell("mkdir " + own + " && cp -a " + box.rootfs() + " " + own).ok());
  const Outcome written =
      user.run({.argv = {program("cloche-runtime"), "spec", "--rootless", "--bundle", own}});
  ASSERT_TRUE(written.ok()) << written.describe();
  const std::string text = text_of(own + "/config.json");
  EXPECT_EQ(member(text, "[.linux.namespaces[].type] | sort | join(\" \")"), "cgroup ipc mount pid user uts");
  const auto line = [](uint32_t id) {
    return R"([{"containerID":0,"hostID":)" + std::to_string(id) + R"(,"size":1}])";
  };
  EXPECT_EQ(member(text, ".linux.uidMappings | tojson"), line(user.uid()));
  EXPECT_EQ(member(text, ".linux.gidMappings | tojson"), line(user.gid()));
  const std::string process = R"({"terminal": false, "args": ["sh", "-c", "id -u; cat /proc/self/uid_map"]})";
  const Outcome changed =
      user.shell("cd " + own + " && jq '.process += " + process + "' config.json >new && mv new config.json");
  ASSERT_TRUE(changed.ok()) << changed.describe();
  const Outcome ran = user.run(
      {.argv = {program("cloche-runtime"), "--root", own + "/state", "run", "--bundle", own, "box"}});
  EXPECT_TRUE(ran.ok()) << ran.describe();
  EXPECT_TRUE(std::regex_match(ran.out, std::regex("0\n *0 +" + std::to_string(user.uid()) + " +1\n")))
      << ran.describe();
  EXPECT_TRUE(user.shell("rm -r " + own).ok());
}

// The steps that a program says it has done, by number; each line has its time.
std::multiset<int> steps_of(const std::string& said, int& of) {
  static const std::regex kLine(
      "cloche-runtime: debug: step ([0-9]+) of ([0-9]+), [^ ,]+, (host|container): "
      "[0-9]+ us(, .+)?");
  std::multiset<int> steps;
  std::istringstream lines(said);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("cloche-runtime: debug: ")) continue;
    std::smatch parts;
    EXPECT_TRUE(std::regex_match(line, parts, kLine)) << line;
    if (parts.empty()) continue;
    steps.insert(std::stoi(parts[1]));
    EXPECT_TRUE(of == 0 || std::stoi(parts[2]) == of) << line;
    of = std::stoi(parts[2]);
  }
  return steps;
}

TEST_F(RuntimeFlags, DebugSaysEachStepWithItsTime) {
  CLOCHE_NEEDS(needs::root());
  const auto box = bundle({"sleep", "1000"});
  const Outcome started = start_detached(box);
  ASSERT_TRUE(started.ok()) << started.describe();
  EXPECT_FALSE(started.err.contains("debug:")) << started.err;
  EXPECT_FALSE(runtime({"exec", "box", "true"}).err.contains("debug:"));
  const auto expect_every_step = [](const Outcome& outcome) {
    ASSERT_TRUE(outcome.ok()) << outcome.describe();
    int of = 0;
    const std::multiset<int> steps = steps_of(outcome.err, of);
    EXPECT_GT(of, 3);
    std::multiset<int> all;
    for (int step = 1; step <= of; ++step) all.insert(step);
    EXPECT_EQ(steps, all) << outcome.err;
  };
  expect_every_step(runtime({"--debug", "exec", "box", "true"}));
  EXPECT_TRUE(runtime({"delete", "-f", "box"}).ok());
  const auto brief = bundle({"true"}, "brief");
  brief.write();
  expect_every_step(runtime({"--debug", "run", "--bundle", brief.path(), "brief"}));
}

}  // namespace
}  // namespace cloche::test
