// `checkpoint` and `restore`: their flags, what is refused, and how criu is called. In criu's place is a script: what the
// real one does with a container is tests/vm/checkpoint*_test.cpp.
#include <algorithm>
#include <filesystem>
#include <fstream>

#include "support/bundle.h"
#include "support/files.h"
#include "support/needs.h"

namespace cloche::test {
namespace {

namespace fs = std::filesystem;

class RuntimeCheckpoint : public RuntimeTest {
 protected:
  std::string criu(const std::string& script) {
    std::string path = scratch() + "/criu";
    std::ofstream(path) << "#!/bin/sh\n" << script;
    fs::permissions(path, fs::perms(0755));
    return path;
  }
  [[nodiscard]] std::string images() { return scratch() + "/images"; }
  Outcome checkpoint(std::vector<std::string> flags, const std::string& program = "/no/such/criu") {
    std::vector<std::string> words{"--criu", program, "checkpoint", "--image-path", images()};
    words.insert(words.end(), flags.begin(), flags.end());
    words.emplace_back("box");
    return runtime(std::move(words));
  }
  Outcome restore(const Bundle& box, std::vector<std::string> flags = {},
                  const std::string& program = "/no/such/criu") {
    box.write();
    std::vector<std::string> words{"--criu",   program,    "restore",      "--detach", "-no-subreaper",
                                   "--bundle", box.path(), "--image-path", images()};
    words.insert(words.end(), flags.begin(), flags.end());
    words.emplace_back("box");
    return runtime(std::move(words));
  }
};

TEST_F(RuntimeCheckpoint, CallersAskWhetherItIsThere) {
  EXPECT_EQ(runtime({"checkpoint", "--help"}).exit_code, 0);
  const Outcome probe = runtime({"restore", "--lsm-mount-context"});
  EXPECT_NE(probe.exit_code, 0);
  EXPECT_NE(probe.err.find("flag needs an argument"), std::string::npos) << probe.err;
  EXPECT_EQ(member(runtime({"features"}).out, ".annotations[\"org.opencontainers.runc.checkpoint.enabled\"]"),
            "true");
}

TEST_F(RuntimeCheckpoint, WhatCannotBeDumpedIsRefusedAndRunsOn) {
  CLOCHE_NEEDS(needs::root());
  expect_refusal(checkpoint({}), "container does not exist");
  auto box = bundle({"sleep", "1000"});
  ASSERT_TRUE(create(box).ok());
  expect_refusal(checkpoint({}), "container not running: it is created");
  ASSERT_TRUE(runtime({"start", "box"}).ok());
  expect_refusal(checkpoint({}), "install the package criu");
  expect_refusal(checkpoint({"--manage-cgroups-mode", "hard"}), "none of soft, full, strict and ignore");
  expect_refusal(checkpoint({"--empty-ns", "pid"}), "--empty-ns: \"pid\" is not network");
  expect_refusal(checkpoint({"--status-fd", "1"}), "--status-fd: it is given to criu, and 0, 1 and 2");
  expect_refusal(checkpoint({"--status-fd", "77"}), "--status-fd: descriptor 77 is not open for writing");
  const std::string program = criu("exit 0");
  expect_refusal(checkpoint({"--parent-path", "/abs"}, program), "--parent-path: it is relative");
  expect_refusal(checkpoint({"--parent-path", "../none"}, program), "is not there");
  expect_refusal(checkpoint({"--page-server", "here"}, program), "is not ADDRESS:PORT");
  expect_refusal(checkpoint({"--page-server", "here:0x1"}, program), "is not ADDRESS:PORT");
  EXPECT_FALSE(fs::exists(images())) << "what is refused leaves nothing";
  EXPECT_EQ(status(), "running");
  stop();
  expect_refusal(checkpoint({}), "container not running: it is stopped");
  EXPECT_TRUE(runtime({"delete", "box"}).ok());
}

TEST_F(RuntimeCheckpoint, ATerminalIsNamedByItsNumbers) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"sleep", "1000"});
  box.config.process->terminal = true;
  box.write();
  Running running({.argv = command({"run", "--bundle", box.path(), "box"})});
  ASSERT_TRUE(reaches("running"));
  const std::string program = criu("printf '%s\\n' \"$@\" >" + scratch() + "/args\n");
  ASSERT_TRUE(checkpoint({"--leave-running"}, program).ok());
  const std::string pid = member(runtime({"state", "box"}).out, ".pid");
  const std::string numbers = shell("stat -L -c 'tty[%t%02T:%D]' /proc/" + pid + "/fd/0").out;
  const std::string said = shell("cat " + scratch() + "/args").out;
  EXPECT_NE(said.find("--external\n" + numbers), std::string::npos) << numbers << said;
  EXPECT_NE(said.find("--external\nmnt[/dev/console]:/dev/console\n"), std::string::npos) << said;
  EXPECT_TRUE(runtime({"kill", "box", "KILL"}).ok());
  EXPECT_EQ(running.finish().exit_code, 137);
}

