#include "engine/process_options.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdlib>
#include <optional>

#include "engine/values.h"
#include "kernel/capabilities.h"
#include "kernel/seccomp_profile.h"
#include "sys/files.h"
#include "sys/number.h"

namespace cloche::engine {
namespace {

constexpr size_t kLargestTable = size_t{16} << 20;  // bytes of a passwd or group file
constexpr std::string_view kPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

bool is_number(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

std::expected<uint32_t, std::string> id_number(std::string_view text) {
  const auto number = sys::whole_number<uint32_t>(text);
  // 4294967295 is "no change" to the kernel (setresuid(2)), not an id.
  if (!number || *number == 0xffffffffU)
    return std::unexpected(fmt::format("{} is no user or group id", text));
  return *number;
}

// The fields of the first line of `file` whose first field is `name`, or whose third is the number `id`.
std::vector<std::string> find_line(std::string_view file, std::string_view name,
                                   std::optional<uint32_t> id = {}) {
  for (const std::string& line : split(file, '\n')) {
    auto fields = split(line, ':');
    if (fields.size() < 4) continue;
    if (id ? is_number(fields[2]) && id_number(fields[2]) == *id : fields[0] == name) return fields;
  }
  return {};
}

// A table of the image's, which is the host. One that is not there has no names; one that is there and cannot be read
// as a file is no answer to who somebody is.
std::expected<std::string, std::string> read_table(const char* path) {
  const auto slash = sys::open_at(AT_FDCWD, "/", O_PATH | O_DIRECTORY);
  if (!slash) return std::unexpected(slash.error().message());
  auto text = sys::read_regular_in_root(*slash, path, kLargestTable);
  if (text) return *std::move(text);
  if (text.error().code == ENOENT) return std::string();
  if (text.error().code == EFBIG)
    return std::unexpected(fmt::format("{} is larger than {} MiB", path, kLargestTable >> 20));
  return std::unexpected(text.error().message());
}

// KEY=VALUE sets; KEY alone takes the caller's value, as Docker and Podman have it. A later one replaces.
void set_variable(Strings& env, const std::string& entry) {
  std::string whole = entry;
  const size_t equals = entry.find('=');
  if (equals == std::string::npos) {
    const char* value = std::getenv(entry.c_str());
    if (value == nullptr) return;
    whole = entry + "=" + value;
  }
  const std::string key = whole.substr(0, whole.find('=') + 1);
  std::erase_if(env, [&](const std::string& present) { return present.starts_with(key); });
  env.push_back(std::move(whole));
}

std::expected<void, std::string> environment(const RunOptions& options, spec::Spec& spec,
                                             const FieldSources& sources) {
  Strings& env = spec.process->env;
  env.emplace_back(kPath);
  if (!spec.hostname.empty()) env.push_back("HOSTNAME=" + spec.hostname);
  env.emplace_back("container=cloche");
  if (options.terminal) {
    const char* term = std::getenv("TERM");
    env.push_back(fmt::format("TERM={}", term != nullptr ? term : "xterm"));
  }
  sources.standard("process.env", "what programs expect");
  for (const std::string& path : options.env_files) {
    auto text = sys::read_file(AT_FDCWD, path);
    if (!text) return std::unexpected(fmt::format("--env-file {}: {}", path, text.error().message()));
    for (const std::string& line : split(*text, '\n'))
      if (!line.empty() && line[0] != '#') set_variable(env, line);
    sources.flag("process.env", "--env-file " + path);
  }
  for (const std::string& entry : options.env) {
    if (entry.empty() || entry[0] == '=')
      return std::unexpected(fmt::format("-e \"{}\": write NAME=VALUE or NAME", entry));
    set_variable(env, entry);
    sources.flag("process.env", "-e");
  }
  return {};
}

std::expected<void, std::string> user(const RunOptions& options, spec::Spec& spec,
                                      const FieldSources& sources) {
  spec::User& user = spec.process->user;
  sources.standard("process.user", "root of its own user namespace");
  const auto resolve = [](const std::string& text) -> std::expected<ResolvedUser, std::string> {
    const auto passwd = read_table("/etc/passwd");
    if (!passwd) return std::unexpected(passwd.error());
    const auto group = text.contains(':') ? read_table("/etc/group") : std::string();
    if (!group) return std::unexpected(group.error());
    return resolve_user(text, *passwd, *group);
  };
  if (options.run_as) {
    const auto resolved = resolve(*options.run_as);
    if (!resolved) return std::unexpected(fmt::format("--user {}: {}", *options.run_as, resolved.error()));
    user.uid = resolved->uid;
    user.gid = resolved->gid;
    sources.flag("process.user", "--user " + *options.run_as);
  }
  for (const std::string& name : options.groups) {
    const auto resolved = resolve("0:" + name);
    if (!resolved) return std::unexpected(fmt::format("--group-add {}: {}", name, resolved.error()));
    sources.flag(fmt::format("process.user.additionalGids[{}]", user.additionalGids.size()),
                 "--group-add " + name);
    user.additionalGids.push_back(resolved->gid);
  }
  if (!options.umask.empty()) {
    uint32_t mask = 0;
    const auto [end, error] =
        std::from_chars(options.umask.data(), options.umask.data() + options.umask.size(), mask, 8);
    if (error != std::errc() || end != options.umask.data() + options.umask.size() || mask > 0777)
      return std::unexpected(fmt::format("--umask {}: write an octal number up to 0777", options.umask));
    user.umask = mask;
  }
  return {};
}

}  // namespace

std::expected<ResolvedUser, std::string> resolve_user(std::string_view text, std::string_view passwd,
                                                      std::string_view group) {
  ResolvedUser resolved;
  const size_t colon = text.find(':');
  const std::string_view user = text.substr(0, colon);
  if (user.empty()) return std::unexpected("the user is empty");
  std::vector<std::string> line;
  if (is_number(user)) {
    const auto number = id_number(user);
    if (!number) return std::unexpected(number.error());
    resolved.uid = *number;
    line = find_line(passwd, {}, *number);
  } else {
    line = find_line(passwd, user);
    if (line.empty()) return std::unexpected(fmt::format("no user {} in /etc/passwd", user));
    const auto number = id_number(line[2]);
    if (!number) return std::unexpected(number.error());
    resolved.uid = *number;
  }
  if (colon == std::string_view::npos) {
    if (line.empty()) return resolved;
    const auto number = id_number(line[3]);
    if (!number) return std::unexpected("in /etc/passwd: " + number.error());
    resolved.gid = *number;
    return resolved;
  }
  const std::string_view wanted = text.substr(colon + 1);
  if (wanted.empty()) return std::unexpected("the group is empty");
  if (is_number(wanted)) {
    const auto number = id_number(wanted);
    if (!number) return std::unexpected(number.error());
    resolved.gid = *number;
    return resolved;
  }
  const auto group_line = find_line(group, wanted);
  if (group_line.empty()) return std::unexpected(fmt::format("no group {} in /etc/group", wanted));
  const auto number = id_number(group_line[2]);
  if (!number) return std::unexpected(number.error());
  resolved.gid = *number;
  return resolved;
}

std::expected<void, std::string> apply_process_options(const RunOptions& options, const plan::HostFacts&,
                                                       spec::Spec& spec, const FieldSources& sources) {
  spec::Process& process = *spec.process;
  process.args = options.command;
  sources.flag("process.args", "the command line");
  process.terminal = options.terminal;
  if (options.terminal) sources.flag("process.terminal", "--tty");
  process.cwd = options.workdir.empty() ? "/" : options.workdir;
  if (!process.cwd.starts_with('/'))
    return std::unexpected(fmt::format("--workdir {}: write an absolute path", options.workdir));
  if (options.workdir.empty())
    sources.standard("process.cwd", "the root");
  else
    sources.flag("process.cwd", "--workdir " + options.workdir);
  if (auto done = environment(options, spec, sources); !done) return done;
  if (auto done = user(options, spec, sources); !done) return done;
  for (const std::string& text : options.ulimits) {
    const auto limit = parse_ulimit(text);
    if (!limit) return std::unexpected("--ulimit: " + limit.error());
    sources.flag(fmt::format("process.rlimits[{}]", process.rlimits.size()), "--ulimit " + text);
    process.rlimits.push_back(*limit);
  }
  if (options.oom_score_adj) {
    process.oomScoreAdj = options.oom_score_adj;
    sources.flag("process.oomScoreAdj", fmt::format("--oom-score-adj {}", *options.oom_score_adj));
  }
  for (const std::string& text : options.sysctls) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0)
      return std::unexpected(fmt::format("--sysctl {}: write KEY=VALUE", text));
    spec.linux_->sysctl[text.substr(0, equals)] = text.substr(equals + 1);
    sources.flag(fmt::format("linux.sysctl.{}", text.substr(0, equals)), "--sysctl " + text);
  }
  return {};
}

std::expected<spec::Seccomp, std::string> read_seccomp_file(const std::string& path,
                                                            const Strings& capabilities) {
  auto text = sys::read_file(AT_FDCWD, path);
  if (!text) return std::unexpected(text.error().message());
  auto profile =
      kernel::read_seccomp_profile(*text, {.capabilities = kernel::parse_capabilities(capabilities).set});
  if (!profile) return std::unexpected(profile.error().message());
  return std::move(profile->filter);
}

}  // namespace cloche::engine
