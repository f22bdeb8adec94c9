#include "kernel/seccomp.h"

#include <fmt/format.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <map>
#include <memory>
#include <optional>

#include "kernel/seccomp_optimize.h"
#include "sys/call.h"

// Linux 5.19; the headers of the build may be older.
#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

namespace cloche::kernel {
namespace {

using sys::fail;
using sys::fail_because;
using sys::Fd;
using sys::Result;

constexpr uint32_t kX32Bit = 0x40000000;  // __X32_SYSCALL_BIT

struct CloseFilter {
  void operator()(void* filter) const { seccomp_release(filter); }
};
using Filter = std::unique_ptr<void, CloseFilter>;

// Calls newer than libseccomp 2.5.4. Since Linux 5.1 a new call has one number on every architecture.
constexpr struct {
  std::string_view name;
  int number;
} kNewerCalls[] = {
    {"statmount", 457},        {"listmount", 458},     {"lsm_get_self_attr", 459}, {"lsm_set_self_attr", 460},
    {"lsm_list_modules", 461}, {"mseal", 462},         {"setxattrat", 463},        {"getxattrat", 464},
    {"listxattrat", 465},      {"removexattrat", 466}, {"open_tree_attr", 467},    {"file_getattr", 468},
    {"file_setattr", 469},     {"listns", 470},
};

int newer_call(std::string_view name) {
  for (const auto& call : kNewerCalls)
    if (call.name == name) return call.number;
  return __NR_SCMP_ERROR;
}

struct Architecture {
  uint32_t token = 0;  // libseccomp's
  // As seccomp_data has it: x32 is a range of numbers of x86_64.
  [[nodiscard]] uint32_t audit() const { return token == SCMP_ARCH_X32 ? SCMP_ARCH_X86_64 : token; }
  [[nodiscard]] bool native() const { return token == seccomp_arch_native(); }
  [[nodiscard]] int number_of(const std::string& call) const {
    const int number = seccomp_syscall_resolve_name_arch(token, call.c_str());
    return number == __NR_SCMP_ERROR ? newer_call(call) : number;
  }
};

Result<std::vector<Architecture>> read_architectures(const std::vector<std::string>& names) {
  std::vector<Architecture> result;
  for (const std::string& name : names) {
    constexpr std::string_view kPrefix = "SCMP_ARCH_";
    std::string word = name.starts_with(kPrefix) ? name.substr(kPrefix.size()) : std::string();
    for (char& c : word) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    const uint32_t token = seccomp_arch_resolve_name(word.c_str());
    if (word.empty() || token == 0)
      return fail_because(fmt::format("linux.seccomp.architectures: \"{}\" is not an architecture", name));
    if (std::ranges::none_of(result, [&](const Architecture& known) { return known.token == token; }))
      result.push_back({.token = token});
  }
  if (result.empty()) result.push_back({.token = seccomp_arch_native()});
  return result;
}

Result<uint32_t> read_flags(const std::vector<std::string>& names) {
  uint32_t flags = 0;
  for (const std::string& name : names) {
    if (name == "SECCOMP_FILTER_FLAG_TSYNC")
      flags |= SECCOMP_FILTER_FLAG_TSYNC;
    else if (name == "SECCOMP_FILTER_FLAG_LOG")
      flags |= SECCOMP_FILTER_FLAG_LOG;
    else if (name == "SECCOMP_FILTER_FLAG_SPEC_ALLOW")
      flags |= SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    else if (name == "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV")
      flags |= SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    else
      return fail_because(fmt::format("linux.seccomp.flags: \"{}\" is not a flag", name));
  }
  return flags;
}

// libseccomp's word for an action. An ERRNO or TRACE without a value carries EPERM, as runc has it.
Result<uint32_t> read_action(const std::string& name, std::optional<uint32_t> value,
                             const std::string& field) {
  const uint32_t datum = value.value_or(EPERM) & 0xffff;
  if (name == "SCMP_ACT_KILL" || name == "SCMP_ACT_KILL_THREAD") return SCMP_ACT_KILL_THREAD;
  if (name == "SCMP_ACT_KILL_PROCESS") return SCMP_ACT_KILL_PROCESS;
  if (name == "SCMP_ACT_TRAP") return SCMP_ACT_TRAP;
  if (name == "SCMP_ACT_ERRNO") return SCMP_ACT_ERRNO(datum);
  if (name == "SCMP_ACT_TRACE") return SCMP_ACT_TRACE(datum);
  if (name == "SCMP_ACT_ALLOW") return SCMP_ACT_ALLOW;
  if (name == "SCMP_ACT_LOG") return SCMP_ACT_LOG;
  if (name == "SCMP_ACT_NOTIFY") return SCMP_ACT_NOTIFY;
  return fail_because(fmt::format("{}: \"{}\" is not an action", field, name));
}

Result<scmp_arg_cmp> read_comparison(const spec::SeccompArg& arg, const std::string& field) {
  static const std::map<std::string_view, scmp_compare> kOperators = {
      {"SCMP_CMP_NE", SCMP_CMP_NE},
      {"SCMP_CMP_LT", SCMP_CMP_LT},
      {"SCMP_CMP_LE", SCMP_CMP_LE},
      {"SCMP_CMP_EQ", SCMP_CMP_EQ},
      {"SCMP_CMP_GE", SCMP_CMP_GE},
      {"SCMP_CMP_GT", SCMP_CMP_GT},
      {"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ},
  };
  const auto op = kOperators.find(arg.op);
  if (op == kOperators.end())
    return fail_because(fmt::format("{}.op: \"{}\" is not an operator", field, arg.op));
  if (arg.index > 5) return fail_because(fmt::format("{}.index: {} is not one of 0 to 5", field, arg.index));
  return scmp_arg_cmp{.arg = arg.index, .op = op->second, .datum_a = arg.value, .datum_b = arg.valueTwo};
}

// The conditions under which a rule holds: one list, or where an argument is named twice one list for each
// condition.
using Alternatives = std::vector<std::vector<scmp_arg_cmp>>;
Result<Alternatives> read_conditions(const spec::SeccompSyscall& rule, const std::string& field) {
  std::vector<scmp_arg_cmp> all;
  bool repeated = false;
  for (size_t i = 0; i < rule.args.size(); ++i) {
    CLOCHE_TRY_ASSIGN(comparison, read_comparison(rule.args[i], fmt::format("{}.args[{}]", field, i)));
    repeated |= std::ranges::any_of(all, [&](const scmp_arg_cmp& c) { return c.arg == comparison.arg; });
    all.push_back(comparison);
  }
  if (!repeated) return Alternatives{all};
  Alternatives result;
  for (const scmp_arg_cmp& one : all) result.push_back({one});
  return result;
}

struct Rule {
  std::string call;
  uint32_t action = 0;
  Alternatives conditions;
};

struct Rules {
  uint32_t default_action = 0;
  std::vector<Rule> list;
};

// libseccomp takes a time that grows with the square of their number: minutes for 50,000.
Result<> check_count(const spec::Seccomp& filter) {
  constexpr size_t kMostRules = 8192;
  size_t count = 0;
  for (const spec::SeccompSyscall& entry : filter.syscalls) count += entry.names.size();
  if (count <= kMostRules) return {};
  return fail_because(
      fmt::format("linux.seccomp.syscalls: {} names of calls in all, the limit is {}", count, kMostRules));
}

Result<Rules> read_rules(const spec::Seccomp& filter) {
  CLOCHE_TRY(check_count(filter));
  Rules rules;
  CLOCHE_TRY_ASSIGN(default_action,
                    read_action(filter.defaultAction, filter.defaultErrnoRet, "linux.seccomp.defaultAction"));
  if (default_action == SCMP_ACT_NOTIFY)
    return fail_because(
        "linux.seccomp.defaultAction: SCMP_ACT_NOTIFY for every call leaves the supervisor no way to be "
        "asked");
  rules.default_action = default_action;
  for (size_t i = 0; i < filter.syscalls.size(); ++i) {
    const spec::SeccompSyscall& entry = filter.syscalls[i];
    const std::string field = fmt::format("linux.seccomp.syscalls[{}]", i);
    CLOCHE_TRY_ASSIGN(action, read_action(entry.action, entry.errnoRet, field + ".action"));
    CLOCHE_TRY_ASSIGN(conditions, read_conditions(entry, field));
    for (const std::string& call : entry.names)
      rules.list.push_back({.call = call, .action = action, .conditions = conditions});
  }
  return rules;
}

sys::Failure refused(int result, const std::string& what) {
  return fail(-result, fmt::format("libseccomp: {}", what));
}

Result<> add_rule(void* filter, const Rule& rule, int number) {
  for (const std::vector<scmp_arg_cmp>& conditions : rule.conditions) {
    const int result = seccomp_rule_add_array(filter, rule.action, number,
                                              static_cast<unsigned>(conditions.size()), conditions.data());
    // EEXIST: the very same rule again.
    if (result < 0 && result != -EEXIST) return refused(result, fmt::format("a rule for {}", rule.call));
  }
  return {};
}

// A filter of libseccomp for one architecture. One for several would translate every number by name, and does
// not know the names of kNewerCalls; separate ones are merged.
Result<Filter> build_filter(const Rules& rules, const Architecture& architecture) {
  Filter filter(seccomp_init(rules.default_action));
  if (!filter) return refused(-ENOMEM, "seccomp_init");
  if (!architecture.native()) {
    if (const int result = seccomp_arch_add(filter.get(), architecture.token); result < 0)
      return refused(result, "seccomp_arch_add");
    if (const int result = seccomp_arch_remove(filter.get(), seccomp_arch_native()); result < 0)
      return refused(result, "seccomp_arch_remove");
  }
  if (const int result = seccomp_attr_set(filter.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
      result < 0)
    return refused(result, "SCMP_FLTATR_ACT_BADARCH");
  for (const Rule& rule : rules.list) {
    // libseccomp refuses a rule that says what happens anyway.
    if (rule.action == rules.default_action) continue;
    int number = seccomp_syscall_resolve_name(rule.call.c_str());
    if (number == __NR_SCMP_ERROR && architecture.native()) number = newer_call(rule.call);
    if (number != __NR_SCMP_ERROR) CLOCHE_TRY(add_rule(filter.get(), rule, number));
  }
  return filter;
}

Result<Filter> build_merged(const Rules& rules, const std::vector<Architecture>& architectures) {
  Filter merged;
  for (const Architecture& architecture : architectures) {
    CLOCHE_TRY_ASSIGN(filter, build_filter(rules, architecture));
    if (!merged) {
      merged = std::move(filter);
      continue;
    }
    if (const int result = seccomp_merge(merged.get(), filter.get()); result < 0)
      return refused(result, "seccomp_merge");
    [[maybe_unused]] void* const part = filter.release();  // of `merged` from now on
  }
  return merged;
}

// libseccomp 2.5 writes a program to a descriptor only.
Result<std::vector<sock_filter>> export_program(void* filter) {
  const long opened = sys::raw_call(SYS_memfd_create, "seccomp", 1U /* MFD_CLOEXEC */);
  if (opened < 0) return fail(static_cast<int>(-opened), "memfd_create(\"seccomp\", MFD_CLOEXEC)");
  const Fd file(static_cast<int>(opened));
  if (const int result = seccomp_export_bpf(filter, file.get()); result < 0)
    return refused(result, "seccomp_export_bpf");
  const long size = sys::raw_call(SYS_lseek, file.get(), 0L, SEEK_CUR);
  if (size < 0) return fail(static_cast<int>(-size), "lseek(memfd, 0, SEEK_CUR)");
  std::vector<sock_filter> program(static_cast<size_t>(size) / sizeof(sock_filter));
  const long read = sys::raw_call(SYS_pread64, file.get(), program.data(), size, 0L);
  if (read != size) return fail(read < 0 ? static_cast<int>(-read) : EIO, "pread64(memfd, ...)");
  return program;
}

constexpr sock_filter load_word(uint32_t offset) { return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset); }
constexpr sock_filter jump(uint16_t condition, uint32_t value, uint8_t yes, uint8_t no) {
  return BPF_JUMP(static_cast<uint16_t>(BPF_JMP | BPF_K | condition), value, yes, no);
}

// Six instructions: ENOSYS for a call of this architecture that is newer than every call of the profile.
void add_newer_call_check(const Rules& rules, const Architecture& architecture,
                          std::vector<sock_filter>& code) {
  int newest = -1;
  for (const Rule& rule : rules.list) newest = std::max(newest, architecture.number_of(rule.call));
  if (newest < 0) return;
  const bool x32 = architecture.token == SCMP_ARCH_X32;
  code.push_back(load_word(offsetof(seccomp_data, arch)));
  code.push_back(jump(BPF_JEQ, architecture.audit(), 0, 4));
  code.push_back(load_word(offsetof(seccomp_data, nr)));
  // Numbers with the x32 bit are x32's, and no other's.
  code.push_back(jump(BPF_JGE, kX32Bit, x32 ? 0 : 2, x32 ? 2 : 0));
  code.push_back(jump(BPF_JGT, static_cast<uint32_t>(newest), 0, 1));
  code.push_back(BPF_STMT(BPF_RET | BPF_K, SCMP_ACT_ERRNO(ENOSYS)));
}

std::vector<std::string> find_unknown(const Rules& rules, const std::vector<Architecture>& architectures) {
  std::vector<std::string> unknown;
  for (const Rule& rule : rules.list) {
    const bool known = std::ranges::any_of(
        architectures, [&](const Architecture& a) { return a.number_of(rule.call) != __NR_SCMP_ERROR; });
    if (!known && std::ranges::find(unknown, rule.call) == unknown.end()) unknown.push_back(rule.call);
  }
  return unknown;
}

Result<long> set_filter(const SeccompProgram& program, uint32_t flags) {
  sock_fprog kernel_form{.len = static_cast<unsigned short>(program.code.size()),
                         .filter = const_cast<sock_filter*>(program.code.data())};
  const long result = sys::raw_call(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &kernel_form);
  const std::string call =
      fmt::format("seccomp(SECCOMP_SET_MODE_FILTER, {:#x}, {{len={}}})", flags, kernel_form.len);
  if (result < 0) return fail(static_cast<int>(-result), call);
  // TSYNC without TSYNC_ESRCH answers with the thread that could not be synchronised.
  const bool listens = (flags & SECCOMP_FILTER_FLAG_NEW_LISTENER) != 0;
  if (result > 0 && !listens) return fail(ESRCH, fmt::format("{}: thread {}", call, result));
  return result;
}

}  // namespace

Result<SeccompProgram> compile_seccomp(const spec::Seccomp& filter) {
  // Otherwise libseccomp asks the running kernel what it may generate; a filter does not depend on where it
  // is compiled. 6 is the level with every action (seccomp_api_get(3)).
  seccomp_api_set(6);
  CLOCHE_TRY_ASSIGN(architectures, read_architectures(filter.architectures));
  CLOCHE_TRY_ASSIGN(rules, read_rules(filter));
  CLOCHE_TRY_ASSIGN(flags, read_flags(filter.flags));
  CLOCHE_TRY_ASSIGN(merged, build_merged(rules, architectures));
  CLOCHE_TRY_ASSIGN(answers, export_program(merged.get()));

  SeccompProgram program{.flags = flags};
  program.notifies =
      std::ranges::any_of(rules.list, [](const Rule& r) { return r.action == SCMP_ACT_NOTIFY; });
  if ((flags & SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV) != 0 && !program.notifies)
    return fail_because(
        "linux.seccomp.flags: SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV needs a call with SCMP_ACT_NOTIFY");
  if (filter.defaultAction == "SCMP_ACT_ERRNO" && !filter.defaultErrnoRet)
    for (const Architecture& architecture : architectures)
      add_newer_call_check(rules, architecture, program.code);
  program.code.insert(program.code.end(), answers.begin(), answers.end());
  program.code = optimize_seccomp(program.code);
  program.unknown_calls = find_unknown(rules, architectures);
  if (program.code.size() > BPF_MAXINSNS)
    return fail_because(fmt::format("linux.seccomp: the filter has {} instructions, the kernel takes {}",
                                    program.code.size(), BPF_MAXINSNS));
  return program;
}

Result<> load_seccomp(const SeccompProgram& program) {
  CLOCHE_TRY(set_filter(program, program.flags));
  return {};
}

Result<Fd> load_seccomp_with_listener(const SeccompProgram& program) {
  uint32_t flags = program.flags | SECCOMP_FILTER_FLAG_NEW_LISTENER;
  // The kernel takes TSYNC and a listener together only if a thread's failure is an errno.
  if ((flags & SECCOMP_FILTER_FLAG_TSYNC) != 0) flags |= SECCOMP_FILTER_FLAG_TSYNC_ESRCH;
  CLOCHE_TRY_ASSIGN(listener, set_filter(program, flags));
  return Fd(static_cast<int>(listener));
}

}  // namespace cloche::kernel
