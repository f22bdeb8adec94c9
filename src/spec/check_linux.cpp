#include <array>

#include "spec/checks.h"

namespace cloche::spec {
namespace {

constexpr std::array<std::string_view, 8> kPropagations{"private", "rprivate", "slave",      "rslave",
                                                        "shared",  "rshared",  "unbindable", "runbindable"};

Check check_devices(const Linux& section) {
  constexpr std::array<std::string_view, 4> types{"c", "u", "b", "p"};
  for (size_t i = 0; i < section.devices.size(); ++i) {
    const Device& device = section.devices[i];
    const auto path = fmt::format("linux.devices[{}]", i);
    CLOCHE_TRY(must_be_absolute(path + ".path", device.path));
    if (climbs(device.path)) return wrong(path + ".path", "must not hold \"..\"");
    if (!is_one_of(device.type, types))
      return wrong(path + ".type", fmt::format("\"{}\" is none of c, u, b and p", printable(device.type)));
    if (device.type != "p" && (!device.major || !device.minor))
      return wrong(path + (device.major ? ".minor" : ".major"), "a device needs its number");
    // makedev(3) of the kernel: 12 bits and 20 bits.
    if (device.major && (*device.major < 0 || *device.major > 0xfff))
      return wrong(path + ".major", fmt::format("{} is not in 0 to 4095", *device.major));
    if (device.minor && (*device.minor < 0 || *device.minor > 0xfffff))
      return wrong(path + ".minor", fmt::format("{} is not in 0 to 1048575", *device.minor));
  }
  return {};
}

Check check_paths(const Strings& paths, const std::string& name) {
  for (size_t i = 0; i < paths.size(); ++i)
    CLOCHE_TRY(must_be_absolute(fmt::format("{}[{}]", name, i), paths[i]));
  return {};
}

Check check_personality(const Linux& section) {
  if (!section.personality) return {};
  const auto& domain = section.personality->domain;
  if (domain != "LINUX" && domain != "LINUX32")
    return wrong("linux.personality.domain",
                 fmt::format("\"{}\" is neither LINUX nor LINUX32", printable(domain)));
  if (!section.personality->flags.empty())
    return wrong("linux.personality.flags",
                 fmt::format("\"{}\" is not supported: the specification defines no flags",
                             printable(section.personality->flags.front())));
  return {};
}

}  // namespace

Check check_linux(const Spec& spec, Warnings& warnings) {
  const Linux& section = *spec.linux_;
  if (!section.rootfsPropagation.empty() && !is_one_of(section.rootfsPropagation, kPropagations))
    return wrong("linux.rootfsPropagation",
                 fmt::format("\"{}\" is none of {}", printable(section.rootfsPropagation),
                             fmt::join(kPropagations, ", ")));
  if (climbs(section.cgroupsPath)) return wrong("linux.cgroupsPath", "must not hold \"..\"");
  CLOCHE_TRY(check_paths(section.maskedPaths, "linux.maskedPaths"));
  CLOCHE_TRY(check_paths(section.readonlyPaths, "linux.readonlyPaths"));
  CLOCHE_TRY(check_devices(section));
  CLOCHE_TRY(check_personality(section));
  if (section.memoryPolicy) CLOCHE_TRY(check_memory_policy(*section.memoryPolicy, "linux.memoryPolicy"));
  if (section.intelRdt) CLOCHE_TRY(check_intel_rdt(*section.intelRdt, "linux.intelRdt", warnings));
  if (section.resources) CLOCHE_TRY(check_resources(*section.resources, "linux.resources", warnings));
  if (section.seccomp) CLOCHE_TRY(check_seccomp(*section.seccomp, "linux.seccomp", warnings));
  return {};
}

}  // namespace cloche::spec
