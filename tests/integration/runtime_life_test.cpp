// A container's life through cloche-runtime: what each command does in each state.
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <regex>

#include "support/bundle.h"
#include "support/files.h"
#include "support/needs.h"
#include "support/unix_socket.h"

namespace cloche::test {
namespace {

class RuntimeLife : public RuntimeTest {};

TEST_F(RuntimeLife, RunGivesTheCommandsOwnExitCodeAndOutput) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"sh", "-c", "echo out; echo err >&2; exit 7"});
  const Outcome outcome = run(box);
  EXPECT_EQ(outcome.exit_code, 7) << outcome.describe();
  EXPECT_EQ(outcome.out, "out\n");
  EXPECT_EQ(outcome.err, "err\n");
  EXPECT_EQ(runtime({"list", "-q"}).out, "");
}

TEST_F(RuntimeLife, RunReportsTheSignalThatEndedTheCommand) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"sh", "-c", "sh -c 'kill -9 $$'; exit $?"});
  EXPECT_EQ(run(box).exit_code, 137);
}

TEST_F(RuntimeLife, RunForwardsSignals) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"sh", "-c", "trap 'echo heard; exit 3' USR1; echo ready; while :; do sleep 0.01; done"});
  box.write();
  Running running({.argv = command({"run", "--bundle", box.path(), "box"})});
  ASSERT_TRUE(running.wait_for_output("ready"));
  running.signal(SIGUSR1);
  const Outcome outcome = running.finish();
  EXPECT_EQ(outcome.exit_code, 3) << outcome.describe();
  EXPECT_NE(outcome.out.find("heard"), std::string::npos);
}

TEST_F(RuntimeLife, CreatedRunningStopped) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"sleep", "1000"});
  box.config.annotations["org.example/key"] = "a \"value\"";
  const Outcome created = create(box, "box", {"--pid-file", scratch() + "/pid"});
  ASSERT_TRUE(created.ok()) << created.describe();
  const std::string state = runtime({"state", "box"}).out;
  EXPECT_EQ(member(state, ".status"), "created");
  EXPECT_EQ(member(state, ".id"), "box");
  EXPECT_EQ(member(state, ".ociVersion"), "1.2.0");
  EXPECT_EQ(member(state, ".bundle"), box.path());
  EXPECT_EQ(member(state, ".rootfs"), box.rootfs());
  EXPECT_EQ(member(state, ".owner"), "root");
  EXPECT_EQ(member(state, ".annotations[\"org.example/key\"]"), "a \"value\"");
  EXPECT_EQ(member(state, ".pid"), text_of(scratch() + "/pid"));
  EXPECT_EQ(member(state, ".created | test(\"^[0-9-]{10}T[0-9:]{8}\\\\.[0-9]{9}Z$\")"), "true");
  ASSERT_TRUE(runtime({"start", "box"}).ok());
  EXPECT_EQ(status(), "running");
  stop();
  EXPECT_EQ(member(runtime({"state", "box"}).out, ".pid"), "0");
  EXPECT_TRUE(runtime({"delete", "box"}).ok());
  EXPECT_FALSE(std::filesystem::exists(state_root() + "/box"));
}

TEST_F(RuntimeLife, TheCommandRunsOnlyAfterStart) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"sh", "-c", "echo ran"});
  ASSERT_TRUE(create(box).ok());
  EXPECT_EQ(output(), "");
  ASSERT_TRUE(runtime({"start", "box"}).ok());
  EXPECT_TRUE(reaches("stopped"));
  EXPECT_EQ(output(), "ran\n");
  EXPECT_TRUE(runtime({"delete", "box"}).ok());
}

