#include "kernel/capabilities.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "sys/call.h"

namespace cloche::kernel {
namespace {

constexpr const char* kNames[] = {
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
};
static_assert(std::size(kNames) == kLastNamedCapability + 1);

// The C library's toupper would ask the locale.
std::string upper(std::string_view text) {
  std::string result(text);
  for (char& c : result)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  return result;
}

long prctl_call(int option, unsigned long a, unsigned long b = 0) {
  return sys::raw_call(SYS_prctl, option, a, b, 0UL, 0UL);
}

__user_cap_header_struct own_header() { return {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0}; }

}  // namespace

std::string capability_name(Capability capability) {
  const auto number = static_cast<unsigned>(capability);
  if (number < std::size(kNames)) return fmt::format("CAP_{}", kNames[number]);
  return fmt::format("CAP_{}", number);
}

std::optional<Capability> find_capability(std::string_view name) {
  std::string word = upper(name);
  if (word.starts_with("CAP_")) word.erase(0, 4);
  for (size_t i = 0; i < std::size(kNames); ++i)
    if (word == kNames[i]) return static_cast<Capability>(i);
  return std::nullopt;
}

ParsedCapabilities parse_capabilities(const std::vector<std::string>& names) {
  ParsedCapabilities parsed;
  for (const std::string& name : names) {
    if (const auto capability = find_capability(name))
      parsed.set.add(*capability);
    else if (upper(name) == "ALL" || upper(name) == "CAP_ALL")
      parsed.set = parsed.set | CapabilitySet::all_named();
    else
      parsed.unknown.push_back(name);
  }
  return parsed;
}

std::vector<std::string> capability_names(CapabilitySet set) {
  std::vector<std::string> names;
  for (unsigned i = 0; i < 64; ++i)
    if (set.has(static_cast<Capability>(i))) names.push_back(capability_name(static_cast<Capability>(i)));
  return names;
}

std::string describe(CapabilitySet set) {
  return set.empty() ? "none" : fmt::format("{}", fmt::join(capability_names(set), ","));
}

sys::Result<int> last_capability() {
  int last = kLastNamedCapability;
  while (last >= 0 && prctl_call(PR_CAPBSET_READ, static_cast<unsigned long>(last)) < 0) --last;
  if (last < 0) return sys::fail(EINVAL, "prctl(PR_CAPBSET_READ, CAP_CHOWN)");
  while (last < 63 && prctl_call(PR_CAPBSET_READ, static_cast<unsigned long>(last) + 1) >= 0) ++last;
  return last;
}

sys::Result<ThreadCapabilities> get_capabilities() {
  auto header = own_header();
  __user_cap_data_struct data[2] = {};
  const long result = sys::raw_call(SYS_capget, &header, data);
  if (result < 0) return sys::fail(static_cast<int>(-result), "capget({version=3, pid=0})");
  const auto join = [&](auto member) {
    return CapabilitySet::from_bits(uint64_t{data[1].*member} << 32 | data[0].*member);
  };
  return ThreadCapabilities{.effective = join(&__user_cap_data_struct::effective),
                            .permitted = join(&__user_cap_data_struct::permitted),
                            .inheritable = join(&__user_cap_data_struct::inheritable)};
}

sys::Result<CapabilitySet> get_bounding() {
  CapabilitySet set;
  for (unsigned long i = 0; i < 64; ++i) {
    const long result = prctl_call(PR_CAPBSET_READ, i);
    if (result == -EINVAL && i > 0) break;
    if (result < 0) return sys::fail(static_cast<int>(-result), fmt::format("prctl(PR_CAPBSET_READ, {})", i));
    if (result == 1) set.add(static_cast<Capability>(i));
  }
  return set;
}

sys::Result<> drop_bounding(CapabilitySet keep) {
  for (unsigned i = 0; i < 64; ++i) {
    const auto capability = static_cast<Capability>(i);
    if (keep.has(capability)) continue;
    const long result = prctl_call(PR_CAPBSET_DROP, i);
    // The first number past the kernel's last one. Any other cause of EINVAL would have shown at CAP_CHOWN.
    if (result == -EINVAL && i > 0 && prctl_call(PR_CAPBSET_READ, i) == -EINVAL) break;
    if (result < 0)
      return sys::fail(static_cast<int>(-result),
                       fmt::format("prctl(PR_CAPBSET_DROP, {})", capability_name(capability)));
  }
  return {};
}

sys::Result<> set_capabilities(CapabilitySet effective, CapabilitySet permitted, CapabilitySet inheritable) {
  auto header = own_header();
  __user_cap_data_struct data[2];
  for (int half = 0; half < 2; ++half) {
    const auto part = [&](CapabilitySet set) { return static_cast<uint32_t>(set.bits() >> (32 * half)); };
    data[half] = {
        .effective = part(effective), .permitted = part(permitted), .inheritable = part(inheritable)};
  }
  const long result = sys::raw_call(SYS_capset, &header, data);
  if (result < 0)
    return sys::fail(
        static_cast<int>(-result),
        fmt::format("capset({{version=3, pid=0}}, {{effective={}, permitted={}, inheritable={}}})",
                    describe(effective), describe(permitted), describe(inheritable)));
  return {};
}

sys::Result<> set_ambient(CapabilitySet ambient) {
  const long cleared = prctl_call(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL);
  if (cleared < 0)
    return sys::fail(static_cast<int>(-cleared), "prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)");
  for (unsigned i = 0; i < 64; ++i) {
    const auto capability = static_cast<Capability>(i);
    if (!ambient.has(capability)) continue;
    const long result = prctl_call(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, i);
    if (result < 0)
      return sys::fail(
          static_cast<int>(-result),
          fmt::format("prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, {})", capability_name(capability)));
  }
  return {};
}

}  // namespace cloche::kernel
