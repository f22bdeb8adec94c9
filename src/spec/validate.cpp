#include "spec/validate.h"

#include <array>
#include <charconv>

#include "spec/checks.h"

namespace cloche::spec {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Takes "12" from the front of `text`: no sign, no leading zero.
bool take_number(std::string_view& text, unsigned& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const auto length = static_cast<size_t>(end - text.data());
  if (error != std::errc{} || (length > 1 && text[0] == '0') || !is_digit(text[0])) return false;
  text.remove_prefix(length);
  return true;
}

// What may follow the three numbers: "-rc.1", "-dev", "+build"; see semver.org section 9 and 10.
bool is_semver_suffix(std::string_view text) {
  if (text.empty()) return true;
  if (text.size() < 2 || (text[0] != '-' && text[0] != '+')) return false;
  return std::ranges::all_of(text.substr(1), [](char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '.' ||
           c == '+';
  });
}

Check check_version(const std::string& version, Warnings& warnings) {
  std::string_view rest = version;
  unsigned major = 0, minor = 0, patch = 0;
  const auto dot = [&] {
    const bool there = rest.starts_with('.');
    if (there) rest.remove_prefix(1);
    return there;
  };
  if (version.empty()) return wrong("ociVersion", "a version is needed, such as \"1.2.0\"");
  if (!take_number(rest, major) || !dot() || !take_number(rest, minor) || !dot() ||
      !take_number(rest, patch) || !is_semver_suffix(rest))
    return wrong("ociVersion", fmt::format("\"{}\" is no version such as \"1.2.0\"", printable(version)));
  if (major != kMajorVersion)
    return wrong("ociVersion",
                 fmt::format("version {} of the specification is not supported, only {}.0 to {}.{}",
                             printable(version), kMajorVersion, kMajorVersion, kNewestMinorVersion));
  if (minor > kNewestMinorVersion)
    warnings.push_back({"ociVersion", fmt::format("{} is newer than {}.{}, the newest that is known here",
                                                  printable(version), kMajorVersion, kNewestMinorVersion)});
  return {};
}

Check check_root(const Spec& spec) {
  if (!spec.root) return wrong("root", "a container needs a root file system");
  if (spec.root->path.empty()) return wrong("root.path", "the root file system needs a path");
  return {};
}

Check check_names(const Spec& spec) {
  // __NEW_UTS_LEN, sethostname(2).
  constexpr size_t kLongest = 64;
  for (const auto& [name, value] : {std::pair{"hostname", &spec.hostname}, {"domainname", &spec.domainname}})
    if (value->size() > kLongest)
      return wrong(name, fmt::format("has {} bytes, the kernel takes {}", value->size(), kLongest));
  return {};
}

Check check_mounts(const Spec& spec, Warnings& warnings) {
  for (size_t i = 0; i < spec.mounts.size(); ++i) {
    const Mount& mount = spec.mounts[i];
    const auto path = fmt::format("mounts[{}]", i);
    if (mount.destination.empty()) return wrong(path + ".destination", "a mount needs a destination");
    // The specification asks for an absolute path; runc's callers have long sent others.
    if (!mount.destination.starts_with('/'))
      warnings.push_back(
          {path + ".destination", fmt::format("\"{}\" is not absolute; taken as \"/{}\"",
                                              printable(mount.destination), printable(mount.destination))});
    if (mount.uidMappings.empty() != mount.gidMappings.empty())
      return wrong(path, "an id-mapped mount needs both uidMappings and gidMappings");
  }
  return {};
}

Check check_hooks(const std::vector<Hook>& hooks, const std::string& name) {
  for (size_t i = 0; i < hooks.size(); ++i) {
    const auto path = fmt::format("hooks.{}[{}]", name, i);
    CLOCHE_TRY(must_be_absolute(path + ".path", hooks[i].path));
    if (hooks[i].timeout && *hooks[i].timeout <= 0)
      return wrong(path + ".timeout", fmt::format("{} is no time: seconds, more than 0", *hooks[i].timeout));
    for (size_t j = 0; j < hooks[i].env.size(); ++j)
      if (hooks[i].env[j].find('=') == std::string::npos)
        return wrong(fmt::format("{}.env[{}]", path, j), "is not of the form NAME=value");
  }
  return {};
}

Check check_all_hooks(const Spec& spec) {
  if (!spec.hooks) return {};
  CLOCHE_TRY(check_hooks(spec.hooks->prestart, "prestart"));
  CLOCHE_TRY(check_hooks(spec.hooks->createRuntime, "createRuntime"));
  CLOCHE_TRY(check_hooks(spec.hooks->createContainer, "createContainer"));
  CLOCHE_TRY(check_hooks(spec.hooks->startContainer, "startContainer"));
  CLOCHE_TRY(check_hooks(spec.hooks->poststart, "poststart"));
  return check_hooks(spec.hooks->poststop, "poststop");
}

Check check_annotations(const Spec& spec) {
  if (spec.annotations.contains("")) return wrong("annotations", "a key is empty");
  return {};
}

Check check_spec(const Spec& spec, Warnings& warnings) {
  CLOCHE_TRY(check_version(spec.ociVersion, warnings));
  if (!spec.process) return wrong("process", "a container needs a process");
  CLOCHE_TRY(check_process(*spec.process, "process", warnings));
  CLOCHE_TRY(check_root(spec));
  CLOCHE_TRY(check_names(spec));
  CLOCHE_TRY(check_mounts(spec, warnings));
  CLOCHE_TRY(check_all_hooks(spec));
  CLOCHE_TRY(check_annotations(spec));
  if (!spec.linux_) return {};
  CLOCHE_TRY(check_namespaces(spec));
  return check_linux(spec, warnings);
}

Validation outcome(Check check, Warnings warnings) {
  if (!check) return std::unexpected(std::move(check).error());
  return warnings;
}

}  // namespace

Validation validate(const Spec& spec) {
  Warnings warnings;
  auto check = check_spec(spec, warnings);
  return outcome(std::move(check), std::move(warnings));
}

Validation validate_process(const Process& process, const std::string& path) {
  Warnings warnings;
  auto check = check_process(process, path, warnings);
  return outcome(std::move(check), std::move(warnings));
}

Validation validate_resources(const Resources& resources, const std::string& path) {
  Warnings warnings;
  auto check = check_resources(resources, path, warnings, true);
  return outcome(std::move(check), std::move(warnings));
}

}  // namespace cloche::spec
