#include "kernel/seccomp.h"

#include <gtest/gtest.h>
#include <sys/syscall.h>

#include <cerrno>
#include <random>

#include "bpf_interpreter.h"
#include "kernel/seccomp_optimize.h"
#include "kernel/seccomp_profile.h"

namespace cloche::kernel {
namespace {

using test::answer;
using test::kAllow;
using test::kKillProcess;
using test::refuse;

SeccompProgram compile(const spec::Seccomp& filter) {
  auto program = compile_seccomp(filter);
  EXPECT_TRUE(program) << program.error().message();
  return program ? *std::move(program) : SeccompProgram{};
}

std::string error_of(const spec::Seccomp& filter) {
  const auto program = compile_seccomp(filter);
  return program ? "no error" : program.error().message();
}

spec::Seccomp allow_all_but(std::vector<spec::SeccompSyscall> rules) {
  return {.defaultAction = "SCMP_ACT_ALLOW", .syscalls = std::move(rules)};
}

TEST(Seccomp, EveryAction) {
  const struct {
    const char* name;
    uint32_t answer;
  } kActions[] = {
      {"SCMP_ACT_KILL", SECCOMP_RET_KILL_THREAD},
      {"SCMP_ACT_KILL_THREAD", SECCOMP_RET_KILL_THREAD},
      {"SCMP_ACT_KILL_PROCESS", SECCOMP_RET_KILL_PROCESS},
      {"SCMP_ACT_TRAP", SECCOMP_RET_TRAP},
      {"SCMP_ACT_ERRNO", SECCOMP_RET_ERRNO | 7},
      {"SCMP_ACT_TRACE", SECCOMP_RET_TRACE | 7},
      {"SCMP_ACT_LOG", SECCOMP_RET_LOG},
      {"SCMP_ACT_NOTIFY", SECCOMP_RET_USER_NOTIF},
  };
  for (const auto& action : kActions) {
    const SeccompProgram program =
        compile(allow_all_but({{.names = {"getppid"}, .action = action.name, .errnoRet = 7}}));
    EXPECT_EQ(answer(program.code, {.number = SYS_getppid}), action.answer) << action.name;
    EXPECT_EQ(answer(program.code, {.number = SYS_getpid}), kAllow);
    EXPECT_EQ(program.notifies, std::string(action.name) == "SCMP_ACT_NOTIFY");
  }
}

TEST(Seccomp, EveryOperator) {
  const struct {
    const char* op;
    uint64_t value, value_two, matches, differs;
  } kOperators[] = {
      {"SCMP_CMP_NE", 5, 0, 6, 5},
      {"SCMP_CMP_LT", 5, 0, 4, 5},
      {"SCMP_CMP_LE", 5, 0, 5, 6},
      {"SCMP_CMP_EQ", uint64_t{5} << 32, 0, uint64_t{5} << 32, 5},
      {"SCMP_CMP_GE", 5, 0, uint64_t{1} << 32, 4},
      {"SCMP_CMP_GT", 5, 0, 6, 5},
      {"SCMP_CMP_MASKED_EQ", 0xf0, 0x30, 0x3f, 0x43},
  };
  for (const auto& o : kOperators) {
    const SeccompProgram program = compile(
        allow_all_but({{.names = {"getppid"},
                        .action = "SCMP_ACT_ERRNO",
                        .args = {{.index = 2, .value = o.value, .valueTwo = o.value_two, .op = o.op}}}}));
    EXPECT_EQ(answer(program.code, {.number = SYS_getppid, .args = {0, 0, o.matches}}), refuse(EPERM))
        << o.op;
    EXPECT_EQ(answer(program.code, {.number = SYS_getppid, .args = {0, 0, o.differs}}), kAllow) << o.op;
  }
}

TEST(Seccomp, ConditionsOnOneArgumentAreAlternativesOnTwoAreJoint) {
  const SeccompProgram program =
      compile(allow_all_but({{.names = {"getppid"},
                              .action = "SCMP_ACT_ERRNO",
                              .args = {{.index = 0, .value = 1, .op = "SCMP_CMP_EQ"},
                                       {.index = 0, .value = 2, .op = "SCMP_CMP_EQ"}}},
                             {.names = {"getpid"},
                              .action = "SCMP_ACT_ERRNO",
                              .args = {{.index = 0, .value = 1, .op = "SCMP_CMP_EQ"},
                                       {.index = 1, .value = 2, .op = "SCMP_CMP_EQ"}}}}));
  EXPECT_EQ(answer(program.code, {.number = SYS_getppid, .args = {1}}), refuse(EPERM));
  EXPECT_EQ(answer(program.code, {.number = SYS_getppid, .args = {2}}), refuse(EPERM));
  EXPECT_EQ(answer(program.code, {.number = SYS_getppid, .args = {3}}), kAllow);
  EXPECT_EQ(answer(program.code, {.number = SYS_getpid, .args = {1, 2}}), refuse(EPERM));
  EXPECT_EQ(answer(program.code, {.number = SYS_getpid, .args = {1, 3}}), kAllow);
}

TEST(Seccomp, ArchitecturesAreKilledUnlessNamed) {
  spec::Seccomp filter = allow_all_but({{.names = {"getppid", "mseal"}, .action = "SCMP_ACT_ERRNO"}});
  SeccompProgram program = compile(filter);
  EXPECT_EQ(answer(program.code, {.number = 64, .arch = AUDIT_ARCH_I386}), kKillProcess);
  EXPECT_EQ(answer(program.code, {.number = SYS_getppid | 0x40000000}), kKillProcess);

  filter.architectures = {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"};
  program = compile(filter);
  EXPECT_EQ(answer(program.code, {.number = 64, .arch = AUDIT_ARCH_I386}), refuse(EPERM))
      << "getppid of i386";
  EXPECT_EQ(answer(program.code, {.number = SYS_getppid, .arch = AUDIT_ARCH_I386}), kAllow);
  EXPECT_EQ(answer(program.code, {.number = SYS_getppid | 0x40000000}), refuse(EPERM));
  EXPECT_EQ(answer(program.code, {.number = SYS_getppid}), refuse(EPERM));
  EXPECT_EQ(answer(program.code, {.number = 462}), refuse(EPERM))
      << "mseal, which libseccomp 2.5.4 does not know";
  EXPECT_EQ(answer(program.code, {.number = SYS_getppid, .arch = AUDIT_ARCH_ARM}), kKillProcess);
}

TEST(Seccomp, NewerCallsAreEnosysOnlyWithAPlainErrnoDefault) {
  spec::Seccomp filter{.defaultAction = "SCMP_ACT_ERRNO",
                       .architectures = {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"},
                       .syscalls = {{.names = {"read", "openat2"}, .action = "SCMP_ACT_ALLOW"}}};
  SeccompProgram program = compile(filter);
  for (const uint32_t arch : {uint32_t{AUDIT_ARCH_X86_64}, uint32_t{AUDIT_ARCH_I386}}) {
    EXPECT_EQ(answer(program.code, {.number = 438, .arch = arch}), refuse(ENOSYS)) << "openat2 is 437";
    EXPECT_EQ(answer(program.code, {.number = 437, .arch = arch}), kAllow);
    EXPECT_EQ(answer(program.code, {.number = 436, .arch = arch}), refuse(EPERM));
  }
  EXPECT_EQ(answer(program.code, {.number = 438 | 0x40000000}), refuse(ENOSYS));
  EXPECT_EQ(answer(program.code, {.number = 437 | 0x40000000}), kAllow);

  filter.defaultErrnoRet = EACCES;
  EXPECT_EQ(answer(compile(filter).code, {.number = 438}), refuse(EACCES));
  filter.defaultErrnoRet.reset();
  filter.defaultAction = "SCMP_ACT_KILL_PROCESS";
  EXPECT_EQ(answer(compile(filter).code, {.number = 438}), kKillProcess);
}

TEST(Seccomp, RuleThatSaysTheDefaultAndUnknownCallsAreNoErrors) {
  const SeccompProgram program =
      compile(allow_all_but({{.names = {"getppid", "no_such_call"}, .action = "SCMP_ACT_ALLOW"},
                             {.names = {"no_such_call", "getpid"}, .action = "SCMP_ACT_ERRNO"},
                             {.names = {"getpid"}, .action = "SCMP_ACT_ERRNO"}}));
  EXPECT_EQ(program.unknown_calls, std::vector<std::string>{"no_such_call"});
  EXPECT_EQ(answer(program.code, {.number = SYS_getpid}), refuse(EPERM));
}

TEST(Seccomp, FlagsAndErrors) {
  spec::Seccomp filter = allow_all_but({});
  filter.flags = {"SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"};
  EXPECT_EQ(compile(filter).flags, 1U | 2U | 4U);
  filter.flags = {"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"};
  EXPECT_TRUE(error_of(filter).contains("needs a call with SCMP_ACT_NOTIFY"));
  filter.flags = {"FAST"};
  EXPECT_EQ(error_of(filter), "linux.seccomp.flags: \"FAST\" is not a flag");
  EXPECT_EQ(error_of({.defaultAction = "ALLOW"}), "linux.seccomp.defaultAction: \"ALLOW\" is not an action");
  EXPECT_TRUE(error_of({.defaultAction = "SCMP_ACT_NOTIFY"})
                  .starts_with("linux.seccomp.defaultAction: SCMP_ACT_NOTIFY"));
  EXPECT_EQ(error_of({.defaultAction = "SCMP_ACT_ALLOW", .architectures = {"SCMP_ARCH_PDP11"}}),
            "linux.seccomp.architectures: \"SCMP_ARCH_PDP11\" is not an architecture");
  EXPECT_EQ(error_of(allow_all_but({{.names = {"read"}, .action = "SCMP_ACT_ERRNO", .args = {{.op = "="}}}})),
            "linux.seccomp.syscalls[0].args[0].op: \"=\" is not an operator");
  EXPECT_EQ(
      error_of(allow_all_but(
          {{.names = {"read"}, .action = "SCMP_ACT_ERRNO", .args = {{.index = 6, .op = "SCMP_CMP_EQ"}}}})),
      "linux.seccomp.syscalls[0].args[0].index: 6 is not one of 0 to 5");
}

// A straight list of comparisons, as libseccomp writes it, over random numbers and outcomes.
std::vector<sock_filter> random_list(std::mt19937& random) {
  std::vector<sock_filter> code;
  const auto add = [&](int op, uint32_t k, int jt, int jf) {
    code.push_back(
        BPF_JUMP(static_cast<uint16_t>(op), k, static_cast<uint8_t>(jt), static_cast<uint8_t>(jf)));
  };
  code.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 4));
  add(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
  code.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
  code.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0));
  const int count = static_cast<int>(random() % 700);
  const int ops[] = {BPF_JEQ, BPF_JEQ, BPF_JEQ, BPF_JGE, BPF_JGT};
  for (int i = 0; i < count; ++i) {
    const auto number = static_cast<uint32_t>(random() % 600);
    const bool looks = random() % 8 == 0;
    add(BPF_JMP | BPF_K | ops[random() % (i < count / 2 ? 3 : 5)], number, 0, looks ? 4 : 1);
    if (looks) {
      code.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 16));
      code.push_back(BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xff));
      add(BPF_JMP | BPF_JEQ | BPF_K, random() % 4, 0, 1);
    }
    code.push_back(BPF_STMT(BPF_RET | BPF_K, static_cast<uint32_t>(SECCOMP_RET_ERRNO | random() % 3)));
    if (looks) code.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0));
  }
  code.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  return code;
}

