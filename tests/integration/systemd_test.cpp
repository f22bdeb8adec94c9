// systemd's cgroup driver with a real systemd, and what is said where there is none or where it refuses.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <signal.h>

#include <filesystem>
#include <fstream>

#include "spec/write.h"
#include "support/bundle.h"
#include "support/needs.h"
#include "support/systemd_nest.h"
#include "support/test_user.h"

namespace cloche::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr char kUnit[] = "cloche-box.scope";

class Systemd : public RuntimeTest {
 protected:
  void SetUp() override {
    CLOCHE_NEEDS(needs::root());
    CLOCHE_NEEDS(needs::program("systemctl"));
    CLOCHE_NEEDS(needs::cgroup2());
    RuntimeTest::SetUp();
    nest_.emplace(scratch() + "/nest");
    ASSERT_EQ(nest_->problem(), "");
  }
  void TearDown() override {
    nest_.reset();
    RuntimeTest::TearDown();
  }
  Bundle sleeper() { return bundle({"sleep", "1000"}, "nest/bundle"); }
  std::vector<std::string> words(std::vector<std::string> more) {
    std::vector<std::string> all{program("cloche-runtime"), "--root", scratch() + "/nest/state",
                                 "--systemd-cgroup"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  Outcome inside(std::vector<std::string> more) { return nest_->run(words(std::move(more))); }
  // The container keeps none of the test's pipes.
  Outcome start(const Bundle& from) {
    from.write();
    return nest_->shell(fmt::format(
        "{} </dev/null >{}/nest/out 2>&1; status=$?; cat {}/nest/out; exit $status",
        fmt::join(words({"run", "--detach", "--bundle", from.path(), "box"}), " "), scratch(), scratch()));
  }
  // A restore in which `script` is what criu does (the real one: tests/vm/checkpoint_systemd_test.cpp), with these words:
  // $init is the first process; `inside` says by name what is in the scope; `pause` waits as criu's action script
  // does, and fails when the restore is given up; `done_with_it` says that the container is there. `hook`: a shell's, when
  // the namespaces are there.
  Outcome restore(const std::string& script, const std::string& hook = "true") {
    const std::string directory = scratch() + "/nest/", criu = directory + "criu";
    std::filesystem::create_directories(directory + "images");
    std::ofstream(directory + "images/inventory.img") << "x";
    std::ofstream(criu) << fmt::format(
        R"sh(#!/bin/sh
while [ $# -gt 0 ]; do
  case $1 in --action-script) action=$2 ;; --pidfile) pidfile=$2 ;; esac
  shift
done
sleep 1000 >/dev/null 2>&1 & init=$!
inside() {{ for pid in $(cat /sys/fs/cgroup/system.slice/{0}/cgroup.procs); do cat /proc/$pid/comm; done; }}
pause() {{ CRTOOLS_SCRIPT_ACTION=setup-namespaces CRTOOLS_INIT_PID=$init sh $action; }}
done_with_it() {{ echo $init >$pidfile; }}
cd {1}
{2}
)sh",
        kUnit, directory, script);
    std::filesystem::permissions(criu, std::filesystem::perms::owner_all);
    auto box = sleeper();
    box.config.hooks.emplace().createRuntime.push_back({.path = "/bin/sh", .args = {"sh", "-c", hook}});
    box.write();
    return nest_->shell(
        fmt::format("{} </dev/null >{}out 2>&1; status=$?; cat {}out; exit $status",
                    fmt::join(words({"--criu", criu, "restore", "--detach", "--bundle", box.path(),
                                     "--image-path", directory + "images", "box"}),
                              " "),
                    directory, directory));
  }
  [[nodiscard]] std::string noted(const std::string& name) {
    return nest_->shell("cat " + scratch() + "/nest/" + name).out;
  }
  // Nor does a process of it: what was in the scope is waited for by process 1.
  void expect_nothing_left() {
    EXPECT_EQ(nest_->property(kUnit, "LoadState"), "not-found");
    EXPECT_FALSE(std::filesystem::exists(nest_->cgroup() + "/system.slice/" + kUnit));
    EXPECT_EQ(inside({"list", "-q"}).out, "");
    EXPECT_EQ(nest_->shell("grep -l '^cloche-run' /proc/[0-9]*/comm").out, "");
  }
  std::optional<SystemdNest> nest_;
};

