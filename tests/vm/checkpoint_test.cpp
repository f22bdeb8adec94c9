// What comes back of a container, and what is left when it does not.
#include "vm/checkpoint.h"

#include <fmt/format.h>
#include <sys/wait.h>

#include <csignal>
#include <fstream>

namespace cloche::test {
namespace {

namespace fs = std::filesystem;

TEST_F(VmCheckpoint, ACountGoesOnWhereItWas) {
  CLOCHE_NEEDS(needs::program("criu"));
  auto box = counting();
  fs::create_directory(scratch() + "/data");
  std::ofstream(scratch() + "/data/word") << "outside\n";
  box.config.mounts.push_back(
      {.destination = "/data", .type = "bind", .source = scratch() + "/data", .options = {"rbind"}});
  ASSERT_TRUE(start_detached(box).ok());
  ASSERT_TRUE(counts_beyond(box, 3));
  ASSERT_TRUE(runtime({"exec", "box", "sh", "-c", "echo kept >/dev/shm/word"}).ok());
  const Outcome dumped = checkpoint();
  ASSERT_TRUE(dumped.ok()) << dumped.describe();
  expect_gone();
  const int64_t before = count(box);
  // Another root file system state than at the dump: the number must come from memory.
  std::ofstream(box.rootfs() + "/count") << "0\n";
  // Another source for the same place.
  fs::create_directory(scratch() + "/data2");
  std::ofstream(scratch() + "/data2/word") << "changed\n";
  box.config.mounts.back().source = scratch() + "/data2";

  // Under another name, in another cgroup.
  box.config.linux_->cgroupsPath = "/vm-restored/box2";
  const Outcome restored = restore(box, "other", {"--pid-file", scratch() + "/pid"});
  ASSERT_TRUE(restored.ok()) << restored.describe();
  EXPECT_EQ(status("other"), "running");
  EXPECT_TRUE(counts_beyond(box, before)) << "was " << before << ", is " << count(box);
  EXPECT_EQ(member(runtime({"state", "other"}).out, ".pid"), text_of(scratch() + "/pid"));
  EXPECT_EQ(text_of("/sys/fs/cgroup/vm-restored/box2/pids.max"), "50\n");
  const Outcome seen = runtime({"exec", "other", "cat", "/proc/1/cgroup", "/data/word", "/dev/shm/word",
                                "/sys/fs/cgroup/pids.max", "/proc/kcore"});
  EXPECT_EQ(seen.out, "0::/\nchanged\nkept\n50\n") << seen.describe();
  stop("other");
  EXPECT_TRUE(runtime({"delete", "other"}).ok());
  EXPECT_EQ(status("other"), "");
  EXPECT_FALSE(fs::exists("/sys/fs/cgroup/vm-restored/box2"));
  fs::remove("/sys/fs/cgroup/vm-restored");
}

TEST_F(VmCheckpoint, OneThatIsLeftRunningGoesOnAndCanBeRestoredBeside) {
  CLOCHE_NEEDS(needs::program("criu"));
  auto box = counting();
  ASSERT_TRUE(start_detached(box).ok());
  ASSERT_TRUE(counts_beyond(box, 0));
  const std::string pid = member(runtime({"state", "box"}).out, ".pid");
  ASSERT_TRUE(runtime({"pause", "box"}).ok());
  const Outcome paused = checkpoint({"--leave-running", "--work-path", scratch() + "/work"});
  ASSERT_TRUE(paused.ok()) << paused.describe();
  EXPECT_EQ(status(), "paused");
  EXPECT_TRUE(fs::exists(scratch() + "/work/dump.log"));
  ASSERT_TRUE(runtime({"resume", "box"}).ok());
  EXPECT_EQ(member(runtime({"state", "box"}).out, ".pid"), pid);
  EXPECT_TRUE(counts_beyond(box, count(box)));
  const Outcome piped = runtime({"restore", "--bundle", box.path(), "--image-path", images(), "another"});
  EXPECT_NE(piped.err.find("was a file, and this command's is a pipe"), std::string::npos) << piped.err;
  const Outcome taken = restore(box);
  EXPECT_FALSE(taken.ok());
  EXPECT_NE(taken.err.find("container ID already in use"), std::string::npos) << taken.err;
  EXPECT_EQ(status(), "running");
  stop();
  EXPECT_TRUE(runtime({"delete", "box"}).ok());
}

TEST_F(VmCheckpoint, APreDumpIsTheParentOfACheckpoint) {
  CLOCHE_NEEDS(needs::program("criu"));
  auto box = counting();
  ASSERT_TRUE(start_detached(box).ok());
  ASSERT_TRUE(counts_beyond(box, 0));
  const Outcome first = runtime({"checkpoint", "--pre-dump", "--image-path", images("first"), "box"});
  ASSERT_TRUE(first.ok()) << first.describe();
  EXPECT_EQ(status(), "running");
  ASSERT_TRUE(counts_beyond(box, count(box)));
  const Outcome second = checkpoint({"--parent-path", "../first"});
  ASSERT_TRUE(second.ok()) << second.describe();
  EXPECT_TRUE(fs::is_symlink(images() + "/parent"));
  const int64_t before = count(box);
  std::ofstream(box.rootfs() + "/count") << "0\n";
  const Outcome restored = restore(box);
  ASSERT_TRUE(restored.ok()) << restored.describe();
  EXPECT_TRUE(counts_beyond(box, before));
  stop();
  EXPECT_TRUE(runtime({"delete", "box"}).ok());
}

TEST_F(VmCheckpoint, InTheForegroundStreamsSignalsAndTheExitCodeAreTheRestorers) {
  CLOCHE_NEEDS(needs::program("criu"));
  auto box = counting("trap 'echo bye; exit 7' TERM; i=0; while :; do i=$((i+1)); echo n$i; sleep 0.1; done");
  box.write();
  Running first({.argv = command({"run", "--bundle", box.path(), "box"})});
  ASSERT_TRUE(first.wait_for_output("n3\n")) << first.so_far().describe();
  const Outcome dumped = checkpoint();
  ASSERT_TRUE(dumped.ok()) << dumped.describe();
  const Outcome ended = first.finish();
  EXPECT_EQ(ended.exit_code, 137) << ended.describe();
  const std::string last = ended.out.substr(ended.out.rfind('n') + 1);
  const std::string next = "n" + std::to_string(std::strtol(last.c_str(), nullptr, 10) + 1) + "\n";

  Running second({.argv = command({"restore", "--bundle", box.path(), "--image-path", images(), "box"})});
  ASSERT_TRUE(second.wait_for_output(next)) << second.so_far().describe();
  second.signal(SIGTERM);
  const Outcome outcome = second.finish();
  EXPECT_EQ(outcome.exit_code, 7) << outcome.describe();
  EXPECT_TRUE(outcome.out.starts_with(next)) << outcome.out;
  EXPECT_TRUE(outcome.out.ends_with("bye\n")) << outcome.out;
  expect_gone();
}

// A connection over the container's own loopback interface.
TEST_F(VmCheckpoint, EstablishedConnectionsAreTakenWhereThatIsAskedFor) {
  CLOCHE_NEEDS(needs::program("criu"));
  auto box = counting(
      "busybox sleep 1000 | busybox nc -l -p 77 >/count & busybox sleep 1; "
      "i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done | busybox nc 127.0.0.1 77");
  ASSERT_TRUE(start_detached(box).ok());
  ASSERT_TRUE(counts_beyond(box, 3)) << text_of(scratch() + "/err");
  const Outcome refused = checkpoint();
  EXPECT_FALSE(refused.ok());
  EXPECT_NE(refused.err.find("Connected TCP socket"), std::string::npos) << refused.err;
  EXPECT_NE(refused.err.find("(its log is " + images() + "/dump.log)"), std::string::npos) << refused.err;
  EXPECT_EQ(status(), "running");
  EXPECT_TRUE(counts_beyond(box, count(box)));
  const Outcome dumped = checkpoint({"--tcp-established"});
  ASSERT_TRUE(dumped.ok()) << dumped.describe();
  const int64_t before = count(box);
  const Outcome restored = restore(box, "box", {"--tcp-established"});
  ASSERT_TRUE(restored.ok()) << restored.describe();
  EXPECT_TRUE(counts_beyond(box, before + 3));
  stop();
  EXPECT_TRUE(runtime({"delete", "box"}).ok());
}

// A network is made for a container by such a hook.
TEST_F(VmCheckpoint, HooksAreRunWhenTheNamespacesAreThere) {
  CLOCHE_NEEDS(needs::program("criu"));
  auto box = counting();
  const std::string says = scratch() + "/hook-";
  box.config.hooks.emplace().createRuntime.push_back(
      {.path = "/bin/sh",
       .args = {"sh", "-ec",
                fmt::format("cat >{0}state; pid=$(grep -o '\"pid\": *[0-9]*' {0}state | grep -o '[0-9]*'); "
                            "readlink /proc/$pid/ns/net >{0}network; "
                            "nsenter --net=/proc/$pid/ns/net ip link add eth7 type veth peer name eth8",
                            says)},
       .env = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}});
  const auto devices = [](const std::string& pid) {
    return shell("nsenter --net=/proc/" + pid + "/ns/net ip -o link").out;
  };
  ASSERT_TRUE(start_detached(box).ok());
  ASSERT_TRUE(counts_beyond(box, 3));
  ASSERT_TRUE(devices(member(runtime({"state", "box"}).out, ".pid")).contains("eth7"));
  ASSERT_TRUE(checkpoint({"--empty-ns", "network"}).ok());
  const int64_t before = count(box);
  for (const char* file : {"state", "network"}) ASSERT_TRUE(fs::remove(says + file)) << file;

