// An ordinary user's container in a cgroup that was delegated to that user (cgroups(7), "Cgroup delegation").
#include <fmt/format.h>

#include "spec/default_spec.h"
#include "support/bundle.h"
#include "support/host_state.h"
#include "support/needs.h"
#include "support/test_user.h"
#include "vm/counters.h"

namespace cloche::test {
namespace {

class VmRootless : public LeaksNothing {
 protected:
  // As `who` in the cgroup `cgroup`, into which nothing but root can bring them.
  static Outcome run_in(const std::string& cgroup, const TestUser& who, const std::string& script) {
    return run({.argv = {"sh", "-c", "echo $$ > \"$1\"/cgroup.procs; shift; exec setpriv \"$@\"", "sh",
                         cgroup, fmt::format("--reuid={}", who.uid()), fmt::format("--regid={}", who.gid()),
                         "--clear-groups", "sh", "-c", script},
                .set_env = {"HOME=" + who.home(), "USER=" + who.name(),
                            "XDG_RUNTIME_DIR=" + who.runtime_directory()},
                .cwd = who.home()});
  }
};

// A cgroup owned by a user, with the controllers that systemd hands down to a user.
class Delegated {
 public:
  explicit Delegated(const TestUser& user) {
    for (const std::string& path : {top, leaf}) {
      std::filesystem::create_directory(path);
      for (const char* file : {"", "/cgroup.procs", "/cgroup.subtree_control", "/cgroup.threads"})
        if (chown((path + file).c_str(), user.uid(), user.gid()) != 0)
          throw std::runtime_error("chown " + path + file);
    }
    std::ofstream(top + "/cgroup.subtree_control") << "+cpu +memory +pids";
  }
  Delegated(const Delegated&) = delete;
  Delegated& operator=(const Delegated&) = delete;
  ~Delegated() {
    std::error_code ignored;
    for (const std::string& path : {leaf, top}) std::filesystem::remove(path, ignored);
  }