TEST_F(RuntimeLife, WhatDoesNotFitTheStateIsRefused) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"sleep", "1000"});
  ASSERT_TRUE(create(box).ok());
  EXPECT_NE(create(box).err.find("exists already"), std::string::npos);
  ASSERT_TRUE(runtime({"start", "box"}).ok());
  const Outcome again = runtime({"start", "box"});
  EXPECT_EQ(again.exit_code, 1);
  EXPECT_NE(again.err.find("running already"), std::string::npos) << again.err;
  const Outcome refused = runtime({"delete", "box"});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_NE(refused.err.find("not stopped but running"), std::string::npos) << refused.err;
  EXPECT_EQ(status(), "running");
  stop();
  const Outcome late = runtime({"start", "box"});
  EXPECT_EQ(late.exit_code, 1);
  EXPECT_NE(late.err.find("has stopped"), std::string::npos) << late.err;
  const Outcome dead = runtime({"kill", "box", "TERM"});
  EXPECT_EQ(dead.exit_code, 1);
  EXPECT_NE(dead.err.find("container not running"), std::string::npos) << dead.err;
  EXPECT_TRUE(runtime({"delete", "box"}).ok());
  for (const char* verb : {"start", "state", "delete", "pause", "resume", "ps"}) {
    const Outcome missing = runtime({verb, "box"});
    EXPECT_EQ(missing.exit_code, 1) << verb;
    EXPECT_NE(missing.err.find("does not exist"), std::string::npos) << missing.err;
  }
  EXPECT_TRUE(runtime({"delete", "--force", "box"}).ok());
}

TEST_F(RuntimeLife, DeleteEndsACreatedOneAndForceARunningOne) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"sleep", "1000"});
  ASSERT_TRUE(create(box).ok());
  EXPECT_TRUE(runtime({"delete", "box"}).ok());
  ASSERT_TRUE(start_detached(box).ok());
  EXPECT_TRUE(runtime({"delete", "-f", "box"}).ok());
  EXPECT_EQ(status(), "");
}

TEST_F(RuntimeLife, KillTakesNamesAndNumbersAndAll) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle(
      {"sh", "-c", "trap 'echo usr1' USR1; trap 'exit 0' TERM; echo ready; while :; do sleep 0.01; done"});
  ASSERT_TRUE(start_detached(box).ok());
  ASSERT_TRUE(says("ready"));
  for (const char* name : {"USR1", "SIGUSR1", "10", "usr1"})
    EXPECT_TRUE(runtime({"kill", "box", name}).ok()) << name;
  EXPECT_TRUE(runtime({"kill", "box", "0"}).ok());
  const Outcome unknown = runtime({"kill", "box", "NOSUCH"});
  EXPECT_EQ(unknown.exit_code, 1);
  EXPECT_NE(unknown.err.find("unknown signal \"NOSUCH\""), std::string::npos);
  ASSERT_TRUE(says("usr1"));
  EXPECT_TRUE(runtime({"kill", "--all", "box", "TERM"}).ok());
  EXPECT_TRUE(reaches("stopped"));
  EXPECT_TRUE(runtime({"kill", "--all", "box", "KILL"}).ok())
      << "nothing is left to kill, and that is no error";
  EXPECT_TRUE(runtime({"delete", "box"}).ok());
}

TEST_F(RuntimeLife, PausedAndResumed) {
  CLOCHE_NEEDS(needs::root());
  CLOCHE_NEEDS(needs::cgroup2());
  auto box = bundle({"sleep", "1000"});
  ASSERT_TRUE(start_detached(box).ok());
  EXPECT_EQ(runtime({"resume", "box"}).exit_code, 1) << "it is not paused";
  ASSERT_TRUE(runtime({"pause", "box"}).ok());
  EXPECT_EQ(status(), "paused");
  EXPECT_EQ(runtime({"exec", "box", "true"}).exit_code, 255);
  EXPECT_EQ(runtime({"delete", "box"}).exit_code, 1);
  ASSERT_TRUE(runtime({"resume", "box"}).ok());
  EXPECT_EQ(status(), "running");
  ASSERT_TRUE(runtime({"pause", "box"}).ok());
  EXPECT_TRUE(runtime({"delete", "--force", "box"}).ok()) << "a frozen one can be killed too";
}