TEST_F(RuntimeCheckpoint, AJoinedUserNamespaceIsRefused) {
  CLOCHE_NEEDS(needs::root());
  auto owner = bundle({"sleep", "1000"}, "owner");
  owner.map_ids(100000, 1000);
  ASSERT_TRUE(start_detached(owner, "owner").ok());
  auto box = bundle({"sleep", "1000"});
  box.map_ids(100000, 1000);
  box.config.linux_->uidMappings.clear();
  box.config.linux_->gidMappings.clear();
  for (auto& ns : box.config.linux_->namespaces)
    if (ns.type == "user") ns.path = "/proc/" + member(runtime({"state", "owner"}).out, ".pid") + "/ns/user";
  ASSERT_TRUE(start_detached(box).ok()) << text_of(scratch() + "/err");
  expect_refusal(checkpoint({}), "it has joined a user namespace");
  EXPECT_EQ(status(), "running");
  for (const char* id : {"box", "owner"}) {
    stop(id);
    EXPECT_TRUE(runtime({"delete", id}).ok());
  }
}

TEST_F(RuntimeCheckpoint, CriuIsCalledWithWhatWasAskedFor) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"sleep", "1000"});
  ASSERT_TRUE(start_detached(box).ok());
  const std::string program = criu("printf '%s\\n' \"$@\" >" + scratch() + "/args\n");
  fs::create_directories(images() + "/../first");
  std::ofstream(scratch() + "/first/inventory.img") << "x";
  const auto args = [&](std::vector<std::string> flags) {
    const Outcome done = checkpoint(std::move(flags), program);
    EXPECT_TRUE(done.ok()) << done.describe();
    return " " + shell("tr '\\n' ' ' <" + scratch() + "/args").out;
  };
  const std::string pid = member(runtime({"state", "box"}).out, ".pid");
  std::string said = args({"--pre-dump", "--work-path", scratch() + "/work"});
  EXPECT_TRUE(said.starts_with(" pre-dump --tree " + pid + " ")) << said;
  EXPECT_NE(said.find(" --track-mem "), std::string::npos) << said;
  EXPECT_NE(said.find(" --work-dir " + scratch() + "/work "), std::string::npos) << said;
  EXPECT_EQ(status(), "running");
  EXPECT_FALSE(fs::exists(images() + "/descriptors.json"));

  said =
      args({"--leave-running", "-tcp-established", "--parent-path=../first", "--ext-unix-sk", "--file-locks",
            "--shell-job", "--auto-dedup", "--lazy-pages", "--page-server", "10.0.0.1:77", "--link-remap",
            "--tcp-skip-in-flight", "--empty-ns", "network", "--manage-cgroups-mode", "full"});
  EXPECT_TRUE(said.starts_with(" dump --tree " + pid + " ")) << said;
  for (const char* word :
       {"--leave-running", "--tcp-established", "--prev-images-dir ../first", "--track-mem", "--ext-unix-sk",
        "--file-locks", "--shell-job", "--auto-dedup", "--lazy-pages", "--address 10.0.0.1 --port 77",
        "--link-remap", "--skip-in-flight", "--empty-ns net", "--manage-cgroups=full",
        "--external mnt[/proc/keys]:/proc/keys"})
    EXPECT_NE(said.find(" " + std::string(word) + " "), std::string::npos) << word << " in" << said;
  EXPECT_EQ(said.find("--page-server"), std::string::npos) << said;
  EXPECT_EQ(status(), "running");
  EXPECT_TRUE(fs::exists(images() + "/descriptors.json"));
  stop();
  EXPECT_TRUE(runtime({"delete", "box"}).ok());
}

