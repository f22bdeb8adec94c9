// Class 1: the runtime's own file overwritten through /proc/self/exe (CVE-2019-5736). The second test was seen to fail
// while a start into a joined pid namespace ran from the file itself. Debian 12's runc and crun pass; no vulnerable version
// was at hand.
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "security/security.h"

namespace cloche::test {
namespace {

class OwnBinary : public SecurityTest {
 protected:
  // A copy of the runtime that an attack may ruin.
  void SetUp() override {
    SecurityTest::SetUp();
    if (IsSkipped()) return;
    victim_ = scratch() + "/victim";
    const std::string found = shell("command -v " + SecurityTest::runtime_program()[0]).out;
    original_ = found.substr(0, found.find('\n'));
    std::filesystem::copy_file(original_, victim_);
  }
  [[nodiscard]] std::vector<std::string> runtime_program() const override {
    std::vector<std::string> words = SecurityTest::runtime_program();
    words[0] = victim_;
    return words;
  }
  [[nodiscard]] bool victim_is_whole() const { return shell("cmp " + victim_ + " " + original_).ok(); }

  std::string victim_, original_;
};

// As the command, or as a script's interpreter, the link would lead to the runtime's own file.
TEST_F(OwnBinary, ProcSelfExeIsNotTheRuntime) {
  auto box = image({"sleep", "1000"});
  std::ofstream(box.rootfs() + "/bin/script") << "#!/proc/self/exe --version\n";
  ASSERT_EQ(::chmod((box.rootfs() + "/bin/script").c_str(), 0755), 0);
  std::filesystem::create_symlink("/proc/self/exe", box.rootfs() + "/bin/link");
  ASSERT_TRUE(start_detached(box).ok());
  for (const std::string command : {"/proc/self/exe", "/proc/thread-self/exe", "/bin/script", "/bin/link"}) {
    box.config.process->args = {command, "--version"};
    EXPECT_EQ(run(box, "second").out, "") << command;
    EXPECT_EQ(runtime({"exec", "box", command, "--version"}).out, "") << command;
    box.config.process->args = {"sh", "-c", "exec " + command + " --version"};
    EXPECT_FALSE(run(box, "second").out.contains("version")) << command;
  }
  EXPECT_TRUE(victim_is_whole());
  tried("4 commands (/proc/self/exe, /proc/thread-self/exe, a script of it, a link to it) x run and exec");
  stop();
}

// Processes that may trace see the one that joins; so does the container's first process a starting one when the pid
// namespace is shared.
TEST_F(OwnBinary, NoProgramThatProcShowsCanBeWritten) {
  constexpr int kExecs = 100, kStarts = 30;
  auto box = image({"probe", "write-programs"});
  give(box, {"CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE"});
  ASSERT_TRUE(start_detached(box).ok());
  int ran = 0;
  Outcome last;
  const auto count = [&](const Outcome& outcome) {
    ran += static_cast<int>(outcome.ok());
    if (!outcome.ok()) last = outcome;
  };
  for (int i = 0; i < kExecs; ++i) ran += static_cast<int>(runtime({"exec", "box", "busybox", "true"}).ok());
  auto second = image({"busybox", "true"}, "second");
  for (spec::Namespace& ns : second.config.linux_->namespaces)
    if (ns.type == "pid") ns.path = "/proc/" + pid_of() + "/ns/pid";
  for (int i = 0; i < kStarts; ++i) count(run(second, "second"));
  ASSERT_TRUE(victim_is_whole()) << "after " << ran << " joined or started";
  const std::string said = end_probe();
  EXPECT_EQ(ran, kExecs + kStarts) << last.describe();
  // What it wrote, if anything, was a copy.
  EXPECT_GT(number(said, "tries"), kExecs) << said;
  tried("{} times to open a program of /proc to write it, during {} execs and {} starts; {} were copies",
        number(said, "tries"), kExecs, kStarts, number(said, "written"));
}

}  // namespace
}  // namespace cloche::test
