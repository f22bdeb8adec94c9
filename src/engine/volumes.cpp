// -v, --mount and --tmpfs, in the spellings of Docker and Podman.
#include <fmt/format.h>

#include <algorithm>

#include "engine/values.h"

namespace cloche::engine {
namespace {

std::unexpected<std::string> no(std::string sentence) { return std::unexpected(std::move(sentence)); }

// Words of -v that are mount options as they stand. z and Z ask for SELinux relabelling.
bool known_option(const std::string& word) {
  static constexpr std::string_view kWords[] = {
      "ro",     "rw",      "rro",     "nosuid",     "suid",     "nodev",       "dev",
      "noexec", "exec",    "noatime", "relatime",   "private",  "rprivate",    "slave",
      "rslave", "shared",  "rshared", "unbindable", "bind",     "rbind",       "idmap",
      "ridmap", "rnosuid", "rnodev",  "rnoexec",    "rnoatime", "runbindable", "nosymfollow"};
  return std::ranges::find(kWords, word) != std::end(kWords);
}

Parsed<std::string> clean_target(std::string_view flag, const std::string& target) {
  if (!target.starts_with('/'))
    return no(fmt::format("{}: the target \"{}\" is no absolute path", flag, target));
  if (target.find_first_not_of('/') == std::string::npos)
    return no(fmt::format("{}: the container's root cannot be a target", flag));
  return target;
}

}  // namespace

Parsed<spec::Mount> parse_volume(std::string_view text) {
  const auto parts = split(text, ':');
  if (parts.size() < 2 || parts.size() > 3)
    return no(fmt::format("-v {}: write SOURCE:TARGET[:OPTIONS]", text));
  if (!parts[0].starts_with('/'))
    return no(fmt::format("-v {}: the source \"{}\" is no absolute path (named volumes are not there yet)",
                          text, parts[0]));
  auto target = clean_target(fmt::format("-v {}", text), parts[1]);
  if (!target) return no(target.error());
  spec::Mount mount{.destination = *target,
                    .type = "bind",
                    .source = parts[0],
                    .options = {},
                    .uidMappings = {},
                    .gidMappings = {}};
  bool recursion = false;
  if (parts.size() == 3) {
    for (const std::string& word : split(parts[2], ',')) {
      if (!known_option(word)) return no(fmt::format("-v {}: \"{}\" is no mount option", text, word));
      recursion = recursion || word == "bind" || word == "rbind";
      mount.options.push_back(word);
    }
  }
  if (!recursion) mount.options.insert(mount.options.begin(), "rbind");
  return mount;
}

Parsed<spec::Mount> parse_tmpfs(std::string_view text) {
  const size_t colon = text.find(':');
  auto target = clean_target(fmt::format("--tmpfs {}", text), std::string(text.substr(0, colon)));
  if (!target) return no(target.error());
  spec::Mount mount{.destination = *target,
                    .type = "tmpfs",
                    .source = "tmpfs",
                    .options = {"nosuid", "nodev", "noexec"},
                    .uidMappings = {},
                    .gidMappings = {}};
  if (colon != std::string_view::npos)
    for (std::string& word : split(text.substr(colon + 1), ',')) mount.options.push_back(std::move(word));
  return mount;
}

Parsed<spec::Mount> parse_mount(std::string_view text) {
  spec::Mount mount;
  mount.type = "bind";
  std::string propagation = "rprivate";
  bool recursive = true;
  const auto bad = [&](std::string_view why) { return no(fmt::format("--mount {}: {}", text, why)); };
  for (const std::string& part : split(text, ',')) {
    const size_t equals = part.find('=');
    const std::string key = part.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : part.substr(equals + 1);
    const bool yes = equals == std::string::npos || value == "true" || value == "1";
    if (key == "type") {
      if (value != "bind" && value != "tmpfs") return bad("the type is bind or tmpfs");
      mount.type = value;
    } else if (key == "source" || key == "src") {
      mount.source = value;
    } else if (key == "target" || key == "destination" || key == "dst") {
      mount.destination = value;
    } else if (key == "readonly" || key == "ro") {
      mount.options.emplace_back(yes ? "ro" : "rw");
    } else if (key == "rro" && yes) {
      mount.options.emplace_back("rro");
    } else if (key == "bind-propagation") {
      propagation = value;
    } else if (key == "bind-recursive" && value == "disabled") {
      recursive = false;
    } else if (key == "tmpfs-size") {
      mount.options.push_back("size=" + value);
    } else if (key == "tmpfs-mode") {
      mount.options.push_back("mode=" + value);
    } else if (equals == std::string::npos && known_option(key)) {
      mount.options.push_back(key);
    } else {
      return bad(fmt::format("\"{}\" is not understood", part));
    }
  }
  auto target = clean_target(fmt::format("--mount {}", text), mount.destination);
  if (!target) return no(target.error());
  if (mount.type == "tmpfs") {
    mount.source = "tmpfs";
    mount.options.insert(mount.options.begin(), {"nosuid", "nodev", "noexec"});
    return mount;
  }
  if (!mount.source.starts_with('/')) return bad("a bind needs source=/absolute/path");
  mount.options.insert(mount.options.begin(), recursive ? "rbind" : "bind");
  mount.options.push_back(propagation);
  return mount;
}

}  // namespace cloche::engine