TEST_F(RuntimeCheckpoint, TheReasonIsTheLineOfTheLogAndTheContainerRunsOn) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"sleep", "1000"});
  ASSERT_TRUE(start_detached(box).ok());
  const std::string program = criu(
      "echo '(00.1) Error (criu/tun.c:85): tun: no' >&2\n"
      "echo '(00.2) Error (criu/files.c:7): Cannot dump this' >&2\nexit 1\n");
  expect_refusal(checkpoint({}, program),
                 "criu dump refused: Cannot dump this (its log is " + images() + "/dump.log)");
  EXPECT_EQ(status(), "running");
  EXPECT_FALSE(fs::exists(images() + "/descriptors.json"))
      << "no checkpoint, and nothing that looks like one";
  EXPECT_NE(shell("cat " + images() + "/dump.log").out.find("Cannot dump this"), std::string::npos);
  expect_refusal(checkpoint({}, criu("echo odd >&2; exit 3\n")), "criu dump refused: odd");
  EXPECT_FALSE(fs::exists(state_root() + "/box/criu"));
  stop();
  EXPECT_TRUE(runtime({"delete", "box"}).ok());
}

TEST_F(RuntimeCheckpoint, WhatCannotBeRestoredIsRefusedAndLeavesNothing) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"sleep", "1000"});
  expect_refusal(restore(box), "--image-path: the directory \"" + images() + "\" is not there");
  fs::create_directories(images());
  expect_refusal(restore(box), "holds no checkpoint (inventory.img is not in it)");
  std::ofstream(images() + "/inventory.img") << "x";
  expect_refusal(restore(box), "install the package criu");
  expect_refusal(restore(box, {"--manage-cgroups-mode", "hard"}), "none of soft, full, strict and ignore");
  std::ofstream(images() + "/descriptors.json") << "{";
  expect_refusal(restore(box, {}, criu("exit 1\n")), "descriptors.json");
  fs::remove(images() + "/descriptors.json");
  CLOCHE_NEEDS(needs::cgroup2());
  expect_refusal(restore(box, {}, criu("echo odd >&2; exit 3\n")), "criu restore refused: odd");
  EXPECT_EQ(status(), "");
  // criu says that all is well, and there is no process.
  expect_refusal(restore(box, {}, criu("exit 0\n")), "criu/pid");
  EXPECT_EQ(status(), "");
  ASSERT_TRUE(start_detached(box).ok());
  expect_refusal(restore(box, {}, criu("exit 0\n")), "container ID already in use");
  EXPECT_EQ(status(), "running");
  stop();
  EXPECT_TRUE(runtime({"delete", "box"}).ok());
}

TEST_F(RuntimeCheckpoint, WhatARestoreWouldDoIsExplained) {
  CLOCHE_NEEDS(needs::root());
  CLOCHE_NEEDS(needs::cgroup2());
  auto box = bundle({"sleep", "1000"});
  box.write();
  fs::create_directories(images());
  std::ofstream(images() + "/inventory.img") << "x";
  std::ofstream(images() + "/descriptors.json") << R"(["pipe:[7]"])";
  const std::string program = criu("exit 0");
  const Outcome told = runtime({"--criu", program, "explain", "--bundle", box.path(), "--image-path",
                                images(), "--format", "script", "box"});
  EXPECT_TRUE(told.ok()) << told.describe();
  EXPECT_NE(told.out.find(program + " restore "), std::string::npos) << told.out;
  EXPECT_NE(told.out.find("'fd[5]:pipe:[7]'"), std::string::npos) << told.out;
  EXPECT_EQ(status(), "");
}

}  // namespace
}  // namespace cloche::test
