// linux.seccomp by what the container's calls are answered.
#include <algorithm>
#include <cerrno>
#include <sstream>

#include "support/bundle.h"
#include "support/needs.h"
#include "support/place.h"

namespace cloche::test {
namespace {

class RuntimeSeccomp : public RuntimeTest {
 protected:
  Bundle refusing(std::vector<spec::SeccompSyscall> syscalls, const std::string& script) {
    auto box = bundle({"sh", "-c", script});
    box.config.linux_->seccomp =
        spec::Seccomp{.defaultAction = "SCMP_ACT_ALLOW", .syscalls = std::move(syscalls)};
    return box;
  }
};

constexpr const char kMakes[] = "mkdir /dev/shm/x 2>&1 && echo made";

TEST_F(RuntimeSeccomp, ANamedCallHasItsError) {
  CLOCHE_NEEDS(needs::root());
  auto box = refusing(
      {{.names = {"mkdir", "mkdirat"}, .action = "SCMP_ACT_ERRNO", .errnoRet = ENOMEDIUM, .args = {}}},
      kMakes);
  EXPECT_EQ(run(box).out, "mkdir: can't create directory '/dev/shm/x': No medium found\n");
  auto& rule = box.config.linux_->seccomp->syscalls.front();
  rule.errnoRet.reset();
  EXPECT_EQ(run(box).out, "mkdir: can't create directory '/dev/shm/x': Operation not permitted\n");
  rule.names = {"rmdir"};
  EXPECT_EQ(run(box).out, "made\n");
}

// Every call that the default profile names is allowed, but for one.
TEST_F(RuntimeSeccomp, ACallThatIsNotNamedHasTheDefaultError) {
  CLOCHE_NEEDS(needs::root());
  const Outcome names =
      test::run({.argv = {"jq", "-r", R"(.syscalls[] | select(.action == "SCMP_ACT_ALLOW") | .names[])",
                          (source_directory() / "profiles/default.json").string()}});
  ASSERT_TRUE(names.ok()) << names.describe();
  spec::Strings allowed;
  std::istringstream lines(names.out);
  for (std::string name; std::getline(lines, name);) allowed.push_back(name);
  std::erase_if(allowed, [](const std::string& name) { return name.starts_with("mkdir"); });
  auto box = refusing({{.names = allowed, .action = "SCMP_ACT_ALLOW", .errnoRet = {}, .args = {}}}, kMakes);
  box.config.linux_->seccomp->defaultAction = "SCMP_ACT_ERRNO";
  EXPECT_EQ(run(box).out, "mkdir: can't create directory '/dev/shm/x': Operation not permitted\n");
  box.config.linux_->seccomp->defaultErrnoRet = ENOMEDIUM;
  EXPECT_EQ(run(box).out, "mkdir: can't create directory '/dev/shm/x': No medium found\n");
}

// kill(pid, signal): the first process of a pid namespace takes no harm from signals that it does not handle.
TEST_F(RuntimeSeccomp, ArgumentsAreCompared) {
  CLOCHE_NEEDS(needs::root());
  struct Comparison {
    spec::SeccompArg with;
    std::string refused;
  };
  const std::string script =
      "trap '' USR1 USR2 ALRM TERM; sleep 1000 & for pid in 1 $!; do for signal in 10 12 14 15; do "
      "kill -$signal $pid 2>/dev/null || echo -n $signal,; done; done; kill -9 $!";
  for (const Comparison& compare : {
           Comparison{{.index = 1, .value = 12, .op = "SCMP_CMP_EQ"}, "12,"},
           Comparison{{.index = 1, .value = 12, .op = "SCMP_CMP_NE"}, "10,14,15,"},
           Comparison{{.index = 1, .value = 12, .op = "SCMP_CMP_LT"}, "10,"},
           Comparison{{.index = 1, .value = 12, .op = "SCMP_CMP_LE"}, "10,12,"},
           Comparison{{.index = 1, .value = 12, .op = "SCMP_CMP_GT"}, "14,15,"},
           Comparison{{.index = 1, .value = 12, .op = "SCMP_CMP_GE"}, "12,14,15,"},
           Comparison{{.index = 1, .value = 2, .valueTwo = 2, .op = "SCMP_CMP_MASKED_EQ"}, "10,14,15,"},
       }) {
    auto box = refusing({{.names = {"kill"},
                          .action = "SCMP_ACT_ERRNO",
                          .errnoRet = {},
                          .args = {{.index = 0, .value = 1, .op = "SCMP_CMP_EQ"}, compare.with}}},
                        script);
    const Outcome outcome = run(box);
    EXPECT_EQ(outcome.out, compare.refused) << compare.with.op << outcome.describe();
  }
}

}  // namespace
}  // namespace cloche::test