TEST(SeccompOptimize, AnswersAreTheSame) {
  std::mt19937 random(18);
  for (int round = 0; round < 40; ++round) {
    const std::vector<sock_filter> plain = random_list(random);
    const std::vector<sock_filter> quick = optimize_seccomp(plain);
    ASSERT_LE(quick.size(), size_t{BPF_MAXINSNS});
    size_t plain_steps = 0, quick_steps = 0;
    for (uint32_t number = 0; number < 620; ++number)
      for (uint64_t arg = 0; arg < 4; ++arg)
        ASSERT_EQ(answer(plain, {.number = number, .args = {arg}}, &plain_steps),
                  answer(quick, {.number = number, .args = {arg}}, &quick_steps))
            << "round " << round << " number " << number;
    for (const uint32_t number : {0x40000000U, 0x7fffffffU, 0x80000000U, 0xffffffffU})
      ASSERT_EQ(answer(plain, {.number = number}), answer(quick, {.number = number})) << number;
    ASSERT_EQ(answer(quick, {.number = 1, .arch = AUDIT_ARCH_I386}), kKillProcess);
    EXPECT_TRUE(plain.size() < 300 || quick_steps < plain_steps);
  }
}

TEST(SeccompOptimize, LeavesForeignProgramsAlone) {
  const std::vector<sock_filter> program = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
                                            BPF_STMT(BPF_MISC | BPF_TAX, 0), BPF_STMT(BPF_RET | BPF_A, 0)};
  EXPECT_EQ(optimize_seccomp(program).size(), program.size());
}