TEST_F(RuntimeLife, ListAndPs) {
  CLOCHE_NEEDS(needs::root());
  EXPECT_EQ(runtime({"list", "--format", "json"}).out, "[]\n");
  auto box = bundle({"sh", "-c", "sleep 1000; true"});
  ASSERT_TRUE(start_detached(box, "one").ok());
  ASSERT_TRUE(create(box, "two").ok());
  EXPECT_EQ(runtime({"list", "-q"}).out, "one\ntwo\n");
  EXPECT_EQ(member(runtime({"list", "-f", "json"}).out, "map(.id + \"=\" + .status) | join(\" \")"),
            "one=running two=created");
  const std::string table = runtime({"list"}).out;
  EXPECT_NE(table.find("ID "), std::string::npos);
  EXPECT_NE(table.find("running"), std::string::npos);
  const std::string init = member(runtime({"state", "one"}).out, ".pid");
  const std::string pids = runtime({"ps", "--format", "json", "one"}).out;
  EXPECT_EQ(member(pids, "map(. == " + init + ") | any"), "true") << pids;
  EXPECT_NE(runtime({"ps", "one"}).out.find("sleep 1000"), std::string::npos);
  EXPECT_TRUE(runtime({"delete", "-f", "one"}).ok());
  EXPECT_TRUE(runtime({"delete", "-f", "two"}).ok());
}

TEST_F(RuntimeLife, PsTakesOptionsOfPs) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"sh", "-c", "sleep 1000 & echo ready; wait"});
  ASSERT_TRUE(start_detached(box).ok());
  ASSERT_TRUE(says("ready"));
  const std::string init = member(runtime({"state", "box"}).out, ".pid");
  const Outcome full = runtime({"ps", "box", "-ef"});
  EXPECT_TRUE(full.out.starts_with("UID")) << full.describe();
  EXPECT_EQ(std::ranges::count(full.out, '\n'), 3) << full.out;
  const Outcome columns = runtime({"ps", "box", "--", "-e", "-o", "pid,ppid,comm"});
  EXPECT_TRUE(std::regex_search(columns.out, std::regex(" *" + init + " +[0-9]+ sh\n")))
      << columns.describe();
  for (const std::vector<std::string>& odd :
       {std::vector<std::string>{"-e", "-o", "comm"}, {"--no-such-option"}}) {
    std::vector<std::string> words{"ps", "box"};
    words.insert(words.end(), odd.begin(), odd.end());
    const Outcome refused = runtime(words);
    EXPECT_EQ(refused.exit_code, 1);
    EXPECT_EQ(std::ranges::count(refused.err, '\n'), 1) << refused.err;
    EXPECT_NE(refused.err.find("ps"), std::string::npos) << refused.err;
    EXPECT_EQ(refused.out, "");
  }
  EXPECT_TRUE(runtime({"delete", "-f", "box"}).ok());
}

TEST_F(RuntimeLife, KillAndDeleteByPattern) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"sh", "-c", "trap 'exit 0' TERM; echo ready; while :; do sleep 0.01; done"});
  for (const char* id : {"web-1", "web-2", "db"}) {
    ASSERT_TRUE(start_detached(box, id).ok());
    ASSERT_TRUE(says("ready"));
  }
  EXPECT_TRUE(runtime({"kill", "--regex", "^web-[0-9]+$", "TERM"}).ok());
  EXPECT_TRUE(reaches("stopped", "web-1"));
  EXPECT_TRUE(reaches("stopped", "web-2"));
  EXPECT_EQ(status("db"), "running");
  EXPECT_TRUE(runtime({"kill", "-r", "web", "TERM"}).ok()) << "what has stopped needs no signal";

  const Outcome some = runtime({"delete", "-r", "."});
  EXPECT_EQ(some.exit_code, 1);
  EXPECT_EQ(std::ranges::count(some.err, '\n'), 1) << some.err;
  EXPECT_NE(some.err.find("1 of 3 failed: \"db\": "), std::string::npos) << some.err;
  EXPECT_EQ(runtime({"list", "-q"}).out, "db\n");
  EXPECT_TRUE(runtime({"delete", "-f", "-r", "^d"}).ok());
  EXPECT_EQ(runtime({"list", "-q"}).out, "");

  for (const char* verb : {"kill", "delete"}) {
    const Outcome none = runtime({verb, "--regex", "^db$"});
    EXPECT_EQ(none.exit_code, 1);
    EXPECT_NE(none.err.find("no container's id fits \"^db$\""), std::string::npos) << none.err;
    const Outcome wrong = runtime({verb, "--regex", "("});
    EXPECT_EQ(wrong.exit_code, 1);
    EXPECT_NE(wrong.err.find("is no regular expression"), std::string::npos) << wrong.err;
  }
  EXPECT_TRUE(runtime({"delete", "--force", "--regex", "."}).ok());
}

