#include "kernel/rlimits.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "sys/call.h"

namespace cloche::kernel {
namespace {

struct Name {
  std::string_view name;
  int number;
};
constexpr Name kNames[] = {
    {"RLIMIT_CPU", RLIMIT_CPU},           {"RLIMIT_FSIZE", RLIMIT_FSIZE},
    {"RLIMIT_DATA", RLIMIT_DATA},         {"RLIMIT_STACK", RLIMIT_STACK},
    {"RLIMIT_CORE", RLIMIT_CORE},         {"RLIMIT_RSS", RLIMIT_RSS},
    {"RLIMIT_NPROC", RLIMIT_NPROC},       {"RLIMIT_NOFILE", RLIMIT_NOFILE},
    {"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK},   {"RLIMIT_AS", RLIMIT_AS},
    {"RLIMIT_LOCKS", RLIMIT_LOCKS},       {"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING},
    {"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE}, {"RLIMIT_NICE", RLIMIT_NICE},
    {"RLIMIT_RTPRIO", RLIMIT_RTPRIO},     {"RLIMIT_RTTIME", RLIMIT_RTTIME},
};

// struct rlimit64 as the kernel reads it, on every architecture.
struct KernelLimit {
  uint64_t soft, hard;
};

std::string shown(uint64_t value) { return value == kUnlimited ? "RLIM_INFINITY" : fmt::format("{}", value); }

}  // namespace

std::optional<int> find_rlimit(std::string_view name) {
  std::string word(name);
  for (char& c : word)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  if (!word.starts_with("RLIMIT_")) word.insert(0, "RLIMIT_");
  for (const Name& entry : kNames)
    if (entry.name == word) return entry.number;
  return std::nullopt;
}

std::string rlimit_name(int resource) {
  for (const Name& entry : kNames)
    if (entry.number == resource) return std::string(entry.name);
  return fmt::format("RLIMIT_{}", resource);
}

sys::Result<ResourceLimit> get_rlimit(int resource) {
  KernelLimit limit{};
  const long result = sys::raw_call(SYS_prlimit64, 0, resource, nullptr, &limit);
  if (result < 0)
    return sys::fail(static_cast<int>(-result),
                     fmt::format("prlimit64(0, {}, NULL, ...)", rlimit_name(resource)));
  return ResourceLimit{.soft = limit.soft, .hard = limit.hard};
}

sys::Result<> set_rlimit(int resource, ResourceLimit limit) {
  const KernelLimit wanted{.soft = limit.soft, .hard = limit.hard};
  const long result = sys::raw_call(SYS_prlimit64, 0, resource, &wanted, nullptr);
  if (result < 0)
    return sys::fail(static_cast<int>(-result),
                     fmt::format("prlimit64(0, {}, {{rlim_cur={}, rlim_max={}}}, NULL)",
                                 rlimit_name(resource), shown(limit.soft), shown(limit.hard)));
  return {};
}

}  // namespace cloche::kernel
