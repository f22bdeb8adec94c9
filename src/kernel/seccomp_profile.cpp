#include "kernel/seccomp_profile.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>
#include <optional>

namespace cloche::kernel {
namespace {

namespace json = boost::json;
using sys::fail_because;
using sys::Result;

constexpr size_t kLargestProfile = 1 << 20;

sys::Failure wrong(std::string_view path, std::string_view expected) {
  return fail_because(fmt::format("seccomp profile: {}: expected {}", path, expected));
}

const json::value* find(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value == nullptr || value->is_null() ? nullptr : value;
}

Result<std::string> text(const json::object& object, std::string_view key, const std::string& path) {
  const json::value* value = find(object, key);
  if (value == nullptr) return std::string();
  if (!value->is_string()) return wrong(path + std::string(key), "a string");
  return std::string(value->get_string());
}

Result<std::vector<std::string>> texts(const json::object& object, std::string_view key,
                                       const std::string& path) {
  std::vector<std::string> result;
  const json::value* value = find(object, key);
  if (value == nullptr) return result;
  if (!value->is_array()) return wrong(path + std::string(key), "a list of strings");
  for (const json::value& item : value->get_array()) {
    if (!item.is_string()) return wrong(path + std::string(key), "a list of strings");
    result.emplace_back(item.get_string());
  }
  return result;
}

Result<std::optional<uint64_t>> number(const json::object& object, std::string_view key,
                                       const std::string& path) {
  const json::value* value = find(object, key);
  if (value == nullptr) return std::nullopt;
  if (value->is_uint64()) return value->get_uint64();
  if (value->is_int64() && value->get_int64() >= 0) return static_cast<uint64_t>(value->get_int64());
  return wrong(path + std::string(key), "a number that is not negative");
}

Result<std::optional<uint32_t>> errno_value(const json::object& object, std::string_view key,
                                            const std::string& path) {
  CLOCHE_TRY_ASSIGN(value, number(object, key, path));
  if (!value) return std::nullopt;
  if (*value > 0xffff) return wrong(path + std::string(key), "a number of 16 bits");
  return static_cast<uint32_t>(*value);
}

// "4.8": whether this kernel is at least that one.
std::optional<bool> at_least(const std::string& version, const ProfileFacts& facts) {
  int major = 0, minor = 0;
  const char* end = version.data() + version.size();
  const auto first = std::from_chars(version.data(), end, major);
  if (first.ec != std::errc() || first.ptr == end || *first.ptr != '.') return std::nullopt;
  const auto second = std::from_chars(first.ptr + 1, end, minor);
  if (second.ec != std::errc() || second.ptr != end) return std::nullopt;
  return std::pair(facts.kernel_major, facts.kernel_minor) >= std::pair(major, minor);
}

// How many of a condition's parts are stated, and how many of them are so.
struct Condition {
  int stated = 0, met = 0;
};

Result<Condition> condition(const json::object& rule, std::string_view key, const std::string& path,
                            const ProfileFacts& facts, CapabilitySet& conditions) {
  Condition result;
  const json::value* value = find(rule, key);
  if (value == nullptr) return result;
  const std::string here = fmt::format("{}{}.", path, key);
  if (!value->is_object()) return wrong(path + std::string(key), "an object");
  CLOCHE_TRY_ASSIGN(caps, texts(value->get_object(), "caps", here));
  for (const std::string& name : caps) {
    const auto capability = find_capability(name);
    if (capability) conditions.add(*capability);
    ++result.stated;
    result.met += capability && facts.capabilities.has(*capability) ? 1 : 0;
  }
  CLOCHE_TRY_ASSIGN(arches, texts(value->get_object(), "arches", here));
  if (!arches.empty()) {
    ++result.stated;
    result.met += std::ranges::find(arches, facts.architecture) != arches.end() ? 1 : 0;
  }
  CLOCHE_TRY_ASSIGN(version, text(value->get_object(), "minKernel", here));
  if (!version.empty()) {
    const auto holds = at_least(version, facts);
    if (!holds) return wrong(here + "minKernel", "a version such as \"4.8\"");
    ++result.stated;
    result.met += *holds ? 1 : 0;
  }
  return result;
}

struct Argument {
  spec::SeccompArg arg;
  bool low_half = false;
};

Result<Argument> read_argument(const json::value& value, const std::string& path) {
  if (!value.is_object()) return wrong(path, "an object");
  const json::object& object = value.get_object();
  Argument result;
  CLOCHE_TRY_ASSIGN(index, number(object, "index", path + "."));
  CLOCHE_TRY_ASSIGN(datum, number(object, "value", path + "."));
  CLOCHE_TRY_ASSIGN(datum_two, number(object, "valueTwo", path + "."));
  CLOCHE_TRY_ASSIGN(op, text(object, "op", path + "."));
  CLOCHE_TRY_ASSIGN(width, number(object, "width", path + "."));
  if (index.value_or(0) > 5) return wrong(path + ".index", "0 to 5");
  result.arg = {.index = static_cast<uint32_t>(index.value_or(0)),
                .value = datum.value_or(0),
                .valueTwo = datum_two.value_or(0),
                .op = op};
  result.low_half = width.value_or(64) == 32;
  if (width && *width != 64 && (*width != 32 || op != "SCMP_CMP_NE" || result.arg.value > UINT32_MAX))
    return wrong(path + ".width", "64, or 32 with SCMP_CMP_NE");
  return result;
}

// The lower half differs from `arg.value` if it differs in one bit: one rule for each.
void add_low_half_rules(const spec::SeccompSyscall& rule, const spec::SeccompArg& arg,
                        spec::Seccomp& filter) {
  for (int bit = 0; bit < 32; ++bit) {
    const uint64_t mask = uint64_t{1} << bit;
    spec::SeccompSyscall one = rule;
    one.args = {
        {.index = arg.index, .value = mask, .valueTwo = ~arg.value & mask, .op = "SCMP_CMP_MASKED_EQ"}};
    filter.syscalls.push_back(std::move(one));
  }
}

Result<> read_rule(const json::value& value, const std::string& path, const ProfileFacts& facts,
                   SeccompProfile& profile) {
  if (!value.is_object()) return wrong(path, "an object");
  const json::object& object = value.get_object();
  const std::string here = path + ".";
  CLOCHE_TRY_ASSIGN(includes, condition(object, "includes", here, facts, profile.conditions));
  CLOCHE_TRY_ASSIGN(excludes, condition(object, "excludes", here, facts, profile.conditions));
  spec::SeccompSyscall rule;
  CLOCHE_TRY_ASSIGN(names, texts(object, "names", here));
  CLOCHE_TRY_ASSIGN(name, text(object, "name", here));
  CLOCHE_TRY_ASSIGN(action, text(object, "action", here));
  CLOCHE_TRY_ASSIGN(errno_ret, errno_value(object, "errnoRet", here));
  if (!name.empty()) names.push_back(name);
  rule = {.names = std::move(names), .action = std::move(action), .errnoRet = errno_ret, .args = {}};
  std::optional<spec::SeccompArg> low_half;
  if (const json::value* args = find(object, "args")) {
    if (!args->is_array()) return wrong(here + "args", "a list");
    for (size_t i = 0; i < args->get_array().size(); ++i) {
      const std::string place = fmt::format("{}args[{}]", here, i);
      CLOCHE_TRY_ASSIGN(argument, read_argument(args->get_array()[i], place));
      if (argument.low_half && args->get_array().size() > 1)
        return wrong(here + "args", "one condition of width 32");
      if (argument.low_half) low_half = argument.arg;
      rule.args.push_back(std::move(argument.arg));
    }
  }
  if (includes.met < includes.stated || excludes.met > 0) return {};
  if (low_half)
    add_low_half_rules(rule, *low_half, profile.filter);
  else
    profile.filter.syscalls.push_back(std::move(rule));
  return {};
}

Result<> read_arch_map(const json::object& top, spec::Seccomp& filter) {
  const json::value* map = find(top, "archMap");
  if (map == nullptr) return {};
  if (!map->is_array()) return wrong("archMap", "a list");
#if defined(__x86_64__)
  constexpr std::string_view kNative = "SCMP_ARCH_X86_64";
#else
  constexpr std::string_view kNative = "SCMP_ARCH_AARCH64";
#endif
  for (const json::value& entry : map->get_array()) {
    if (!entry.is_object()) return wrong("archMap", "a list of objects");
    CLOCHE_TRY_ASSIGN(architecture, text(entry.get_object(), "architecture", "archMap."));
    if (architecture != kNative) continue;
    CLOCHE_TRY_ASSIGN(others, texts(entry.get_object(), "subArchitectures", "archMap."));
    filter.architectures.push_back(architecture);
    filter.architectures.insert(filter.architectures.end(), others.begin(), others.end());
  }
  return {};
}

}  // namespace

Result<SeccompProfile> read_seccomp_profile(std::string_view input, const ProfileFacts& facts) {
  if (input.size() > kLargestProfile) return fail_because("seccomp profile: longer than 1 MiB");
  json::error_code error;
  const json::value document = json::parse(json::string_view(input.data(), input.size()), error);
  if (error) return fail_because(fmt::format("seccomp profile: not JSON: {}", error.message()));
  if (!document.is_object()) return wrong("the top", "an object");
  const json::object& top = document.get_object();
  SeccompProfile profile;
  CLOCHE_TRY_ASSIGN(default_action, text(top, "defaultAction", ""));
  CLOCHE_TRY_ASSIGN(default_errno, errno_value(top, "defaultErrnoRet", ""));
  CLOCHE_TRY_ASSIGN(architectures, texts(top, "architectures", ""));
  CLOCHE_TRY_ASSIGN(flags, texts(top, "flags", ""));
  CLOCHE_TRY_ASSIGN(listener, text(top, "listenerPath", ""));
  CLOCHE_TRY_ASSIGN(metadata, text(top, "listenerMetadata", ""));
  profile.filter = {.defaultAction = std::move(default_action),
                    .defaultErrnoRet = default_errno,
                    .architectures = std::move(architectures),
                    .flags = std::move(flags),
                    .listenerPath = std::move(listener),
                    .listenerMetadata = std::move(metadata),
                    .syscalls = {}};
  CLOCHE_TRY(read_arch_map(top, profile.filter));
  if (const json::value* rules = find(top, "syscalls")) {
    if (!rules->is_array()) return wrong("syscalls", "a list");
    for (size_t i = 0; i < rules->get_array().size(); ++i)
      CLOCHE_TRY(read_rule(rules->get_array()[i], fmt::format("syscalls[{}]", i), facts, profile));
  }
  return profile;
}

}  // namespace cloche::kernel
