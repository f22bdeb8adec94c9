#include "kernel/device_policy.h"

#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <optional>
#include <string>

#include "sys/call.h"

namespace cloche::kernel {
namespace {

using sys::fail;
using sys::fail_because;
using sys::Fd;
using sys::Result;

constexpr char kProgramName[] = "cloche_devices";  // 15 characters at most
static_assert(sizeof kProgramName <= BPF_OBJ_NAME_LEN);

// ---- rules -------------------------------------------------------------------------------------------------------

constexpr uint32_t kAllAccess = BPF_DEVCG_ACC_MKNOD | BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE;

// A rule as the kernel's words; an absent number or type is any.
struct Rule {
  bool allow = false;
  std::optional<uint32_t> type, major, minor;
  uint32_t access = kAllAccess;

  // Every device and access of `other` is this rule's too.
  [[nodiscard]] bool covers(const Rule& other) const {
    const auto wider = [](const auto& mine, const auto& theirs) { return !mine || mine == theirs; };
    return wider(type, other.type) && wider(major, other.major) && wider(minor, other.minor) &&
           (other.access & ~access) == 0;
  }
  [[nodiscard]] bool every_device() const { return !type && !major && !minor; }
};

Result<std::optional<uint32_t>> read_number(std::optional<int64_t> number, int64_t last, const char* field) {
  if (!number || *number == -1) return std::nullopt;
  if (*number < -1 || *number > last)
    return fail_because(fmt::format("{}: {} is not a device number", field, *number));
  return static_cast<uint32_t>(*number);
}

Result<Rule> read_rule(const spec::DeviceCgroup& from) {
  Rule rule{.allow = from.allow};
  if (from.type == "c" || from.type == "u")
    rule.type = BPF_DEVCG_DEV_CHAR;
  else if (from.type == "b")
    rule.type = BPF_DEVCG_DEV_BLOCK;
  else if (!from.type.empty() && from.type != "a")
    return fail_because(fmt::format("type: \"{}\" is none of a, b, c", from.type));
  CLOCHE_TRY_ASSIGN(major, read_number(from.major, 0xfff, "major"));
  CLOCHE_TRY_ASSIGN(minor, read_number(from.minor, 0xfffff, "minor"));
  rule.major = major;
  rule.minor = minor;
  if (from.access.empty()) return rule;
  rule.access = 0;
  for (const char c : from.access) {
    if (c != 'r' && c != 'w' && c != 'm')
      return fail_because(fmt::format("access: \"{}\" is not made of r, w, m", from.access));
    rule.access |= c == 'r' ? BPF_DEVCG_ACC_READ : c == 'w' ? BPF_DEVCG_ACC_WRITE : BPF_DEVCG_ACC_MKNOD;
  }
  return rule;
}

// Indices of the rules that can decide something, in their order.
Result<std::vector<std::pair<size_t, Rule>>> effective_rules(std::span<const spec::DeviceCgroup> rules) {
  std::vector<std::pair<size_t, Rule>> kept;
  for (size_t i = 0; i < rules.size(); ++i) {
    auto rule = read_rule(rules[i]);
    if (!rule) return sys::wrap(std::move(rule).error(), fmt::format("linux.resources.devices[{}]", i));
    std::erase_if(kept, [&](const auto& earlier) { return rule->covers(earlier.second); });
    // Denied is what is denied without a rule, too.
    if (!kept.empty() || rule->allow) kept.emplace_back(i, *rule);
  }
  return kept;
}

// ---- the program -------------------------------------------------------------------------------------------------

constexpr uint8_t kAnswer = BPF_REG_0, kContext = BPF_REG_1, kType = BPF_REG_2, kMissing = BPF_REG_3,
                  kMajor = BPF_REG_4, kMinor = BPF_REG_5, kCommon = BPF_REG_6;

bpf_insn instruction(int code, uint8_t to, uint8_t from, int16_t offset, int32_t value) {
  bpf_insn i{};
  i.code = static_cast<uint8_t>(code);
  i.dst_reg = to & 0xf;
  i.src_reg = from & 0xf;
  i.off = offset;
  i.imm = value;
  return i;
}

class Assembler {
 public:
  void load(uint8_t to, size_t offset) {
    add(BPF_LDX | BPF_MEM | BPF_W, to, kContext, static_cast<int16_t>(offset), 0);
  }
  void copy(uint8_t to, uint8_t from) { add(BPF_ALU | BPF_MOV | BPF_X, to, from, 0, 0); }
  void shift_right(uint8_t reg, uint32_t bits) { add(BPF_ALU | BPF_RSH | BPF_K, reg, 0, 0, as_value(bits)); }
  void keep_bits(uint8_t reg, uint32_t bits) { add(BPF_ALU | BPF_AND | BPF_K, reg, 0, 0, as_value(bits)); }
  void return_value(uint32_t value) {
    add(BPF_ALU64 | BPF_MOV | BPF_K, kAnswer, 0, 0, as_value(value));
    add(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
  }
  // To the end of the rule being written.
  void skip_rule_unless_equal(uint8_t reg, uint32_t value) { skip(BPF_JNE, reg, value); }
  void skip_rule_if_zero(uint8_t reg) { skip(BPF_JEQ, reg, 0); }
  void end_rule() {
    for (const size_t at : skips_) code_[at].off = static_cast<int16_t>(code_.size() - at - 1);
    skips_.clear();
  }
  std::vector<bpf_insn> take() && { return std::move(code_); }

 private:
  static int32_t as_value(uint32_t bits) { return static_cast<int32_t>(bits); }
  void add(int code, uint8_t to, uint8_t from, int16_t offset, int32_t value) {
    code_.push_back(instruction(code, to, from, offset, value));
  }
  void skip(int condition, uint8_t reg, uint32_t value) {
    skips_.push_back(code_.size());
    add(BPF_JMP | condition | BPF_K, reg, 0, 0, as_value(value));
  }
  std::vector<bpf_insn> code_;
  std::vector<size_t> skips_;
};

void write_start(Assembler& out) {
  // access_type is the access in the upper half, the type in the lower.
  out.load(kType, offsetof(bpf_cgroup_dev_ctx, access_type));
  out.copy(kMissing, kType);
  out.shift_right(kMissing, 16);
  out.keep_bits(kType, 0xffff);
  out.load(kMajor, offsetof(bpf_cgroup_dev_ctx, major));
  out.load(kMinor, offsetof(bpf_cgroup_dev_ctx, minor));
}

// An allowing rule takes its accesses off what is still to be allowed; a denying one ends the matter if it names one
// of them.
void write_rule(Assembler& out, const Rule& rule) {
  if (rule.type) out.skip_rule_unless_equal(kType, *rule.type);
  if (rule.major) out.skip_rule_unless_equal(kMajor, *rule.major);
  if (rule.minor) out.skip_rule_unless_equal(kMinor, *rule.minor);
  if (rule.allow && rule.access != kAllAccess) {
    out.keep_bits(kMissing, ~rule.access);
    out.skip_rule_unless_equal(kMissing, 0);
  } else if (!rule.allow && rule.access != kAllAccess) {
    out.copy(kCommon, kMissing);
    out.keep_bits(kCommon, rule.access);
    out.skip_rule_if_zero(kCommon);
  }
  out.return_value(rule.allow ? 1 : 0);
  out.end_rule();
}

// ---- bpf(2) ------------------------------------------------------------------------------------------------------

// The kernel reads as much of the union as it is told, and wants the rest of what it knows to be zero.
long bpf_call(int command, bpf_attr& attributes) {
  return sys::raw_call(SYS_bpf, command, &attributes, sizeof attributes);
}
uint64_t address(const void* pointer) { return reinterpret_cast<uint64_t>(pointer); }
bpf_attr zeroed() {
  bpf_attr attributes;
  std::memset(&attributes, 0, sizeof attributes);
  return attributes;
}

long load(const std::vector<bpf_insn>& code, std::span<char> log) {
  bpf_attr attributes = zeroed();
  attributes.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  attributes.insn_cnt = static_cast<uint32_t>(code.size());
  attributes.insns = address(code.data());
  attributes.license = address("Apache-2.0");
  attributes.expected_attach_type = BPF_CGROUP_DEVICE;
  std::memcpy(attributes.prog_name, kProgramName, sizeof kProgramName);
  if (!log.empty()) {
    attributes.log_level = 1;
    attributes.log_buf = address(log.data());
    attributes.log_size = static_cast<uint32_t>(log.size());
  }
  return bpf_call(BPF_PROG_LOAD, attributes);
}

Result<std::vector<uint32_t>> attached_programs(const Fd& cgroup) {
  constexpr size_t kMost = 64;  // BPF_CGROUP_MAX_PROGS
  std::vector<uint32_t> ids(kMost);
  bpf_attr attributes = zeroed();
  attributes.query.target_fd = static_cast<uint32_t>(cgroup.get());
  attributes.query.attach_type = BPF_CGROUP_DEVICE;
  attributes.query.prog_ids = address(ids.data());
  attributes.query.prog_cnt = kMost;
  const long result = bpf_call(BPF_PROG_QUERY, attributes);
  if (result < 0)
    return fail(static_cast<int>(-result), "bpf(BPF_PROG_QUERY, {attach_type=BPF_CGROUP_DEVICE})");
  ids.resize(attributes.query.prog_cnt);
  return ids;
}

// The program with this id if it is one of ours.
Result<Fd> open_if_ours(uint32_t id) {
  bpf_attr attributes = zeroed();
  attributes.prog_id = id;
  const long opened = bpf_call(BPF_PROG_GET_FD_BY_ID, attributes);
  if (opened == -ENOENT) return Fd();  // gone since we asked
  if (opened < 0) return fail(static_cast<int>(-opened), fmt::format("bpf(BPF_PROG_GET_FD_BY_ID, {})", id));
  Fd program(static_cast<int>(opened));
  bpf_prog_info info{};
  attributes = zeroed();
  attributes.info.bpf_fd = static_cast<uint32_t>(program.get());
  attributes.info.info_len = sizeof info;
  attributes.info.info = address(&info);
  const long result = bpf_call(BPF_OBJ_GET_INFO_BY_FD, attributes);
  if (result < 0) return fail(static_cast<int>(-result), fmt::format("bpf(BPF_OBJ_GET_INFO_BY_FD, {})", id));
  return std::strncmp(info.name, kProgramName, sizeof info.name) == 0 ? std::move(program) : Fd();
}

Result<std::vector<Fd>> our_programs(const Fd& cgroup) {
  CLOCHE_TRY_ASSIGN(ids, attached_programs(cgroup));
  std::vector<Fd> ours;
  for (const uint32_t id : ids) {
    CLOCHE_TRY_ASSIGN(program, open_if_ours(id));
    if (program.valid()) ours.push_back(std::move(program));
  }
  return ours;
}

}  // namespace

Result<std::vector<spec::DeviceCgroup>> simplify_device_rules(std::span<const spec::DeviceCgroup> rules) {
  CLOCHE_TRY_ASSIGN(kept, effective_rules(rules));
  std::vector<spec::DeviceCgroup> result;
  result.reserve(kept.size());
  for (const auto& [index, rule] : kept) result.push_back(rules[index]);
  return result;
}

Result<std::vector<bpf_insn>> compile_device_rules(std::span<const spec::DeviceCgroup> rules) {
  CLOCHE_TRY_ASSIGN(kept, effective_rules(rules));
  Assembler out;
  write_start(out);
  bool decided = false;
  for (auto rule = kept.rbegin(); rule != kept.rend(); ++rule) {
    write_rule(out, rule->second);
    decided = rule->second.every_device() && rule->second.access == kAllAccess;
  }
  // The verifier refuses instructions that are never reached; a rule for everything can only be the first one.
  if (!decided) out.return_value(0);
  return std::move(out).take();
}

Result<Fd> load_device_program(std::span<const spec::DeviceCgroup> rules) {
  CLOCHE_TRY_ASSIGN(code, compile_device_rules(rules));
  const long loaded = load(code, {});
  if (loaded >= 0) return Fd(static_cast<int>(loaded));
  const std::string call =
      fmt::format("bpf(BPF_PROG_LOAD, {{prog_type=BPF_PROG_TYPE_CGROUP_DEVICE, insn_cnt={}}})", code.size());
  std::string log(4096, '\0');
  // Once more, for the verifier's words.
  if (loaded == -EPERM || load(code, log) >= 0 || log[0] == '\0')
    return fail(static_cast<int>(-loaded), call);
  return fail(static_cast<int>(-loaded), fmt::format("{} [{}]", call, log.c_str()));
}

Result<> attach_device_program(const Fd& cgroup, const Fd& program) {
  CLOCHE_TRY_ASSIGN(earlier, our_programs(cgroup));
  bpf_attr attributes = zeroed();
  attributes.target_fd = static_cast<uint32_t>(cgroup.get());
  attributes.attach_bpf_fd = static_cast<uint32_t>(program.get());
  attributes.attach_type = BPF_CGROUP_DEVICE;
  attributes.attach_flags = BPF_F_ALLOW_MULTI;
  if (!earlier.empty()) {
    attributes.attach_flags |= BPF_F_REPLACE;  // Linux 5.6
    attributes.replace_bpf_fd = static_cast<uint32_t>(earlier.front().get());
  }
  const long attached = bpf_call(BPF_PROG_ATTACH, attributes);
  if (attached < 0)
    return fail(static_cast<int>(-attached),
                fmt::format("bpf(BPF_PROG_ATTACH, {{attach_type=BPF_CGROUP_DEVICE, attach_flags={}}})",
                            earlier.empty() ? "BPF_F_ALLOW_MULTI" : "BPF_F_ALLOW_MULTI|BPF_F_REPLACE"));
  for (size_t i = 1; i < earlier.size(); ++i) {
    attributes = zeroed();
    attributes.target_fd = static_cast<uint32_t>(cgroup.get());
    attributes.attach_bpf_fd = static_cast<uint32_t>(earlier[i].get());
    attributes.attach_type = BPF_CGROUP_DEVICE;
    const long detached = bpf_call(BPF_PROG_DETACH, attributes);
    if (detached < 0)
      return fail(static_cast<int>(-detached), "bpf(BPF_PROG_DETACH, {attach_type=BPF_CGROUP_DEVICE})");
  }
  return {};
}

std::vector<spec::DeviceCgroup> default_device_rules() {
  const auto allow = [](const char* type, spec::Opt<int64_t> major, spec::Opt<int64_t> minor,
                        const char* access) {
    return spec::DeviceCgroup{.allow = true, .type = type, .major = major, .minor = minor, .access = access};
  };
  return {
      allow("c", {}, {}, "m"),    allow("b", {}, {}, "m"), allow("c", 1, 3, "rwm"),  // null
      allow("c", 1, 5, "rwm"),  // zero
      allow("c", 1, 7, "rwm"),  // full
      allow("c", 1, 8, "rwm"),  // random
      allow("c", 1, 9, "rwm"),  // urandom
      allow("c", 5, 0, "rwm"),  // tty
      allow("c", 5, 1, "rwm"),  // console
      allow("c", 5, 2, "rwm"),  // ptmx
      allow("c", 136, {}, "rwm"),  // devpts
  };
}

}  // namespace cloche::kernel