TEST_F(Systemd, AContainerIsAScopeThatIsGoneWithIt) {
  auto box = sleeper();
  box.config.annotations = {{"org.systemd.property.TimeoutStopUSec", "uint64 5000000"}};
  const Outcome started = start(box);
  ASSERT_TRUE(started.ok()) << started.describe();
  EXPECT_EQ(nest_->property(kUnit, "ActiveState"), "active");
  EXPECT_EQ(nest_->property(kUnit, "Slice"), "system.slice");
  EXPECT_EQ(nest_->property(kUnit, "Delegate"), "yes");
  EXPECT_EQ(nest_->property(kUnit, "Description"), "container box");
  EXPECT_EQ(nest_->property(kUnit, "TimeoutStopUSec"), "5s");
  // Its first process is in it, and so is what is executed later.
  const std::string pid = member(inside({"state", "box"}).out, ".pid");
  EXPECT_EQ(nest_->shell("grep ^0:: /proc/" + pid + "/cgroup").out, "0::/system.slice/cloche-box.scope\n");
  const Outcome executed = inside({"exec", "box", "sh", "-c", "echo here"});
  EXPECT_EQ(executed.out, "here\n") << executed.describe();
  const Outcome deleted = inside({"delete", "--force", "box"});
  EXPECT_TRUE(deleted.ok()) << deleted.describe();
  EXPECT_EQ(nest_->property(kUnit, "LoadState"), "not-found");
  EXPECT_FALSE(std::filesystem::exists(nest_->cgroup() + "/system.slice/" + kUnit));
}

TEST_F(Systemd, TheScopeIsWhereCgroupsPathSays) {
  auto box = sleeper();
  box.config.linux_->cgroupsPath = "machine-pods.slice:libpod:4f1c";
  const Outcome started = start(box);
  ASSERT_TRUE(started.ok()) << started.describe();
  EXPECT_EQ(nest_->property("libpod-4f1c.scope", "ControlGroup"),
            "/machine.slice/machine-pods.slice/libpod-4f1c.scope");
  EXPECT_TRUE(inside({"delete", "--force", "box"}).ok());
}

TEST_F(Systemd, ItIsExplainedAsTheScopeThatItIs) {
  auto box = sleeper();
  box.config.linux_->cgroupsPath = "machine.slice:libpod:4f1c";
  const Outcome started = start(box);
  ASSERT_TRUE(started.ok()) << started.describe();
  const Outcome explained =
      nest_->run({program("cloche-runtime"), "--root", scratch() + "/nest/state", "explain", "box"});
  EXPECT_THAT(explained.out, HasSubstr("libpod-4f1c.scope")) << explained.describe();
  EXPECT_TRUE(inside({"delete", "--force", "box"}).ok());
}

TEST_F(Systemd, WhatSystemdStopsIsStoppedAndCanBeDeleted) {
  auto box = sleeper();
  // Its first process has no handler for TERM.
  box.config.annotations = {{"org.systemd.property.KillSignal", "9"}};
  const Outcome started = start(box);
  ASSERT_TRUE(started.ok()) << started.describe();
  const Outcome stopped = nest_->run({"systemctl", "stop", kUnit});
  EXPECT_TRUE(stopped.ok()) << stopped.describe();
  EXPECT_EQ(member(inside({"state", "box"}).out, ".status"), "stopped");
  const Outcome deleted = inside({"delete", "box"});
  EXPECT_TRUE(deleted.ok()) << deleted.describe();
}

TEST_F(Systemd, AfterAKillOfTheRuntimeDeleteTakesTheScopeAway) {
  auto box = sleeper();
  box.config.process->args = {"sh", "-c", "echo up; sleep 1000"};
  box.write();
  Running foreground({.argv = nest_->inside(words({"run", "--bundle", box.path(), "box"}))});
  ASSERT_TRUE(foreground.wait_for_output("up")) << foreground.so_far().describe();
  foreground.signal(SIGKILL);
  EXPECT_EQ(nest_->property(kUnit, "ActiveState"), "active");
  const Outcome deleted = inside({"delete", "--force", "box"});
  EXPECT_TRUE(deleted.ok()) << deleted.describe();
  EXPECT_EQ(nest_->property(kUnit, "LoadState"), "not-found");
}

TEST_F(Systemd, AnothersUnitOfTheNameStaysAndTheErrorSaysWhatToDo) {
  Running other({.argv = nest_->inside(
                     {"systemd-run", "--scope", "--unit=cloche-box", "sh", "-c", "echo up; sleep 1000"})});
  ASSERT_TRUE(other.wait_for_output("up")) << other.so_far().describe();
  const Outcome refused = start(sleeper());
  EXPECT_EQ(refused.exit_code, 1) << refused.describe();
  EXPECT_THAT(refused.out,
              AllOf(HasSubstr("a unit of this name is there"), HasSubstr("systemctl stop cloche-box.scope")));
  EXPECT_EQ(nest_->property(kUnit, "ActiveState"), "active");
  EXPECT_EQ(inside({"list", "-q"}).out, "");
  EXPECT_TRUE(nest_->run({"systemctl", "kill", "--signal=KILL", kUnit}).ok());
}

