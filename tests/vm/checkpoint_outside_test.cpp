// What is not the container's own when it is dumped: memory elsewhere, locks, sockets and terminals.
#include <sys/socket.h>

#include <fstream>

#include "support/unix_socket.h"
#include "vm/checkpoint.h"

namespace cloche::test {
namespace {

namespace fs = std::filesystem;

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
                      << "i=0; until [ $(ls " << scratch() << "/at.* | wc -l) = 2 ] || [ $i = 300 ]; do\n"
                      << "  i=$((i + 1)); sleep 0.1; done\n"
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
  const sys::Fd log = bound_socket(socket_path, SOCK_DGRAM);
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
  auto box = counting(kAnswer);
  box.config.process->terminal = true;
  box.write();
  std::optional<Running> second;
  ASSERT_NO_FATAL_FAILURE(bring_over(box, second));
  EXPECT_TRUE(runtime({"exec", "box", "sh", "-c", "echo said >/dev/console"}).ok());
  EXPECT_TRUE(second->wait_for_output("said"));
  interrupt(*second);
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
  Running second = in_terminal({"restore", "--bundle", box.path(), "--image-path", images(), "box"});
  second.send_input("two\nend\n");
  EXPECT_TRUE(second.wait_for_output("got two")) << second.so_far().describe();
  EXPECT_EQ(second.finish().exit_code, 6);
  expect_gone();
}

}  // namespace
}  // namespace cloche::test
