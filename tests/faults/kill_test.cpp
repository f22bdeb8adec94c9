// SIGKILL at each system call in turn: of the command that the caller waits for, and of the container's own process.
// Whatever the point, `state` answers, `delete --force` works, and nothing is left.
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <iostream>
#include <optional>

#include "faults/tracer.h"
#include "support/bundle.h"
#include "support/needs.h"
#include "sys/files.h"

namespace cloche::faults {
namespace {

namespace fs = std::filesystem;

constexpr char kCgroup[] = "cloche-kill-sweep";
constexpr char kCommand[] = "31415926";  // what the containers sleep: how they are found

// Processes whose command line holds `word`.
std::vector<std::string> processes_with(const std::string& word) {
  std::vector<std::string> found;
  std::error_code error;
  for (fs::directory_iterator entry("/proc", error), end; !error && entry != end; entry.increment(error)) {
    if (entry->path().filename().string().find_first_not_of("0123456789") != std::string::npos) continue;
    // One that ends while it is read is none of those that are left.
    const auto line = sys::read_file(AT_FDCWD, entry->path() / "cmdline", size_t{1} << 20);
    if (line && line->find(word) != std::string::npos) found.push_back(entry->path().filename());
  }
  return found;
}

class Kill : public test::RuntimeTest {
 protected:
  enum class Whom { caller, container };
  using Prepare = std::function<void()>;
  void SetUp() override {
    RuntimeTest::SetUp();
    box_.emplace(bundle({"sleep", kCommand}));
    box_->config.linux_->cgroupsPath = fmt::format("/{}", kCgroup);
    box_->write();
  }
  // Each point of `words`; `prepare` comes before each. `waits`: the container's process is there by then.
  void sweep(
      const std::vector<std::string>& words, Whom whom, const Prepare& prepare = [] {}, bool waits = false);

  std::optional<test::Bundle> box_;

 private:
  test::Outcome delete_box();
  void check(const std::string& at);
  int points_ = 0;
};

// Orphans of an exec that was killed are ours. A container does not end before they are waited for.
test::Outcome Kill::delete_box() {
  test::Running deleting({.argv = command({"delete", "--force", "box"})});
  siginfo_t ended{};
  while (::waitid(P_ALL, 0, &ended, WEXITED | WNOWAIT) == 0 && ended.si_pid != deleting.pid())
    ::waitpid(ended.si_pid, nullptr, 0);
  return deleting.finish();
}

void Kill::check(const std::string& at) {
  const test::Outcome state = runtime({"state", "box"});
  EXPECT_TRUE(state.exit_code == 0 || (state.exit_code == 1 && state.err.starts_with("cloche-runtime: ")))
      << at << ": " << state.describe();
  const test::Outcome deleted = delete_box();
  EXPECT_TRUE(deleted.ok()) << at << ": " << deleted.describe();
  EXPECT_FALSE(fs::exists(state_root() + "/box")) << at;
  EXPECT_TRUE(test::mounts_below(scratch()).empty()) << at;
  for (const char* mount : {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"})
    EXPECT_FALSE(fs::exists(fmt::format("{}/{}", mount, kCgroup))) << at << ": the cgroup is left";
  // What was killed may need a moment to be gone.
  for (int tries = 0; tries < 500 && !processes_with(kCommand).empty(); ++tries) ::usleep(10'000);
  EXPECT_TRUE(processes_with(kCommand).empty()) << at << ": a process is left";
}

void Kill::sweep(const std::vector<std::string>& words, Whom whom, const Prepare& prepare, bool waits) {
  const test::Command command{.argv = this->command(words), .limit = std::chrono::seconds(30)};
  const auto attempt = [&](std::optional<Fault> fault) {
    prepare();
    const auto mark = sys::read_file(AT_FDCWD, state_root() + "/box/init", 256);
    return watch(command, scratch(), fault, waits ? std::stoi(mark.value_or("0")) : 0);
  };
  (void)attempt({});
  check("the first run");
  const Watched usual = attempt({});
  ASSERT_EQ(usual.exit_code, 0) << usual.describe();
  check("an undisturbed run");
  for (const Call& call : usual.calls) {
    if (call.in_container != (whom == Whom::container)) continue;
    const std::string at = fmt::format("{}: process {} killed at call {} number {}", words.front(),
                                       call.point.process, call.point.number, call.point.nth);
    const Watched killed = attempt(Fault{.at = call.point, .code = 0});
    EXPECT_TRUE(killed.hit) << at << ": the call is not made this time";
    EXPECT_FALSE(killed.timed_out) << at << ": the command hangs";
    ++points_;
    check(at);
  }
  std::cout << fmt::format("{}: killed at {} points of {} calls\n", words.front(), points_,
                           usual.calls.size());
  RecordProperty("points", points_);
  EXPECT_GT(points_, 10);
}

TEST_F(Kill, Create) {
  CLOCHE_NEEDS(test::needs::root());
  sweep({"create", "--bundle", box_->path(), "box"}, Whom::caller);
}

TEST_F(Kill, Run) {
  CLOCHE_NEEDS(test::needs::root());
  sweep({"run", "--detach", "--bundle", box_->path(), "box"}, Whom::caller);
}

TEST_F(Kill, Start) {
  CLOCHE_NEEDS(test::needs::root());
  sweep({"start", "box"}, Whom::caller, [&] { ASSERT_TRUE(create(*box_).ok()); });
}

TEST_F(Kill, Exec) {
  CLOCHE_NEEDS(test::needs::root());
  sweep({"exec", "--detach", "box", "sleep", kCommand}, Whom::caller,
        [&] { ASSERT_TRUE(start_detached(*box_).ok()); });
}

TEST_F(Kill, Delete) {
  CLOCHE_NEEDS(test::needs::root());
  sweep({"delete", "--force", "box"}, Whom::caller, [&] { ASSERT_TRUE(start_detached(*box_).ok()); });
}

TEST_F(Kill, TheContainersProcess) {
  CLOCHE_NEEDS(test::needs::root());
  sweep({"run", "--detach", "--bundle", box_->path(), "box"}, Whom::container);
}

TEST_F(Kill, TheContainersProcessAtItsStart) {
  CLOCHE_NEEDS(test::needs::root());
  sweep({"start", "box"}, Whom::container, [&] { ASSERT_TRUE(create(*box_).ok()); }, true);
}

TEST_F(Kill, TheProcessOfAnExec) {
  CLOCHE_NEEDS(test::needs::root());
  sweep({"exec", "--detach", "box", "sleep", kCommand}, Whom::container,
        [&] { ASSERT_TRUE(start_detached(*box_).ok()); });
}

}  // namespace
}  // namespace cloche::faults