TEST_F(RuntimeLife, AnotherFileThanConfigJson) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"echo", "of another file"});
  box.write();
  std::filesystem::rename(box.path() + "/config.json", scratch() + "/other.json");
  const Outcome ran = runtime({"run", "--bundle", box.path(), "--config", scratch() + "/other.json", "box"});
  EXPECT_EQ(ran.out, "of another file\n") << ran.describe();
  EXPECT_NE(runtime({"explain", "--bundle", box.path(), "--config", scratch() + "/other.json", "box"})
                .out.find("of another file"),
            std::string::npos);
  std::ofstream(scratch() + "/wrong.json") << R"({"ociVersion": 3})";
  const Outcome wrong = runtime({"run", "-b", box.path(), "-f", scratch() + "/wrong.json", "box"});
  EXPECT_EQ(wrong.exit_code, 1);
  EXPECT_NE(wrong.err.find("wrong.json: ociVersion"), std::string::npos) << wrong.err;

  EXPECT_TRUE(runtime({"spec", "-b", box.path(), "--file", "third.json"}).ok());
  EXPECT_TRUE(std::filesystem::exists(box.path() + "/third.json"));
  EXPECT_EQ(runtime({"spec", "--file", box.path() + "/third.json"}).exit_code, 1) << "never over another";
}

TEST_F(RuntimeLife, TheTerminalIsSentOverTheConsoleSocket) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"sh", "-c", "tty; stty size; exec sleep 1000"});
  box.config.process->terminal = true;
  box.config.process->consoleSize = spec::Box{.height = 33, .width = 99};
  EXPECT_NE(create(box).err.find("cannot allocate tty"), std::string::npos)
      << "a detached one needs the socket";

  const std::string path = scratch() + "/console";
  const sys::Fd listener = bound_socket(path, SOCK_STREAM);
  ASSERT_EQ(listen(listener.get(), 1), 0);
  const Outcome created = create(box, "box", {"--console-socket", path});
  ASSERT_TRUE(created.ok()) << created.describe();
  const sys::Fd master = sent_descriptor(listener);
  ASSERT_TRUE(runtime({"start", "box"}).ok());
  std::string text;
  char bytes[256];
  while (text.find("33 99") == std::string::npos) {
    const ssize_t got = read(master.get(), bytes, sizeof bytes);
    ASSERT_GT(got, 0) << text;
    text.append(bytes, static_cast<size_t>(got));
  }
  EXPECT_NE(text.find("/dev/pts/0"), std::string::npos) << text;
  EXPECT_TRUE(runtime({"delete", "-f", "box"}).ok());
}

TEST_F(RuntimeLife, ATerminalIsRelayedInTheForeground) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"sh", "-c", "test -t 0 && test -t 1 && read line && echo \"got $line\""});
  box.config.process->terminal = true;
  box.write();
  const Outcome outcome =
      test::run({.argv = command({"run", "--bundle", box.path(), "box"}), .input = "word\n"});
  EXPECT_TRUE(outcome.ok()) << outcome.describe();
  EXPECT_NE(outcome.out.find("got word"), std::string::npos) << outcome.describe();
}

TEST_F(RuntimeLife, TheIdCannotLeaveTheStateDirectory) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"true"});
  for (const std::string& id : {std::string(".."), std::string("."), std::string("a/b"), std::string("../x"),
                                std::string("a b"), std::string(300, 'a'), std::string("")}) {
    const Outcome outcome = create(box, id);
    EXPECT_EQ(outcome.exit_code, 1) << id;
    EXPECT_EQ(outcome.err.find("/proc"), std::string::npos);
    EXPECT_EQ(runtime({"delete", "--force", id}).exit_code == 0, false) << id;
  }
  EXPECT_TRUE(run(box, "Az9_+-.x").ok());
}