  const std::string top = std::string(kCgroups) + "/vm-delegated";
  const std::string leaf = top + "/leaf";
};

std::string rootless(const std::string& flags, const std::string& inside) {
  return fmt::format("{} run {} host -- sh -c '{}'", program("cloche"), flags, inside);
}

TEST_F(VmRootless, TheMemoryLimitOfACallerAloneInItsCgroupBites) {
  CLOCHE_NEEDS(needs::cgroup2_controller("memory"));
  const TestUser& user = TestUser::get();
  const Delegated cgroup(user);
  const Outcome outcome =
      run_in(cgroup.leaf, user,
             "exec " + rootless("--memory 64M --pids-limit 20",
                                "tail /dev/zero; echo status $?; cat /sys/fs/cgroup/memory.events"));
  EXPECT_EQ(counter(outcome.out, "status"), 137) << outcome.describe();
  EXPECT_EQ(counter(outcome.out, "oom_kill"), 1) << outcome.describe();
}

TEST_F(VmRootless, ThePidsLimitOfACallerAloneInItsCgroupBites) {
  CLOCHE_NEEDS(needs::cgroup2_controller("pids"));
  const TestUser& user = TestUser::get();
  const Delegated cgroup(user);
  const Outcome outcome =
      run_in(cgroup.leaf, user,
             "exec " + rootless("--memory 64M --pids-limit 20",
                                "perl -e \"\\$n++, \\$pid || sleep 1000 while defined(\\$pid = fork); "
                                "print qq(made \\$n\\n), \\$!+0\""));
  EXPECT_EQ(outcome.out, "made 18\n11") << outcome.describe();
}

TEST_F(VmRootless, AmongOtherProcessesALimitIsRefusedWithTheReason) {
  CLOCHE_NEEDS(needs::cgroup2_controller("memory"));
  const TestUser& user = TestUser::get();
  const Delegated cgroup(user);
  // The shell that waits for cloche is the other process.
  const Outcome outcome = run_in(cgroup.leaf, user, rootless("--memory 64M", "true") + "; exit $?");
  EXPECT_EQ(outcome.exit_code, 125) << outcome.describe();
  EXPECT_TRUE(outcome.err.contains("--memory 64M")) << outcome.describe();
  EXPECT_TRUE(outcome.err.contains("other process")) << outcome.describe();
}

TEST_F(VmRootless, WithoutADelegatedCgroupALimitIsRefusedWithTheReason) {
  CLOCHE_NEEDS(needs::cgroup2_controller("memory"));
  const TestUser& user = TestUser::get();
  const Outcome outcome = user.shell(rootless("--memory 64M", "true"));
  EXPECT_EQ(outcome.exit_code, 125) << outcome.describe();
  EXPECT_TRUE(outcome.err.contains("--memory 64M")) << outcome.describe();
}

// cloche-runtime run, of a bundle of the user's with a limit of memory.
class VmRootlessRuntime : public VmRootless {
 protected:
  // The container prints its limit, or "started" where it is to have none.
  std::string run_words(const std::optional<int64_t>& limit) {
    Bundle box(scratch() + "/bundle", {});
    box.config = spec::default_rootless_spec(user_.uid(), user_.gid());
    box.config.process->terminal = false;
    box.config.process->args = {"echo", "started"};
    if (limit) {
      box.config.process->args = {"cat", "/sys/fs/cgroup/memory.max"};
      box.config.linux_->resources.emplace().memory = {.limit = limit};
    }
    box.write();
    shell(fmt::format("chmod 755 {0} && chown -Rh {1}:{2} {3}", scratch(), user_.uid(), user_.gid(),
                      box.path()));
    return fmt::format("{} --root {}/state run --bundle {} box", program("cloche-runtime"),
                       user_.runtime_directory(), box.path());
  }
  void TearDown() override {
    shell(fmt::format("rm -rf {}/state", user_.runtime_directory()));
    VmRootless::TearDown();
  }
  static void expect_refusal(const Outcome& outcome, const std::string& text) {
    EXPECT_EQ(outcome.exit_code, 1) << outcome.describe();
    EXPECT_EQ(outcome.out, "") << outcome.describe();
    EXPECT_TRUE(outcome.err.contains("linux.resources.memory.limit")) << outcome.err;
    EXPECT_TRUE(outcome.err.contains(text)) << outcome.err;
    EXPECT_TRUE(outcome.err.contains("systemd-run --user --scope -p Delegate=yes")) << outcome.err;
  }

  const TestUser& user_ = TestUser::get();
};

TEST_F(VmRootlessRuntime, ALimitInADelegatedCgroupIsThere) {
  CLOCHE_NEEDS(needs::cgroup2_controller("memory"));
  const Delegated cgroup(user_);
  const Outcome outcome = run_in(cgroup.leaf, user_, "exec " + run_words(64 << 20));
  EXPECT_EQ(outcome.out, "67108864\n") << outcome.describe();
}

TEST_F(VmRootlessRuntime, ALimitInACgroupOfSomebodyElseIsRefused) {
  CLOCHE_NEEDS(needs::cgroup2_controller("memory"));
  const ParentCgroup roots("vm-roots");
  EXPECT_EQ(run_in(roots.path(), user_, "exec " + run_words({})).out, "started\n");
  expect_refusal(run_in(roots.path(), user_, "exec " + run_words(64 << 20)),
                 fmt::format("{} may not make one in {}", user_.name(), roots.path()));
}

// The cgroup above keeps its controllers to itself.
TEST_F(VmRootlessRuntime, ALimitWithoutItsControllerIsRefused) {
  CLOCHE_NEEDS(needs::cgroup2_controller("memory"));
  const ParentCgroup above("vm-above"), below("vm-above/below");
  expect_refusal(
      run_in(below.path(), user_, "exec " + run_words(64 << 20)),
      fmt::format("memory.max needs the memory controller on cgroup v2, which is not delegated to {}",
                  user_.name()));
}

}  // namespace
}  // namespace cloche::test