TEST_F(Systemd, AFailureAfterTheScopeLeavesNone) {
  auto box = sleeper();
  box.config.process->args = {"no-such-command"};
  const Outcome refused = start(box);
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.out, HasSubstr("executable file not found in $PATH"));
  EXPECT_EQ(nest_->property(kUnit, "LoadState"), "not-found");
}

TEST_F(Systemd, AUnitPropertyThatIsNotAllowedIsRefusedByName) {
  auto box = sleeper();
  box.config.annotations = {{"org.systemd.property.ExecStopPost", "'x'"}};
  const Outcome refused = start(box);
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.out, HasSubstr("annotations.org.systemd.property.ExecStopPost"));
}

TEST_F(Systemd, ItIsAskedByTheSystemBusToo) {
  CLOCHE_NEEDS(needs::program("dbus-daemon"));
  ASSERT_EQ(nest_->start_bus(), "");
  const auto box = bundle({"sh", "-c", "echo ran"}, "nest/bundle");
  box.write();
  // Nobody is behind its own socket.
  EXPECT_TRUE(nest_->shell("mv /run/systemd/private /run/systemd/unused").ok());
  const Outcome ran = inside({"run", "--bundle", box.path(), "box"});
  EXPECT_EQ(ran.out, "ran\n") << ran.describe();
  EXPECT_TRUE(nest_->shell("mv /run/systemd/unused /run/systemd/private").ok());
  EXPECT_EQ(nest_->property(kUnit, "LoadState"), "not-found");
}

TEST_F(Systemd, TheBusThatRefusesAContainerIsNamed) {
  CLOCHE_NEEDS(needs::program("dbus-daemon"));
  ASSERT_EQ(nest_->start_bus(
                "<deny send_interface='org.freedesktop.systemd1.Manager' send_member='StartTransientUnit'/>"),
            "");
  const auto box = sleeper();
  box.write();
  const Outcome refused = test::run(
      {.argv = nest_->inside(words({"run", "--bundle", box.path(), "box"}), {SystemdNest::kSystemBus})});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.err,
              AllOf(HasSubstr("systemd or the system bus refused StartTransientUnit for cloche-box.scope"),
                    HasSubstr("org.freedesktop.DBus.Error.AccessDenied"),
                    HasSubstr("org.freedesktop.systemd1.manage-units")));
  EXPECT_EQ(inside({"list", "-q"}).out, "");
}

TEST_F(Systemd, OneThatDoesNotAnswerIsWaitedForOnlySoLong) {
  ASSERT_EQ(::kill(nest_->pid(), SIGSTOP), 0);
  const Outcome asked = nest_->run({program("cloche-systemd"), "--seconds", "1", "stop", kUnit});
  ASSERT_EQ(::kill(nest_->pid(), SIGCONT), 0);
  EXPECT_EQ(asked.exit_code, 1) << asked.describe();
  EXPECT_THAT(asked.out, HasSubstr("timeout"));
}

// Asked by the runtime, by way of a helper with less patience than usual.
TEST_F(Systemd, OneThatIsBusyEndsTheStartWithWhatToLookAt) {
  const std::string impatient = scratch() + "/nest/impatient";
  std::ofstream(impatient) << "#!/bin/sh\nexec " << program("cloche-systemd") << " --seconds 1 \"$@\"\n";
  std::filesystem::permissions(impatient, std::filesystem::perms::owner_all);
  const auto box = sleeper();
  box.write();
  ASSERT_EQ(::kill(nest_->pid(), SIGSTOP), 0);
  const Outcome refused = test::run({.argv = nest_->inside(words({"run", "--bundle", box.path(), "box"}),
                                                           {"CLOCHE_SYSTEMD=" + impatient})});
  ASSERT_EQ(::kill(nest_->pid(), SIGCONT), 0);
  EXPECT_EQ(refused.exit_code, 1) << refused.describe();
  EXPECT_THAT(refused.err, AllOf(HasSubstr("did not end in time"), HasSubstr("systemd is busy, or hangs"),
                                 HasSubstr("systemctl list-jobs")));
  EXPECT_EQ(inside({"list", "-q"}).out, "");
}