// Two starts at once: one runs it, the other one is told.
TEST_F(RuntimeLife, OnlyOneOfTwoStartsSucceeds) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"sleep", "1000"});
  for (int round = 0; round < 5; ++round) {
    ASSERT_TRUE(create(box).ok());
    Running first({.argv = command({"start", "box"})});
    Running second({.argv = command({"start", "box"})});
    const bool one = first.finish().ok(), two = second.finish().ok();
    EXPECT_NE(one, two);
    EXPECT_TRUE(runtime({"delete", "-f", "box"}).ok());
  }
}

// A frozen process never hears `start`.
TEST_F(RuntimeLife, ACreatedOneCanBePaused) {
  CLOCHE_NEEDS(needs::root());
  CLOCHE_NEEDS(needs::cgroup2());
  auto box = bundle({"sleep", "1000"});
  ASSERT_TRUE(create(box).ok());
  ASSERT_TRUE(runtime({"pause", "box"}).ok());
  EXPECT_EQ(status(), "paused");
  const Outcome refused = runtime({"start", "box"});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_NE(refused.err.find("it is paused"), std::string::npos) << refused.err;
  ASSERT_TRUE(runtime({"resume", "box"}).ok());
  EXPECT_EQ(status(), "created");
  ASSERT_TRUE(runtime({"start", "box"}).ok());
  EXPECT_EQ(status(), "running");
  EXPECT_TRUE(runtime({"delete", "-f", "box"}).ok());
  ASSERT_TRUE(create(box).ok());
  ASSERT_TRUE(runtime({"pause", "box"}).ok());
  EXPECT_TRUE(runtime({"delete", "-f", "box"}).ok()) << "a frozen one that waits can be killed too";
}

// Each container of the id is deleted by one of them, and no `delete` touches the next one.
TEST_F(RuntimeLife, DeletesAndCreationsOfOneIdAtATime) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"sleep", "1000"});
  box.write();
  const auto loop = [&](const std::string& log, const std::string& body) {
    std::vector<std::string> argv{"sh",
                                  "-c",
                                  "log=$1; bundle=$2; shift 2; i=0; while [ $i -lt 40 ]; do i=$((i+1)); " +
                                      body + "; done </dev/null >/dev/null 2>>\"$log\"",
                                  "sh",
                                  scratch() + "/" + log,
                                  box.path()};
    for (std::string& word : command({})) argv.push_back(std::move(word));
    return Command{.argv = std::move(argv)};
  };
  const std::string deleting = "\"$@\" delete --force box";
  {
    Running creates(loop("create", "\"$@\" create --bundle \"$bundle\" box && \"$@\" start box"));
    Running first(loop("delete1", deleting));
    Running second(loop("delete2", deleting));
    for (Running* running : {&creates, &first, &second}) EXPECT_FALSE(running->finish().timed_out);
  }
  EXPECT_EQ(text_of(scratch() + "/delete1"), "");
  EXPECT_EQ(text_of(scratch() + "/delete2"), "");
  std::ifstream log(scratch() + "/create");
  for (std::string line; std::getline(log, line);)
    EXPECT_TRUE(line.find("does not exist") != std::string::npos ||
                line.find("exists already") != std::string::npos)
        << line;
  EXPECT_TRUE(runtime({"delete", "--force", "box"}).ok());
  EXPECT_FALSE(std::filesystem::exists(state_root() + "/box"));
}

// A run in the foreground that somebody else deletes has nothing to remove any more.
TEST_F(RuntimeLife, ADeletedForegroundRunEndsWithItsCommand) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"sh", "-c", "echo ready; exec sleep 1000"});
  box.write();
  Running running({.argv = command({"run", "--bundle", box.path(), "box"})});
  ASSERT_TRUE(running.wait_for_output("ready"));
  EXPECT_TRUE(runtime({"delete", "--force", "box"}).ok());
  const Outcome outcome = running.finish();
  EXPECT_EQ(outcome.exit_code, 137) << outcome.describe();
  EXPECT_EQ(outcome.err, "");
  EXPECT_FALSE(std::filesystem::exists(state_root() + "/box"));
}

}  // namespace
}  // namespace cloche::test
