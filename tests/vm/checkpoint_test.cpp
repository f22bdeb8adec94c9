// `cloche-runtime checkpoint` and `restore` with the real criu(8), which needs a kernel that it knows: the guest's.
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "support/bundle.h"
#include "support/needs.h"
#include "sys/fd.h"
#include "vm/counters.h"

namespace cloche::test {
namespace {

namespace fs = std::filesystem;

// Counts in memory; the file only shows it.
const std::string kCount =
    "i=0; while :; do i=$((i+1)); echo $i >/count.new; mv /count.new /count; sleep 0.1; done";
// The shell has the stream that it was given under another number for as long as that runs.
const std::string kCountElsewhere = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done >/count";

class VmCheckpoint : public RuntimeTest {
 protected:
  Bundle counting(const std::string& script = kCount) {
    auto box = bundle({"sh", "-c", script});
    box.config.root->readonly = false;
    box.config.linux_->cgroupsPath = "/vm-checkpoint";
    box.config.linux_->resources.emplace();
    box.config.linux_->resources->pids = {.limit = 50};
    if (!fs::exists(box.rootfs() + "/bin/mv")) fs::create_symlink("busybox", box.rootfs() + "/bin/mv");
    return box;
  }
  static int64_t count(const Bundle& box) {
    std::string text = text_of(box.rootfs() + "/count");
    text.erase(text.rfind('\n') == std::string::npos ? 0 : text.rfind('\n'));
    const size_t line = text.rfind('\n');
    return std::strtoll(text.c_str() + (line == std::string::npos ? 0 : line + 1), nullptr, 10);
  }
  static bool counts_beyond(const Bundle& box, int64_t number) {
    for (int tries = 0; tries < 300; ++tries) {
      if (count(box) > number) return true;
      poll(nullptr, 0, 100);
    }
    return false;
  }
  [[nodiscard]] std::string images(const std::string& name = "images") { return scratch() + "/" + name; }
  Outcome checkpoint(std::vector<std::string> flags = {}) {
    std::vector<std::string> words{"checkpoint", "--image-path", images()};
    words.insert(words.end(), flags.begin(), flags.end());
    words.emplace_back("box");
    return runtime(std::move(words));
  }
  Outcome restore(const Bundle& box, const std::string& id = "box", std::vector<std::string> flags = {}) {
    box.write();
    std::vector<std::string> words{"restore",  "--detach",     "-no-subreaper", "--bundle",
                                   box.path(), "--image-path", images()};
    words.insert(words.end(), flags.begin(), flags.end());
    words.push_back(id);
    // Files, as its own streams were: criu gives back nothing else.
    std::vector<std::string> argv{
        "sh", "-c", "dir=$1; shift; exec \"$@\" </dev/null >\"$dir/out2\" 2>\"$dir/err2\"", "sh", scratch()};
    for (std::string& word : command(std::move(words))) argv.push_back(std::move(word));
    Outcome outcome = test::run({.argv = argv});
    outcome.err = text_of(scratch() + "/err2");
    return outcome;
  }
  Outcome restore_elsewhere(Bundle& box, std::vector<std::string> flags = {}) {
    box.config.linux_->cgroupsPath = "/vm-checkpoint-2";
    return restore(box, "other", std::move(flags));
  }
  void end(const std::string& id) {
    stop(id);
    EXPECT_TRUE(runtime({"delete", id}).ok());
    EXPECT_EQ(status(id), "");
  }
  // Nothing of it: no state, no cgroup.
  void expect_gone() {
    EXPECT_EQ(status(), "");
    EXPECT_FALSE(fs::exists("/sys/fs/cgroup/vm-checkpoint"));
  }
};

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

// As docs/checkpoint.md says it is done, with both sides on this machine.
TEST_F(VmCheckpoint, LazyPagesAreFetchedWhileTheRestoredContainerRuns) {
  CLOCHE_NEEDS(needs::program("criu"));
  auto box = counting(kCountElsewhere);
  ASSERT_TRUE(start_detached(box).ok());
  ASSERT_TRUE(counts_beyond(box, 3));
  const std::string ready = scratch() + "/ready";
  ASSERT_TRUE(shell("mkfifo " + ready).ok());
  std::vector<std::string> argv{"sh", "-c", "exec \"$@\" 7>\"$0\"", ready};
  for (std::string& word : command({"checkpoint", "--image-path", images(), "--lazy-pages", "--page-server",
                                    "127.0.0.1:7777", "--status-fd", "7", "box"}))
    argv.push_back(std::move(word));
  Running dump({.argv = argv});
  EXPECT_EQ(shell("od -An -tx1 " + ready).out, " 00\n") << "one byte, and its end";
  const int64_t before = count(box);
  EXPECT_TRUE(fs::exists(images() + "/inventory.img") && fs::exists(images() + "/descriptors.json"));
  expect_refusal(runtime({"delete", "box"}), "not stopped but running");  // and does not wait

  Running pages({.argv = {"criu", "lazy-pages", "--page-server", "--address", "127.0.0.1", "--port", "7777",
                          "--images-dir", images(), "--status-fd", "1"}});
  ASSERT_TRUE(pages.wait_for_output(std::string(1, '\0'))) << pages.so_far().describe();
  const Outcome restored = restore_elsewhere(box, {"--lazy-pages"});
  ASSERT_TRUE(restored.ok()) << restored.describe() << text_of(images() + "/restore.log");
  const Outcome fetched = pages.finish();
  EXPECT_TRUE(fetched.ok()) << fetched.describe();
  const Outcome dumped = dump.finish();
  EXPECT_TRUE(dumped.ok()) << dumped.describe();
  expect_gone();
  EXPECT_TRUE(counts_beyond(box, before));
  end("other");
}

TEST_F(VmCheckpoint, TwoAreRestoredFromOneImageDirectoryAtATime) {
  CLOCHE_NEEDS(needs::program("criu"));
  auto box = counting(kCountElsewhere);
  ASSERT_TRUE(start_detached(box).ok());
  ASSERT_TRUE(counts_beyond(box, 0));
  const Outcome dumped = checkpoint();
  ASSERT_TRUE(dumped.ok()) << dumped.describe();
  // A criu that is at it until both are.
  const std::string meet = scratch() + "/criu";
  std::ofstream(meet) << "#!/bin/sh\n: >" << scratch() << "/at.$$\n"
                      << "until [ $(ls " << scratch() << "/at.* | wc -l) = 2 ]; do sleep 0.1; done\n"
                      << "exec criu \"$@\"\n";
  fs::permissions(meet, fs::perms(0755));
  auto other = bundle({"sh"}, "other");
  other.config = box.config;
  other.config.linux_->cgroupsPath = "/vm-checkpoint-2";
  fs::copy(box.rootfs(), other.rootfs(), fs::copy_options::recursive | fs::copy_options::overwrite_existing);
  const auto restoring = [&](const Bundle& from, const std::string& id) {
    from.write();
    std::vector<std::string> argv{"sh", "-c", "exec \"$@\" </dev/null >\"$0\" 2>&1",
                                  scratch() + "/said-" + id};
    for (std::string& word : command(
             {"--criu", meet, "restore", "--detach", "--bundle", from.path(), "--image-path", images(), id}))
      argv.push_back(std::move(word));
    return Running({.argv = argv});
  };
  Running first = restoring(box, "box");
  Running second = restoring(other, "other");
  EXPECT_TRUE(first.finish().ok()) << text_of(scratch() + "/said-box");
  EXPECT_TRUE(second.finish().ok()) << text_of(scratch() + "/said-other");
  EXPECT_TRUE(counts_beyond(box, count(box)));
  EXPECT_TRUE(counts_beyond(other, count(other)));
  EXPECT_FALSE(fs::exists(state_root() + "/box/criu"));
  end("box");
  end("other");
}

// A lock, a connection to a socket of the host's, and memory that goes to a page server.
TEST_F(VmCheckpoint, LocksAndSocketsOfTheHostAreTakenWhereThatIsAskedFor) {
  CLOCHE_NEEDS(needs::program("criu"));
  CLOCHE_NEEDS(needs::program("perl"));
  const std::string socket_path = scratch() + "/log/socket";
  fs::create_directory(scratch() + "/log");
  const sys::Fd log(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  ASSERT_LT(socket_path.size(), sizeof address.sun_path);
  socket_path.copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(bind(log.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  const auto logged = [&]() {
    char text[32] = {};
    pollfd there{.fd = log.get(), .events = POLLIN, .revents = 0};
    if (poll(&there, 1, 30000) != 1 || recv(log.get(), text, sizeof text - 1, 0) <= 0) return int64_t{-1};
    return static_cast<int64_t>(std::strtoll(text, nullptr, 10));
  };
  auto box = counting();
  // criu looks for a socket's peer in the container's network namespace: here it is the host's.
  std::erase_if(box.config.linux_->namespaces, [](const auto& entry) { return entry.type == "network"; });
  box.config.process->args = {"/usr/bin/perl", "-MSocket", "-e",
                              "open(F, '>', '/lock'); flock(F, 2); socket(S, AF_UNIX, SOCK_DGRAM, 0); "
                              "connect(S, sockaddr_un($ARGV[0]));"
                              "while (1) { send(S, ++$i, 0); select(undef, undef, undef, 0.2); }",
                              socket_path};
  for (const std::string& path : {std::string("/usr"), scratch() + "/log"})
    box.config.mounts.push_back({.destination = path, .type = "bind", .source = path, .options = {"bind"}});
  for (const char* lib : {"lib", "lib64"})
    fs::create_symlink("usr/" + std::string(lib), box.rootfs() + "/" + lib);
  ASSERT_TRUE(start_detached(box).ok());
  ASSERT_GT(logged(), 0) << text_of(scratch() + "/err");
  const std::string lock_refused = checkpoint().err;
  EXPECT_NE(lock_refused.find("--file-locks"), std::string::npos) << lock_refused;
  const std::string socket_refused = checkpoint({"--file-locks"}).err;
  EXPECT_NE(socket_refused.find("--ext-unix-sk"), std::string::npos) << socket_refused;
  fs::remove_all(images());

  fs::create_directories(images("pages"));
  const Outcome server = test::run({.argv = {"criu", "page-server", "--address", "127.0.0.1", "--port",
                                             "7778", "--images-dir", images("pages"), "--daemon"}});
  ASSERT_TRUE(server.ok()) << server.describe();
  const Outcome dumped = checkpoint({"--file-locks", "--ext-unix-sk", "--page-server", "127.0.0.1:7778"});
  ASSERT_TRUE(dumped.ok()) << dumped.describe();
  EXPECT_FALSE(fs::exists(images() + "/pages-1.img"));
  fs::copy(images("pages"), images(), fs::copy_options::recursive);
  int64_t before = 0;
  while (recv(log.get(), nullptr, 0, MSG_PEEK | MSG_DONTWAIT) >= 0) before = logged();
  EXPECT_TRUE(shell("flock -n " + box.rootfs() + "/lock true").ok());
  const Outcome restored = restore(box, "box", {"--file-locks", "--ext-unix-sk"});
  ASSERT_TRUE(restored.ok()) << restored.describe();
  EXPECT_GT(logged(), before);
  EXPECT_FALSE(shell("flock -n " + box.rootfs() + "/lock true").ok());
  end("box");
}

TEST_F(VmCheckpoint, ATerminalIsTheRestorersAndControlsTheSession) {
  CLOCHE_NEEDS(needs::program("criu"));
  auto box =
      counting("trap 'echo interrupted; exit 5' INT; while :; do read line && echo \"got $line\"; done");
  box.config.process->terminal = true;
  box.write();
  Running first({.argv = command({"run", "--bundle", box.path(), "box"})});
  first.send_input("one\n");
  ASSERT_TRUE(first.wait_for_output("got one")) << first.so_far().describe();
  const Outcome dumped = checkpoint();
  ASSERT_TRUE(dumped.ok()) << dumped.describe();
  EXPECT_EQ(first.finish().exit_code, 137);

  Running second({.argv = command({"restore", "--bundle", box.path(), "--image-path", images(), "box"})});
  second.send_input("two\n");
  ASSERT_TRUE(second.wait_for_output("got two")) << second.so_far().describe();
  EXPECT_TRUE(runtime({"exec", "box", "sh", "-c", "echo said >/dev/console"}).ok());
  EXPECT_TRUE(second.wait_for_output("said"));
  second.send_input("\x03");
  EXPECT_TRUE(second.wait_for_output("interrupted"));
  EXPECT_EQ(second.finish().exit_code, 5);
  expect_gone();
}

// Without a terminal of its own the container has its caller's.
TEST_F(VmCheckpoint, AShellJobsTerminalIsTheRestorers) {
  CLOCHE_NEEDS(needs::program("criu"));
  CLOCHE_NEEDS(needs::program("script"));
  auto box = counting("while read line; do echo \"got $line\"; [ \"$line\" != end ] || exit 6; done");
  box.write();
  const auto in_terminal = [&](std::vector<std::string> words) {
    std::string line;
    for (const std::string& word : command(std::move(words))) line += word + " ";
    return Running({.argv = {"script", "-qec", line, "/dev/null"}});
  };
  Running first = in_terminal({"run", "--bundle", box.path(), "box"});
  first.send_input("one\n");
  ASSERT_TRUE(first.wait_for_output("got one")) << first.so_far().describe();
  const Outcome dumped = checkpoint({"--shell-job"});
  ASSERT_TRUE(dumped.ok()) << dumped.describe();
  EXPECT_EQ(first.finish().exit_code, 137);
  Running second =
      in_terminal({"restore", "--shell-job", "--bundle", box.path(), "--image-path", images(), "box"});
  second.send_input("two\nend\n");
  EXPECT_TRUE(second.wait_for_output("got two")) << second.so_far().describe();
  EXPECT_EQ(second.finish().exit_code, 6);
  expect_gone();
}

}  // namespace
}  // namespace cloche::test