  const Outcome restored = restore_elsewhere(box, {"--empty-ns", "network"});
  ASSERT_TRUE(restored.ok()) << restored.describe();
  EXPECT_TRUE(counts_beyond(box, before));
  const std::string pid = member(runtime({"state", "other"}).out, ".pid");
  const std::string told = text_of(says + "state");
  EXPECT_EQ(member(told, ".id"), "other") << told;
  EXPECT_EQ(member(told, ".pid"), pid) << told;
  EXPECT_EQ(member(told, ".status"), "creating") << told;
  EXPECT_EQ(text_of(says + "network"), fs::read_symlink("/proc/" + pid + "/ns/net").string() + "\n");
  EXPECT_NE(fs::read_symlink("/proc/" + pid + "/ns/net"), fs::read_symlink("/proc/self/ns/net"));
  EXPECT_TRUE(devices(pid).contains("eth7")) << devices(pid);
  end("other");
}

TEST_F(VmCheckpoint, AHookThatFailsOrLosesItsRuntimeEndsTheRestore) {
  CLOCHE_NEEDS(needs::program("criu"));
  constexpr char kCriuThere[] = "grep -qx criu /proc/[0-9]*/comm";
  auto box = counting();
  ASSERT_TRUE(start_detached(box).ok());
  ASSERT_TRUE(counts_beyond(box, 3));
  ASSERT_TRUE(checkpoint().ok());
  const std::string cgroup = "/sys/fs/cgroup/vm-checkpoint-3", says = scratch() + "/hook-";
  box.config.linux_->cgroupsPath = "/vm-checkpoint-3";
  box.config.hooks.emplace().createRuntime.push_back(
      {.path = "/bin/sh", .args = {"sh", "-c", "echo no bridge >&2; exit 3"}});
  const Outcome failed = restore(box, "third");
  EXPECT_FALSE(failed.ok());
  for (const char* word : {"createRuntime hook 1 of 1", "it ended with status 3", "no bridge"})
    EXPECT_NE(failed.err.find(word), std::string::npos) << word << ": " << failed.err;
  EXPECT_EQ(status("third"), "");
  EXPECT_FALSE(fs::exists(cgroup));
  EXPECT_FALSE(shell(kCriuThere).ok());

  // Killed while a hook runs: criu hears of it, and takes back what it has made.
  box.config.hooks->createRuntime.front().args = {
      "sh", "-c", fmt::format("echo $PPID $$ >{0}new; mv {0}new {0}pids; exec sleep 1000", says)};
  box.write();
  std::vector<std::string> killed{
      "sh", "-c",
      fmt::format("\"$@\" </dev/null >/dev/null 2>{0}errors & "
                  "until read runtime hook <{0}pids; do kill -0 $! || exit 1; sleep 0.1; done; "
                  "{1} || exit 2; {2} >{0}status; kill -9 $runtime $hook; wait $!",
                  says, kCriuThere, fmt::join(command({"state", "third"}), " ")),
      "sh"};
  for (std::string& word : command({"restore", "--detach", "-no-subreaper", "--bundle", box.path(),
                                    "--image-path", images(), "third"}))
    killed.push_back(std::move(word));
  EXPECT_EQ(test::run({.argv = killed}).exit_code, 137) << text_of(says + "errors");
  EXPECT_EQ(member(text_of(says + "status"), ".status"), "creating");
  const auto gone = [&] {
    while (waitpid(-1, nullptr, WNOHANG) > 0) {
    }  // they are ours now
    return !shell(kCriuThere).ok() && text_of(cgroup + "/cgroup.procs").empty();
  };
  for (int tries = 0; tries < 300 && !gone(); ++tries) poll(nullptr, 0, 100);
  EXPECT_TRUE(gone());
  EXPECT_TRUE(runtime({"delete", "--force", "third"}).ok());
  EXPECT_EQ(status("third"), "");
  EXPECT_FALSE(fs::exists(cgroup));
}

TEST_F(VmCheckpoint, ARestoreThatFailsLeavesNothingAndIsExplained) {
  CLOCHE_NEEDS(needs::program("criu"));
  auto box = counting();
  ASSERT_TRUE(start_detached(box).ok());
  ASSERT_TRUE(counts_beyond(box, 0));
  ASSERT_TRUE(checkpoint().ok());
  fs::remove(images() + "/pages-1.img");
  const Outcome failed = restore(box);
  EXPECT_EQ(failed.exit_code, 1) << failed.describe();
  EXPECT_NE(failed.err.find("criu restore refused: "), std::string::npos) << failed.err;
  EXPECT_NE(failed.err.find("(its log is " + images() + "/restore.log)"), std::string::npos) << failed.err;
  expect_gone();
  const std::string told = runtime({"explain", "box"}).out;
  EXPECT_NE(told.find("could not restore container \"box\""), std::string::npos) << told;
  EXPECT_NE(told.find("remove the cgroup /sys/fs/cgroup/vm-checkpoint"), std::string::npos) << told;
}

}  // namespace
}  // namespace cloche::test
