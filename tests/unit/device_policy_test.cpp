// Device programs, run by a small interpreter and held against the rules read one by one.
#include "kernel/device_policy.h"

#include <gtest/gtest.h>

#include <array>
#include <random>
#include <stdexcept>
#include <string_view>

namespace cloche::kernel {
namespace {

using spec::DeviceCgroup;
using Rules = std::vector<DeviceCgroup>;

struct Request {
  char type = 'c';
  uint32_t major = 0, minor = 0;
  std::string access;
};

// The part of eBPF that the programs use; anything else, and any jump backwards or outside, throws.
bool run(const std::vector<bpf_insn>& code, const Request& request) {
  uint32_t access = 0;
  for (const char c : request.access)
    access |= c == 'r' ? BPF_DEVCG_ACC_READ : c == 'w' ? BPF_DEVCG_ACC_WRITE : BPF_DEVCG_ACC_MKNOD;
  const std::array<uint32_t, 3> context = {
      access << 16 | (request.type == 'c' ? BPF_DEVCG_DEV_CHAR : BPF_DEVCG_DEV_BLOCK), request.major,
      request.minor};
  std::array<uint64_t, 11> r{};
  for (size_t pc = 0;;) {
    const bpf_insn& i = code.at(pc++);
    const auto value = static_cast<uint64_t>(static_cast<int64_t>(i.imm));
    switch (i.code) {
      case BPF_LDX | BPF_MEM | BPF_W:
        r[i.dst_reg] = context.at(static_cast<size_t>(i.off) / 4);
        break;
      case BPF_ALU | BPF_MOV | BPF_X:
        r[i.dst_reg] = static_cast<uint32_t>(r[i.src_reg]);
        break;
      case BPF_ALU | BPF_RSH | BPF_K:
        r[i.dst_reg] = static_cast<uint32_t>(r[i.dst_reg]) >> i.imm;
        break;
      case BPF_ALU | BPF_AND | BPF_K:
        r[i.dst_reg] = static_cast<uint32_t>(r[i.dst_reg] & value);
        break;
      case BPF_ALU64 | BPF_MOV | BPF_K:
        r[i.dst_reg] = value;
        break;
      case BPF_JMP | BPF_JNE | BPF_K:
        pc += r[i.dst_reg] != value ? static_cast<uint16_t>(i.off) : 0;
        break;
      case BPF_JMP | BPF_JEQ | BPF_K:
        pc += r[i.dst_reg] == value ? static_cast<uint16_t>(i.off) : 0;
        break;
      case BPF_JMP | BPF_EXIT:
        return r[0] != 0;
      default:
        throw std::runtime_error("unknown instruction");
    }
  }
}

// The rules as they are written: for each access the last one that matches.
bool model(const Rules& rules, const Request& request) {
  const auto matches = [&](const DeviceCgroup& rule, char access) {
    const bool type = rule.type.empty() || rule.type == "a" || rule.type[0] == request.type;
    const bool major = rule.major.value_or(-1) == -1 || rule.major == request.major;
    const bool minor = rule.minor.value_or(-1) == -1 || rule.minor == request.minor;
    return type && major && minor && (rule.access.empty() || rule.access.contains(access));
  };
  for (const char access : request.access) {
    bool allowed = false;
    for (const DeviceCgroup& rule : rules)
      if (matches(rule, access)) allowed = rule.allow;
    if (!allowed) return false;
  }
  return true;
}

bool allowed(const Rules& rules, const Request& request) {
  const auto code = compile_device_rules(rules);
  EXPECT_TRUE(code) << code.error().message();
  return code && run(*code, request);
}

TEST(DevicePolicy, NothingIsAllowedWithoutARule) {
  EXPECT_FALSE(allowed({}, {'c', 1, 3, "r"}));
  EXPECT_FALSE(allowed({{.allow = false, .access = "rwm"}}, {'c', 1, 3, "r"}));
  EXPECT_TRUE(allowed({{.allow = true}}, {'b', 8, 0, "rw"}));
}

// As the planner writes them: deny all, making any node, the standard devices.
Rules standard_rules() {
  Rules rules = {{.allow = false, .access = "rwm"},
                 {.allow = true, .type = "c", .access = "m"},
                 {.allow = true, .type = "b", .access = "m"},
                 {.allow = true, .type = "c", .major = 136, .access = "rwm"}};
  for (const int64_t minor : {3, 5, 7, 8, 9})
    rules.push_back({.allow = true, .type = "c", .major = 1, .minor = minor, .access = "rwm"});
  for (const int64_t minor : {0, 1, 2})
    rules.push_back({.allow = true, .type = "c", .major = 5, .minor = minor, .access = "rwm"});
  return rules;
}

TEST(DevicePolicy, TheStandardDevicesAfterDenyAll) {
  const Rules rules = standard_rules();
  EXPECT_TRUE(allowed(rules, {'c', 1, 3, "rw"})) << "null";
  EXPECT_TRUE(allowed(rules, {'c', 136, 7, "rw"})) << "pts/7";
  EXPECT_TRUE(allowed(rules, {'c', 5, 2, "rw"})) << "ptmx";
  EXPECT_TRUE(allowed(rules, {'b', 8, 0, "m"})) << "mknod of anything";
  EXPECT_FALSE(allowed(rules, {'b', 8, 0, "r"}));
  EXPECT_FALSE(allowed(rules, {'b', 1, 3, "r"})) << "a block device is not null";
  EXPECT_FALSE(allowed(rules, {'c', 1, 1, "r"})) << "mem";
  EXPECT_FALSE(allowed(rules, {'c', 1, 11, "r"})) << "kmsg";
  EXPECT_FALSE(allowed(rules, {'c', 1, 1, "rm"}));
  EXPECT_FALSE(allowed(rules, {'c', 10, 200, "rw"})) << "net/tun";
}

TEST(DevicePolicy, LaterRulesOverrideOneAccessAtATime) {
  const Rules rules = {{.allow = true, .type = "c", .major = 1, .minor = 3, .access = "rw"},
                       {.allow = false, .type = "c", .major = 1, .access = "w"}};
  EXPECT_TRUE(allowed(rules, {'c', 1, 3, "r"}));
  EXPECT_FALSE(allowed(rules, {'c', 1, 3, "w"}));
  EXPECT_FALSE(allowed(rules, {'c', 1, 3, "rw"}));
}

TEST(DevicePolicy, AccessMayComeFromTwoRules) {
  const Rules rules = {{.allow = true, .type = "b", .major = 7, .access = "r"},
                       {.allow = true, .type = "b", .minor = 0, .access = "w"}};
  EXPECT_TRUE(allowed(rules, {'b', 7, 0, "rw"}));
  EXPECT_FALSE(allowed(rules, {'b', 7, 1, "rw"}));
}

TEST(DevicePolicy, MootRulesAreLeftOut) {
  const auto size = [](const Rules& rules) { return simplify_device_rules(rules)->size(); };
  EXPECT_EQ(size({{.allow = false}, {.allow = true, .type = "c", .major = 1, .minor = 3}}), 1U);
  EXPECT_EQ(size({{.allow = true, .type = "c", .major = 1}, {.allow = false}}), 0U);
  EXPECT_EQ(size({{.allow = true, .type = "c", .major = 1, .access = "r"},
                  {.allow = true, .type = "c", .major = 1}}),
            1U);
  EXPECT_EQ(size({{.allow = true, .type = "c", .major = 1},
                  {.allow = false, .type = "c", .major = 1, .access = "w"}}),
            2U);
}

// The verifier walks every way through it: a question asked twice costs each container's start.
TEST(DevicePolicy, AsksEachQuestionOnce) {
  EXPECT_LE(compile_device_rules(standard_rules())->size(), 26U);
  EXPECT_LE(compile_device_rules(Rules{{.allow = true}})->size(), 8U);
}

TEST(DevicePolicy, MoreRulesThanAProgramHoldsAreRefused) {
  Rules rules;
  for (int64_t minor = 0; minor < 4097; ++minor)
    rules.push_back({.allow = true, .type = "c", .major = 1, .minor = minor, .access = "rwm"});
  const auto code = compile_device_rules(rules);
  ASSERT_FALSE(code);
  EXPECT_TRUE(code.error().message().contains("at most 4096 rules")) << code.error().message();
}

TEST(DevicePolicy, ErrorsNameTheRule) {
  const auto error = [](const Rules& rules) { return compile_device_rules(rules).error().message(); };
  EXPECT_EQ(error({{.allow = true}, {.allow = true, .type = "p"}}),
            "linux.resources.devices[1]: type: \"p\" is none of a, b, c");
  EXPECT_EQ(error({{.allow = true, .access = "rx"}}),
            "linux.resources.devices[0]: access: \"rx\" is not made of r, w, m");
  EXPECT_EQ(error({{.allow = true, .major = -2}}),
            "linux.resources.devices[0]: major: -2 is not a device number");
  EXPECT_EQ(error({{.allow = true, .minor = int64_t{1} << 32}}),
            "linux.resources.devices[0]: minor: 4294967296 is not a device number");
}

// Few values, so that rules meet often.
Rules random_rules(std::mt19937& random) {
  const auto pick = [&](size_t n) { return static_cast<size_t>(random() % n); };
  constexpr std::array<const char*, 5> kTypes = {"a", "b", "c", "c", ""};
  constexpr std::array<const char*, 8> kAccess = {"r", "w", "m", "rw", "rm", "wm", "rwm", ""};
  Rules rules(pick(9));
  for (DeviceCgroup& rule : rules) {
    rule = {
        .allow = pick(2) == 1, .type = kTypes[pick(kTypes.size())], .access = kAccess[pick(kAccess.size())]};
    if (pick(2) == 1) rule.major = static_cast<int64_t>(pick(4)) - 1;
    if (pick(2) == 1) rule.minor = static_cast<int64_t>(pick(4)) - 1;
  }
  return rules;
}

TEST(DevicePolicy, ProgramsAgreeWithTheRules) {
  std::mt19937 random(22);
  for (int round = 0; round < 3000; ++round) {
    const Rules rules = random_rules(random);
    const auto code = compile_device_rules(rules);
    ASSERT_TRUE(code) << code.error().message();
    for (const char type : {'b', 'c'})
      for (uint32_t major = 0; major < 4; ++major)
        for (uint32_t minor = 0; minor < 4; ++minor)
          for (const char* access : {"r", "w", "m", "rw", "rwm"}) {
            const Request request{type, major, minor, access};
            ASSERT_EQ(run(*code, request), model(rules, request))
                << "round " << round << ": " << type << ' ' << major << ':' << minor << ' ' << access;
          }
  }
}

}  // namespace
}  // namespace cloche::kernel
