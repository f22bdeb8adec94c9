// Fields of the process and of its surroundings that are seen from inside, or by the host's own tools.
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "support/bundle.h"
#include "support/needs.h"

namespace cloche::test {
namespace {

class RuntimeFields : public RuntimeTest {
 protected:
  Bundle shell_box(const std::string& script) { return bundle({"sh", "-c", script}); }
  // What a host's program says of the container's first process, of a container that is gone then.
  std::string told_of(const Bundle& box, std::vector<std::string> argv) {
    const Outcome started = start_detached(box);
    EXPECT_TRUE(started.ok()) << started.describe();
    if (!started.ok()) return {};
    argv.push_back(member(runtime({"state", "box"}).out, ".pid"));
    const Outcome told = test::run({.argv = argv});
    EXPECT_TRUE(told.ok()) << told.describe();
    EXPECT_TRUE(runtime({"delete", "-f", "box"}).ok());
    return told.out;
  }
};

// Each argument arrives as one word, whatever is in it.
TEST_F(RuntimeFields, ArgumentsEnvironmentAndDirectory) {
  CLOCHE_NEEDS(needs::root());
  auto box = shell_box("");
  std::filesystem::create_directories(box.rootfs() + "/srv/work");
  auto& process = *box.config.process;
  process.args = {"sh",
                  "-c",
                  "echo $0; for word; do echo \"<$word>\"; done; pwd; exec busybox env",
                  "of-the-config",
                  "two  words",
                  "",
                  "$HOME '\"*"};
  process.env = {"PATH=/bin", "WORD=a = b", "EMPTY="};
  process.cwd = "/srv/work";
  const Outcome outcome = run(box);
  EXPECT_TRUE(outcome.out.starts_with("of-the-config\n<two  words>\n<>\n<$HOME '\"*>\n/srv/work\n"))
      << outcome.describe();
  for (const char* line : {"\nPATH=/bin\n", "\nWORD=a = b\n", "\nEMPTY=\n"})
    EXPECT_TRUE(outcome.out.contains(line)) << line << outcome.out;
  EXPECT_FALSE(outcome.out.contains(kMarkerVariable)) << "that is the caller's";
}

TEST_F(RuntimeFields, GroupsBesidesItsOwn) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"id", "-G"});
  box.config.process->user = {.uid = 1000, .gid = 7, .additionalGids = {20, 4000000000}};
  EXPECT_EQ(run(box).out, "7 20 4000000000\n");
}

TEST_F(RuntimeFields, BothSidesOfALimit) {
  CLOCHE_NEEDS(needs::root());
  auto box = shell_box(
      "ulimit -Sn; ulimit -Hn; ulimit -Sc; ulimit -Hc; ulimit -Hn 700 2>/dev/null || echo no more; "
      "ulimit -Sn 600 && ulimit -n");
  box.config.process->rlimits = {{.type = "RLIMIT_NOFILE", .hard = 600, .soft = 300},
                                 {.type = "RLIMIT_CORE", .hard = 1024, .soft = 512}};
  // The shell counts a core's size in blocks of 512 bytes.
  EXPECT_EQ(run(box).out, "300\n600\n1\n2\nno more\n600\n");
}

TEST_F(RuntimeFields, NewPrivileges) {
  CLOCHE_NEEDS(needs::root());
  auto box = shell_box("busybox grep ^NoNewPrivs: /proc/self/status");
  for (const bool none : {true, false}) {
    box.config.process->noNewPrivileges = none;
    EXPECT_EQ(run(box).out, none ? "NoNewPrivs:\t1\n" : "NoNewPrivs:\t0\n");
  }
}

TEST_F(RuntimeFields, WhoIsKilledFirstForWantOfMemory) {
  CLOCHE_NEEDS(needs::root());
  auto box = shell_box("cat /proc/self/oom_score_adj");
  for (const int score : {321, 0}) {
    box.config.process->oomScoreAdj = score;
    EXPECT_EQ(run(box).out, std::to_string(score) + "\n");
  }
}

TEST_F(RuntimeFields, Niceness) {
  CLOCHE_NEEDS(needs::root());
  auto box = shell_box("cut -d' ' -f19 /proc/self/stat");
  box.config.process->scheduler = {.policy = "SCHED_OTHER", .nice = 7};
  EXPECT_EQ(run(box).out, "7\n");
}

TEST_F(RuntimeFields, RealTimePriority) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"sleep", "1000"});
  box.config.process->scheduler = {
      .policy = "SCHED_RR", .priority = 3, .flags = {"SCHED_FLAG_RESET_ON_FORK"}};
  const std::string told = told_of(box, {"chrt", "-p"});
  EXPECT_NE(told.find("SCHED_RR|SCHED_RESET_ON_FORK"), std::string::npos) << told;
  EXPECT_NE(told.find("priority: 3\n"), std::string::npos) << told;
}

TEST_F(RuntimeFields, Deadline) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"sleep", "1000"});
  box.config.process->scheduler = {
      .policy = "SCHED_DEADLINE", .runtime = 1'000'000, .deadline = 20'000'000, .period = 40'000'000};
  const std::string told = told_of(box, {"chrt", "-p"});
  EXPECT_NE(told.find("SCHED_DEADLINE"), std::string::npos) << told;
  EXPECT_NE(told.find("1000000/20000000/40000000"), std::string::npos) << told;
}