TEST(SeccompProfile, ConditionsAndErrors) {
  const ProfileFacts facts{.capabilities = {21}, .kernel_major = 5, .kernel_minor = 15};
  const char* json = R"({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1,
    "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
    "syscalls": [
      {"names": ["a"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"], "minKernel": "4.8"}},
      {"names": ["b"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_BOOT"]}},
      {"names": ["c"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
      {"name": "d", "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["amd64"]}, "excludes": {}},
      {"names": ["e"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "6.1"}}]})";
  const auto profile = read_seccomp_profile(json, facts);
  ASSERT_TRUE(profile) << profile.error().message();
  ASSERT_EQ(profile->filter.syscalls.size(), 2U);
  EXPECT_EQ(profile->filter.syscalls[0].names, spec::Strings{"a"});
  EXPECT_EQ(profile->filter.syscalls[1].names, spec::Strings{"d"});
  EXPECT_EQ(profile->conditions, (CapabilitySet{21, 22}));
  EXPECT_EQ(profile->filter.architectures, (spec::Strings{"SCMP_ARCH_X86_64", "SCMP_ARCH_X86"}));

  const auto error = [&](const char* text) { return read_seccomp_profile(text, facts).error().message(); };
  EXPECT_TRUE(error("{").starts_with("seccomp profile: not JSON"));
  EXPECT_EQ(error(R"({"syscalls": [{"names": "a"}]})"),
            "seccomp profile: syscalls[0].names: expected a list of strings");
  EXPECT_EQ(error(R"({"syscalls": [{"args": [{"value": -1}]}]})"),
            "seccomp profile: syscalls[0].args[0].value: expected a number that is not negative");
  EXPECT_EQ(error(R"({"syscalls": [{"includes": {"minKernel": "six"}}]})"),
            "seccomp profile: syscalls[0].includes.minKernel: expected a version such as \"4.8\"");
}

}  // namespace
}  // namespace cloche::kernel