TEST_F(Systemd, ARestoreStartsItsScopeWithAPlaceholderThatTheFirstProcessReplaces) {
  const Outcome restored = restore("inside >before; pause; inside >after; done_with_it");
  ASSERT_TRUE(restored.ok()) << restored.describe();
  EXPECT_EQ(noted("before"), "cloche-runtime\n");
  EXPECT_EQ(noted("after"), "sleep\n");
  EXPECT_EQ(nest_->property(kUnit, "ActiveState"), "active");
  EXPECT_EQ(member(inside({"state", "box"}).out, ".status"), "running");
  const Outcome deleted = inside({"delete", "--force", "box"});
  EXPECT_TRUE(deleted.ok()) << deleted.describe();
  expect_nothing_left();
  const std::string directory = scratch() + "/nest/";
  const Outcome explained = inside({"--criu", directory + "criu", "explain", "--bundle", directory + "bundle",
                                    "--image-path", directory + "images", "box"});
  EXPECT_THAT(explained.out, AllOf(HasSubstr("with a placeholder"), HasSubstr("end the placeholder")))
      << explained.describe();
}

TEST_F(Systemd, ARestoreThatFailsLeavesNoScopeAndNoPlaceholder) {
  for (const char* where : {"", "pause; "}) {
    const Outcome failed =
        restore(fmt::format("{}kill $init; echo 'Error (criu/x.c:1): no more' >&2; exit 1", where));
    EXPECT_EQ(failed.exit_code, 1) << failed.describe();
    EXPECT_THAT(failed.out, HasSubstr("criu restore refused: no more"));
    expect_nothing_left();
  }
  const Outcome hooked = restore("pause || { kill $init; exit 1; }; done_with_it", "exit 3");
  EXPECT_EQ(hooked.exit_code, 1) << hooked.describe();
  EXPECT_THAT(hooked.out, HasSubstr("createRuntime hook 1 of 1"));
  expect_nothing_left();
}

// With the runtime its placeholder ends, and criu hears a no where it waits.
TEST_F(Systemd, ARestoreWhoseRuntimeIsKilledLeavesNoScope) {
  const Outcome killed = restore(
      "inside >before; kill -9 $PPID; pause; echo $? >answer; kill $init; mv answer answered; exit 1");
  EXPECT_EQ(killed.exit_code, 137) << killed.describe();
  const Outcome answered = nest_->shell(
      fmt::format("cd {}/nest; until [ -e answered ]; do sleep 0.1; done; cat answered", scratch()));
  EXPECT_NE(answered.out, "0\n");
  EXPECT_EQ(noted("before"), "cloche-runtime\n");
  // systemd has seen that it is empty.
  const Outcome seen = nest_->shell(
      fmt::format("until [ $(systemctl show -P LoadState {}) = not-found ]; do sleep 0.1; done", kUnit));
  EXPECT_TRUE(seen.ok()) << seen.describe();
  const Outcome deleted = inside({"delete", "--force", "box"});
  EXPECT_TRUE(deleted.ok()) << deleted.describe();
  expect_nothing_left();
}

// ---- where there is none ------------------------------------------------------------------------------------------

using NoSystemd = RuntimeTest;

TEST_F(NoSystemd, IsSaidWithWhatToDo) {
  const auto box = bundle({"true"});
  box.write();
  Outcome refused = test::run({.argv = command({"--systemd-cgroup", "run", "--bundle", box.path(), "box"}),
                               .set_env = {"DBUS_SYSTEM_BUS_ADDRESS=unix:path=" + scratch() + "/no-bus"}});
  EXPECT_EQ(refused.exit_code, 1) << refused.describe();
  EXPECT_THAT(refused.err, AllOf(HasSubstr("no systemd answers on this host"), HasSubstr("/no-bus"),
                                 HasSubstr("cgroupfs")));
  EXPECT_EQ(runtime({"list", "-q"}).out, "");
}

TEST_F(NoSystemd, AUserIsToldHowToHaveAManager) {
  CLOCHE_NEEDS(needs::test_user());
  const TestUser& user = TestUser::get();
  const auto box = bundle({"true"});
  box.write();
  shell(fmt::format("chmod 755 {} && chmod -R a+rX {}", scratch(), box.path()));
  const Outcome refused = user.run(
      {.argv = {program("cloche-runtime"), "--systemd-cgroup", "run", "--bundle", box.path(), "box"}});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.err, AllOf(HasSubstr("no systemd manager of this user answers"),
                                 HasSubstr("enable-linger"), HasSubstr("XDG_RUNTIME_DIR")));
}

TEST_F(NoSystemd, AMissingHelperIsNamed) {
  const auto box = bundle({"true"});
  box.write();
  const Outcome refused =
      test::run({.argv = command({"--systemd-cgroup", "run", "--bundle", box.path(), "box"}),
                 .set_env = {"CLOCHE_SYSTEMD=/no/such/program"}});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.err, HasSubstr("CLOCHE_SYSTEMD=/no/such/program: there is no such program"));
}

}  // namespace
}  // namespace cloche::test
