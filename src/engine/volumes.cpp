// -v, --mount and --tmpfs, in the spellings of Docker and Podman.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>

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

// As Go's strconv.ParseBool has it, which Docker and Podman use; nothing after the key is yes.
std::optional<bool> truth(std::string_view word) {
  static constexpr std::string_view kYes[] = {"1", "t", "T", "true", "TRUE", "True"};
  static constexpr std::string_view kNo[] = {"0", "f", "F", "false", "FALSE", "False"};
  if (std::ranges::find(kYes, word) != std::end(kYes)) return true;
  if (std::ranges::find(kNo, word) != std::end(kNo)) return false;
  return {};
}

// "." and what begins with "./" or "../" is below the working directory, as with Docker and Podman.
std::string from_working_directory(const std::string& path) {
  if (path != "." && path != ".." && !path.starts_with("./") && !path.starts_with("../")) return path;
  std::error_code error;
  const auto here = std::filesystem::current_path(error);
  if (error) return path;
  std::string whole = (here / path).lexically_normal().string();
  while (whole.size() > 1 && whole.ends_with('/')) whole.pop_back();
  return whole;
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
  const std::string source = from_working_directory(parts[0]);
  if (!source.starts_with('/'))
    return no(
        fmt::format("-v {}: the source \"{}\" begins with neither / nor ./ (named volumes are not there yet)",
                    text, parts[0]));
  auto target = clean_target(fmt::format("-v {}", text), parts[1]);
  if (!target) return no(target.error());
  spec::Mount mount{.destination = *target,
                    .type = "bind",
                    .source = source,
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
    const auto yes = equals == std::string::npos ? true : truth(value);
    if (key == "type") {
      if (value != "bind" && value != "tmpfs") return bad("the type is bind or tmpfs");
      mount.type = value;
    } else if (key == "source" || key == "src") {
      mount.source = value;
    } else if (key == "target" || key == "destination" || key == "dst") {
      mount.destination = value;
    } else if (key == "readonly" || key == "ro") {
      if (!yes) return bad(fmt::format("{} is true or false, not \"{}\"", key, value));
      mount.options.emplace_back(*yes ? "ro" : "rw");
    } else if (key == "rro") {
      if (!yes) return bad(fmt::format("{} is true or false, not \"{}\"", key, value));
      if (*yes) mount.options.emplace_back("rro");
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
    if (!mount.source.empty()) return bad("a tmpfs has no source");
    mount.source = "tmpfs";
    mount.options.insert(mount.options.begin(), {"nosuid", "nodev", "noexec"});
    return mount;
  }
  mount.source = from_working_directory(mount.source);
  if (!mount.source.starts_with('/')) return bad("a bind needs source=/absolute/path");
  mount.options.insert(mount.options.begin(), recursive ? "rbind" : "bind");
  mount.options.push_back(propagation);
  return mount;
}

}  // namespace cloche::engine
