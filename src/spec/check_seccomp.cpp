#include <array>

#include "spec/checks.h"

namespace cloche::spec {
namespace {

// config-linux.md, section seccomp.
constexpr std::array<std::string_view, 9> kActions{
    "SCMP_ACT_KILL",  "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP",  "SCMP_ACT_ERRNO",
    "SCMP_ACT_TRACE", "SCMP_ACT_ALLOW",        "SCMP_ACT_LOG",         "SCMP_ACT_NOTIFY"};
constexpr std::array<std::string_view, 7> kOperators{"SCMP_CMP_NE",       "SCMP_CMP_LT", "SCMP_CMP_LE",
                                                     "SCMP_CMP_EQ",       "SCMP_CMP_GE", "SCMP_CMP_GT",
                                                     "SCMP_CMP_MASKED_EQ"};
constexpr std::array<std::string_view, 21> kArchitectures{
    "SCMP_ARCH_X86",     "SCMP_ARCH_X86_64",   "SCMP_ARCH_X32",         "SCMP_ARCH_ARM",
    "SCMP_ARCH_AARCH64", "SCMP_ARCH_MIPS",     "SCMP_ARCH_MIPS64",      "SCMP_ARCH_MIPS64N32",
    "SCMP_ARCH_MIPSEL",  "SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32", "SCMP_ARCH_PPC",
    "SCMP_ARCH_PPC64",   "SCMP_ARCH_PPC64LE",  "SCMP_ARCH_S390",        "SCMP_ARCH_S390X",
    "SCMP_ARCH_PARISC",  "SCMP_ARCH_PARISC64", "SCMP_ARCH_RISCV64",     "SCMP_ARCH_LOONGARCH64",
    "SCMP_ARCH_M68K"};
constexpr std::array<std::string_view, 4> kFlags{"SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG",
                                                 "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
                                                 "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"};
// MAX_ERRNO of the kernel: what a filter can return.
constexpr uint32_t kHighestErrno = 4095;

Check known(const std::string& word, std::span<const std::string_view> words, std::string_view kind,
            const std::string& path) {
  if (is_one_of(word, words)) return {};
  return wrong(path, fmt::format("\"{}\" is no {} of seccomp", printable(word), kind));
}

Check check_errno(const std::optional<uint32_t>& number, const std::string& path) {
  if (number.value_or(0) <= kHighestErrno) return {};
  return wrong(path, fmt::format("{} is not in 0 to {}", *number, kHighestErrno));
}

Check check_rule(const SeccompSyscall& rule, const std::string& path) {
  if (rule.names.empty()) return wrong(path + ".names", "a rule names at least one system call");
  CLOCHE_TRY(known(rule.action, kActions, "action", path + ".action"));
  CLOCHE_TRY(check_errno(rule.errnoRet, path + ".errnoRet"));
  for (size_t i = 0; i < rule.args.size(); ++i) {
    const auto at = fmt::format("{}.args[{}]", path, i);
    CLOCHE_TRY(known(rule.args[i].op, kOperators, "comparison", at + ".op"));
    if (rule.args[i].index > 5)
      return wrong(at + ".index", fmt::format("{} is not in 0 to 5", rule.args[i].index));
  }
  return {};
}

}  // namespace

Check check_seccomp(const Seccomp& seccomp, const std::string& path, Warnings& warnings) {
  CLOCHE_TRY(known(seccomp.defaultAction, kActions, "action", path + ".defaultAction"));
  CLOCHE_TRY(check_errno(seccomp.defaultErrnoRet, path + ".defaultErrnoRet"));
  for (size_t i = 0; i < seccomp.architectures.size(); ++i)
    CLOCHE_TRY(known(seccomp.architectures[i], kArchitectures, "architecture",
                     fmt::format("{}.architectures[{}]", path, i)));
  for (size_t i = 0; i < seccomp.flags.size(); ++i)
    CLOCHE_TRY(known(seccomp.flags[i], kFlags, "flag", fmt::format("{}.flags[{}]", path, i)));
  for (size_t i = 0; i < seccomp.syscalls.size(); ++i)
    CLOCHE_TRY(check_rule(seccomp.syscalls[i], fmt::format("{}.syscalls[{}]", path, i)));
  if (!seccomp.listenerPath.empty())
    CLOCHE_TRY(must_be_absolute(path + ".listenerPath", seccomp.listenerPath));
  if (seccomp.listenerPath.empty() && !seccomp.listenerMetadata.empty())
    warnings.push_back({path + ".listenerMetadata", "has no meaning without listenerPath"});
  return {};
}

}  // namespace cloche::spec