TEST_F(RuntimeFields, IoPriority) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"sleep", "1000"});
  box.config.process->ioPriority = {.class_ = "IOPRIO_CLASS_BE", .priority = 6};
  EXPECT_EQ(told_of(box, {"ionice", "-p"}), "best-effort: prio 6\n");
  box.config.process->ioPriority = {.class_ = "IOPRIO_CLASS_IDLE", .priority = 0};
  EXPECT_EQ(told_of(box, {"ionice", "-p"}), "idle\n");
}

TEST_F(RuntimeFields, EverySetOfCapabilities) {
  CLOCHE_NEEDS(needs::root());
  auto box = shell_box("grep ^Cap /proc/self/status");
  box.config.process->user.uid = 1000;
  auto& sets = *box.config.process->capabilities;
  // capabilities(7): CAP_CHOWN 0, CAP_FOWNER 3, CAP_KILL 5
  sets.bounding = {"CAP_CHOWN", "CAP_FOWNER", "CAP_KILL"};
  sets.permitted = {"CAP_CHOWN", "CAP_FOWNER"};
  sets.effective = {"CAP_CHOWN"};
  sets.inheritable = {"CAP_CHOWN", "CAP_FOWNER"};
  sets.ambient = {"CAP_CHOWN"};
  const std::string inside = run(box).out;
  for (const char* line :
       {"CapInh:\t0000000000000009", "CapPrm:\t0000000000000001", "CapEff:\t0000000000000001",
        "CapBnd:\t0000000000000029", "CapAmb:\t0000000000000001"})
    EXPECT_NE(inside.find(line), std::string::npos) << line << " is not in\n" << inside;
}

// The mount shows ids of the source, `containerID`, as `hostID`.
TEST_F(RuntimeFields, AMountWithIdsOfItsOwn) {
  CLOCHE_NEEDS(needs::root());
  CLOCHE_NEEDS(shell("stat -fc %T " + scratch()).out == "tmpfs\n" ? needs::kernel(6, 3) : needs::Missing());
  const std::string source = scratch() + "/source";
  std::filesystem::create_directory(source);
  std::ofstream(source + "/file") << "x";
  ASSERT_EQ(::chown((source + "/file").c_str(), 10, 20), 0);
  ASSERT_EQ(::chown(source.c_str(), 10, 20), 0);
  auto box = shell_box("stat -c %u:%g /mapped/file && touch /mapped/new");
  box.config.process->user = {.uid = 1010, .gid = 1020};
  box.config.mounts.push_back({.destination = "/mapped",
                               .type = "bind",
                               .source = source,
                               .options = {"rbind"},
                               .uidMappings = {{.containerID = 10, .hostID = 1010, .size = 1}},
                               .gidMappings = {{.containerID = 20, .hostID = 1020, .size = 1}}});
  const Outcome outcome = run(box);
  EXPECT_EQ(outcome.out, "1010:1020\n") << outcome.describe();
  struct stat made{};
  ASSERT_EQ(::stat((source + "/new").c_str(), &made), 0);
  EXPECT_EQ(made.st_uid, 10U);
  EXPECT_EQ(made.st_gid, 20U);
}

TEST_F(RuntimeFields, GroupsHaveAMapOfTheirOwn) {
  CLOCHE_NEEDS(needs::root());
  auto box = shell_box("tr -s ' ' </proc/self/uid_map; tr -s ' ' </proc/self/gid_map");
  box.map_ids(300000, 1000);
  box.config.linux_->uidMappings = {{.containerID = 0, .hostID = 300000, .size = 900},
                                    {.containerID = 900, .hostID = 500000, .size = 3}};
  box.config.linux_->gidMappings = {{.containerID = 0, .hostID = 300000, .size = 500},
                                    {.containerID = 500, .hostID = 400000, .size = 7}};
  EXPECT_EQ(run(box).out, " 0 300000 900\n 900 500000 3\n 0 300000 500\n 500 400000 7\n");
}

TEST_F(RuntimeFields, WhoOwnsADevice) {
  CLOCHE_NEEDS(needs::root());
  auto box = shell_box("stat -c '%F %t:%T %a %u:%g' /dev/mine");
  box.config.linux_->devices = {
      {.path = "/dev/mine", .type = "c", .major = 1, .minor = 5, .fileMode = 0640, .uid = 7, .gid = 8}};
  EXPECT_EQ(run(box).out, "character special file 1:5 640 7:8\n");
}

TEST_F(RuntimeFields, PersonalityHasNoFlags) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"busybox", "uname", "-m"});
  box.config.linux_->personality = {.domain = "LINUX32", .flags = {}};
  const Outcome ran = run(box);
  EXPECT_EQ(ran.out, "i686\n") << ran.describe();
  box.config.linux_->personality->flags = {"ADDR_NO_RANDOMIZE"};
  const Outcome refused = run(box);
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_NE(refused.err.find("linux.personality.flags: \"ADDR_NO_RANDOMIZE\" is not supported"),
            std::string::npos)
      << refused.err;
}

TEST_F(RuntimeFields, WhatIsForWindowsIsIgnoredWithAWarning) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"echo", "ran"});
  box.config.process->commandLine = "cmd /c dir";
  box.config.process->user.username = "ann";
  const Outcome outcome = run(box);
  EXPECT_EQ(outcome.out, "ran\n") << outcome.describe();
  for (const char* field : {"process.commandLine", "process.user.username"})
    EXPECT_NE(outcome.err.find(std::string(field) + ": is for Windows; ignored"), std::string::npos)
        << outcome.err;
}

}  // namespace
}  // namespace cloche::test
