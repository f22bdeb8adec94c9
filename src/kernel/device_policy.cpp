#include "kernel/device_policy.h"

#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <optional>
#include <string>
#include <tuple>

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

// A rule makes seven instructions at most, and jumps of eBPF have 16 bits.
constexpr size_t kMostRules = 4096;

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
  if (rules.size() > kMostRules)
    return fail_because(fmt::format("linux.resources.devices: at most {} rules fit into a program, not {}",
                                    kMostRules, rules.size()));
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

// Where jumps go that are written before their target is known.
struct Label {
  std::vector<size_t> jumps;
};

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
  void jump_if_equal(uint8_t reg, uint32_t value, Label& to) { jump(BPF_JEQ, reg, value, to); }
  void jump_unless_equal(uint8_t reg, uint32_t value, Label& to) { jump(BPF_JNE, reg, value, to); }
  // The label is here.
  void place(Label& label) {
    for (const size_t at : label.jumps) code_[at].off = static_cast<int16_t>(code_.size() - at - 1);
  }
  [[nodiscard]] size_t size() const { return code_.size(); }
  std::vector<bpf_insn> take() && { return std::move(code_); }

 private:
  static int32_t as_value(uint32_t bits) { return static_cast<int32_t>(bits); }
  void add(int code, uint8_t to, uint8_t from, int16_t offset, int32_t value) {
    code_.push_back(instruction(code, to, from, offset, value));
  }
  void jump(int condition, uint8_t reg, uint32_t value, Label& to) {
    to.jumps.push_back(code_.size());
    add(BPF_JMP | condition | BPF_K, reg, 0, 0, as_value(value));
  }
  std::vector<bpf_insn> code_;
};

// Rules of one verdict that stand together: in whatever order they are asked, the answer is the same. So they are
// asked by type, then by major number, and each only once: most of the time that loading takes is the verifier's, which
// walks every way through the program.
class Run {
 public:
  explicit Run(bool allow) : allow_(allow) {}
  [[nodiscard]] bool allow() const { return allow_; }

  void add(Rule rule) {
    // There are two types of devices: the same for both is for any.
    for (Rule& other : rules_) {
      if (!rule.type || !other.type || rule.type == other.type) continue;
      Rule either = rule, wide = other;
      either.type.reset();
      wide.type.reset();
      if (!either.covers(wide) || !wide.covers(either)) continue;
      other = either;
      rule = either;
      break;
    }
    if (std::ranges::any_of(rules_, [&](const Rule& wider) { return wider.covers(rule); })) return;
    std::erase_if(rules_, [&](const Rule& narrower) { return rule.covers(narrower); });
    rules_.push_back(rule);
  }

  // Whether nothing gets past it.
  [[nodiscard]] bool decides_all() const {
    return std::ranges::any_of(
        rules_, [](const Rule& rule) { return rule.every_device() && rule.access == kAllAccess; });
  }

  void write(Assembler& out, Label& verdict) {
    std::ranges::sort(rules_, {},
                      [](const Rule& r) { return std::tuple(r.type, r.major, r.minor, r.access); });
    write_by<0>(out, rules_, verdict);
  }

 private:
  // The rules that share one value of what is asked at this depth, one group after the other.
  template <size_t kDepth>
  void write_by(Assembler& out, std::span<const Rule> rules, Label& verdict) const {
    constexpr std::optional<uint32_t> Rule::* kFields[] = {&Rule::type, &Rule::major, &Rule::minor};
    constexpr uint8_t kRegisters[] = {kType, kMajor, kMinor};
    while (!rules.empty()) {
      const auto value = rules.front().*kFields[kDepth];
      size_t count = 1;
      while (count < rules.size() && rules[count].*kFields[kDepth] == value) ++count;
      const auto group = rules.first(count);
      rules = rules.subspan(count);
      if (value && count == 1 && is_last_question<kDepth>(group.front())) {
        out.jump_if_equal(kRegisters[kDepth], *value, verdict);
        continue;
      }
      Label end;
      if (value) out.jump_unless_equal(kRegisters[kDepth], *value, end);
      if constexpr (kDepth < 2)
        write_by<kDepth + 1>(out, group, verdict);
      else
        for (const Rule& rule : group) write_access(out, rule, verdict);
      out.place(end);
    }
  }

  template <size_t kDepth>
  static bool is_last_question(const Rule& rule) {
    return rule.access == kAllAccess && (kDepth > 0 || !rule.major) && (kDepth > 1 || !rule.minor);
  }

  // An allowing rule takes its accesses off what is still to be allowed; a denying one ends the matter if it names one
  // of them.
  void write_access(Assembler& out, const Rule& rule, Label& verdict) const {
    if (allow_) {
      out.keep_bits(kMissing, ~rule.access);
      out.jump_if_equal(kMissing, 0, verdict);
    } else {
      out.copy(kCommon, kMissing);
      out.keep_bits(kCommon, rule.access);
      out.jump_unless_equal(kCommon, 0, verdict);
    }
  }

  bool allow_;
  std::vector<Rule> rules_;
};

// From the last rule to the first.
std::vector<Run> runs_of(const std::vector<std::pair<size_t, Rule>>& rules) {
  std::vector<Run> runs;
  for (auto rule = rules.rbegin(); rule != rules.rend(); ++rule) {
    if (runs.empty() || runs.back().allow() != rule->second.allow) runs.emplace_back(rule->second.allow);
    runs.back().add(rule->second);
  }
  return runs;
}

void write_start(Assembler& out) {
  // access_type is the access in the upper half, the type in the lower.
  out.load(kType, offsetof(bpf_cgroup_dev_ctx, access_type));
  out.copy(kMissing, kType);
  out.shift_right(kMissing, 16);
  out.keep_bits(kType, 0xffff);
  out.load(kMajor, offsetof(bpf_cgroup_dev_ctx, major));
  out.load(kMinor, offsetof(bpf_cgroup_dev_ctx, minor));
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
  Label allow, deny;
  write_start(out);
  bool otherwise = false;  // what holds where no rule has decided
  for (Run& run : runs_of(kept)) {
    if (run.decides_all()) {
      otherwise = run.allow();
      break;
    }
    run.write(out, run.allow() ? allow : deny);
  }
  // The verifier refuses instructions that are never reached.
  Label &last = otherwise ? allow : deny, &other = otherwise ? deny : allow;
  out.place(last);
  out.return_value(otherwise ? 1 : 0);
  if (!other.jumps.empty()) {
    out.place(other);
    out.return_value(otherwise ? 0 : 1);
  }
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

}  // namespace cloche::kernel
