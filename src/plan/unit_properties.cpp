// Limits and annotations as properties of a unit: systemd.resource-control(5), org.freedesktop.systemd1(5).
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "plan/scope.h"
#include "plan/words.h"
#include "sys/number.h"

namespace cloche::plan {
namespace {

std::optional<uint64_t> number(std::string_view text) { return sys::whole_number<uint64_t>(text); }

// As the kernel reads bytes, memparse(): "512M". "max" stays.
std::optional<std::string> bytes(std::string_view text) {
  if (text == "max") return "max";
  constexpr std::string_view units = "KMGTPE";
  unsigned shift = 0;
  if (!text.empty())
    if (const size_t unit = units.find(static_cast<char>(text.back() & ~0x20));
        unit != std::string_view::npos) {
      shift = 10 * (static_cast<unsigned>(unit) + 1);
      text.remove_suffix(1);
    }
  const auto value = number(text);
  if (!value || *value > std::numeric_limits<uint64_t>::max() >> shift) return {};
  return std::to_string(*value << shift);
}

struct Plain {
  std::string_view file, property;
};
constexpr Plain kBytes[] = {{"memory.max", "MemoryMax"},          {"memory.high", "MemoryHigh"},
                            {"memory.low", "MemoryLow"},          {"memory.min", "MemoryMin"},
                            {"memory.swap.max", "MemorySwapMax"}, {"pids.max", "TasksMax"}};

void add_quota(std::string_view value, std::vector<UnitProperty>& to) {
  const size_t space = value.find(' ');
  const std::string_view quota = value.substr(0, space);
  const auto period =
      space == std::string_view::npos ? std::optional<uint64_t>(100'000) : number(value.substr(space + 1));
  if (!period || *period == 0) return;
  if (space != std::string_view::npos)
    to.push_back({"CPUQuotaPeriodUSec", "uint64", std::to_string(*period)});
  if (quota == "max") return to.push_back({"CPUQuotaPerSecUSec", "uint64", "max"});
  const auto runtime = number(quota);
  constexpr uint64_t kSecond = 1'000'000, kPercent = 10'000;
  if (!runtime || *runtime > std::numeric_limits<uint64_t>::max() / kSecond) return;
  const uint64_t per_second = *runtime * kSecond / *period;
  to.push_back({"CPUQuotaPerSecUSec", "uint64",
                std::to_string(std::max(per_second + kPercent - 1, kPercent) / kPercent * kPercent)});
}

void add_property(const CgroupWrite& write, int version, std::vector<UnitProperty>& to) {
  const std::string_view value = write.value;
  for (const Plain& plain : kBytes)
    if (write.file == plain.file)
      if (auto text = bytes(value))
        return to.push_back({std::string(plain.property), "uint64", *std::move(text)});
  if (write.file == "cpu.max") return add_quota(value, to);
  if (write.file == "cpuset.cpus") return to.push_back({"AllowedCPUs", "cpus", write.value});
  if (write.file == "cpuset.mems") return to.push_back({"AllowedMemoryNodes", "cpus", write.value});
  if (write.file == "cpu.weight" && number(value)) return to.push_back({"CPUWeight", "uint64", write.value});
  // A weight of 0 is "idle" from systemd 252 on.
  if (write.file == "cpu.idle" && value == "1" && version >= 252)
    return to.push_back({"CPUWeight", "uint64", "0"});
  constexpr std::string_view kDefault = "default ";
  if (write.file == "io.weight" && (value.starts_with(kDefault) || number(value)))
    to.push_back({"IOWeight", "uint64",
                  std::string(value.starts_with(kDefault) ? value.substr(kDefault.size()) : value)});
}

// ---- annotations ----------------------------------------------------------------------------------------------------

constexpr std::string_view kAnnotation = "org.systemd.property.";

struct Allowed {
  std::string_view name, type;
};
// How systemd ends, keeps and describes the scope, and whether systemd-oomd looks after it. Nothing that starts another
// unit, runs a program, lets processes outlive the scope, or is a limit of linux.resources.
constexpr Allowed kAllowed[] = {{"CollectMode", "string"},
                                {"Description", "string"},
                                {"KillSignal", "int32"},
                                {"ManagedOOMMemoryPressure", "string"},
                                {"ManagedOOMMemoryPressureLimit", "uint32"},
                                {"ManagedOOMPreference", "string"},
                                {"ManagedOOMSwap", "string"},
                                {"OOMPolicy", "string"},
                                {"RuntimeMaxUSec", "uint64"},
                                {"SendSIGHUP", "bool"},
                                {"TimeoutStopUSec", "uint64"}};

std::string_view resource_field(std::string_view name) {
  constexpr std::string_view kResources[] = {"Memory",  "CPU",     "IO",      "Tasks",
                                             "Allowed", "Startup", "BlockIO", "Device"};
  return std::ranges::any_of(kResources, [&](auto start) { return name.starts_with(start); })
             ? "limits are set in linux.resources"
             : "";
}

std::string allowed_names() {
  std::string names;
  for (const Allowed& allowed : kAllowed)
    names += fmt::format("{}{}", names.empty() ? "" : ", ", allowed.name);
  return names;
}

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

// 'text' or "text", with \' \" and \\ (GVariant's text format).
std::optional<std::string> quoted_text(std::string_view text) {
  if (text.size() < 2 || (text.front() != '\'' && text.front() != '"') || text.back() != text.front())
    return {};
  const char quote = text.front();
  std::string out;
  for (size_t i = 1; i + 1 < text.size(); ++i) {
    char c = text[i];
    if (c == quote) return {};
    if (c == '\\') {
      if (++i + 1 >= text.size()) return {};
      c = text[i];
      if (c != '\'' && c != '"' && c != '\\') return {};
    }
    if (static_cast<unsigned char>(c) < ' ') return {};
    out += c;
  }
  return out;
}

// A number may have its type in front ("uint64 5", "@t 5"): any integer type, since the property has one of its own.
std::string_view without_type(std::string_view text) {
  const size_t space = text.find(' ');
  if (space == std::string_view::npos) return text;
  constexpr std::string_view kTypes[] = {"byte", "int16", "uint16", "int32", "uint32", "int64", "uint64",
                                         "@y",   "@n",    "@q",     "@i",    "@u",     "@x",    "@t"};
  if (std::ranges::find(kTypes, text.substr(0, space)) == std::end(kTypes)) return text;
  return trimmed(text.substr(space));
}

// In seconds, a fraction allowed: microseconds.
std::optional<std::string> seconds(std::string_view text) {
  const auto value = sys::whole_number<double>(text);
  constexpr double kMost = 1e12;
  if (!value || !(*value >= 0) || *value > kMost) return {};
  return std::to_string(static_cast<uint64_t>(std::llround(*value * 1e6)));
}

std::optional<std::string> value_of(std::string_view type, bool in_seconds, std::string_view text) {
  if (type == "string") return quoted_text(text);
  if (type == "bool") {
    if (text == "true" || text == "false") return std::string(text);
    return {};
  }
  text = without_type(text);
  if (in_seconds) return seconds(text);
  const auto value = number(text);
  const uint64_t most = type == "int32"    ? std::numeric_limits<int32_t>::max()
                        : type == "uint32" ? std::numeric_limits<uint32_t>::max()
                                           : std::numeric_limits<uint64_t>::max();
  if (!value || *value > most) return {};
  return std::to_string(*value);
}

std::string_view form_of(std::string_view type) {
  return type == "string" ? "a string in quotes, 'text'" : type == "bool" ? "true or false" : "a number";
}

}  // namespace

std::vector<UnitProperty> unit_properties(const std::vector<CgroupWrite>& writes, int systemd_version) {
  std::vector<UnitProperty> properties;
  for (const CgroupWrite& write : writes) add_property(write, systemd_version, properties);
  return properties;
}

std::expected<std::vector<UnitProperty>, Refusal> annotated_properties(
    const std::map<std::string, std::string>& annotations) {
  std::vector<UnitProperty> properties;
  for (const auto& [key, raw] : annotations) {
    if (!key.starts_with(kAnnotation)) continue;
    const auto field = "annotations." + key;
    std::string name = key.substr(kAnnotation.size());
    const bool in_seconds = name.ends_with("Sec") && !name.ends_with("USec");
    if (in_seconds) name.insert(name.size() - 3, "U");
    const auto* allowed = std::ranges::find(kAllowed, std::string_view(name), &Allowed::name);
    if (allowed == std::end(kAllowed)) {
      const std::string_view why = resource_field(name);
      return refuse(
          field,
          fmt::format("a container may not set the property {} of its scope: {}{}allowed are {}",
                      shown(key.substr(kAnnotation.size())), why, why.empty() ? "" : "; ", allowed_names()));
    }
    auto value = value_of(allowed->type, in_seconds, trimmed(raw));
    if (!value)
      return refuse(field, fmt::format("{} is not {}, which {} takes (GVariant's text form)", shown(raw),
                                       form_of(allowed->type), name));
    properties.push_back({name, std::string(allowed->type), *std::move(value)});
  }
  return properties;
}

}  // namespace cloche::plan
