#include "runtime/systemd.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <optional>

#include "kernel/cgroup.h"
#include "runtime/facts.h"
#include "sys/files.h"
#include "sys/program.h"

#ifndef CLOCHE_LIBEXEC
#define CLOCHE_LIBEXEC "/usr/local/libexec/cloche"
#endif

namespace cloche::runtime {
namespace {

constexpr char kProgram[] = "cloche-systemd", kVariable[] = "CLOCHE_SYSTEMD";
constexpr size_t kLongestAnswer = 65536;

std::optional<std::string> beside_this_program() {
  const auto self = sys::read_link(AT_FDCWD, "/proc/self/exe");
  if (!self) return {};
  const std::string directory = self->substr(0, self->rfind('/'));
  for (const char* place : {"/", "/../libexec/cloche/"})
    if (std::string path = directory + place + kProgram; sys::executable(path)) return path;
  return {};
}

// What the program needs to find the buses.
std::vector<std::string> environment() {
  std::vector<std::string> kept{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"};
  for (const char* name : {"DBUS_SYSTEM_BUS_ADDRESS", "DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR"})
    if (const char* value = ::getenv(name); value != nullptr)
      kept.push_back(fmt::format("{}={}", name, value));
  return kept;
}

sys::Result<sys::Outcome> ask(std::vector<std::string> args) {
  CLOCHE_TRY_ASSIGN(helper, find_systemd_helper());
  args.insert(args.begin(), kProgram);
  return sys::run_program({.path = std::move(helper),
                           .args = std::move(args),
                           .env = environment(),
                           .captured = {1},
                           .longest = kLongestAnswer});
}

BusRefusal refusal_of(const sys::Outcome& answered, const std::string& verb) {
  const std::string line = answered.text.substr(0, answered.text.find('\n'));
  const size_t first = line.find('\t');
  const size_t second = first == std::string::npos ? first : line.find('\t', first + 1);
  const int status = answered.ending.exit_code();
  if (status != 1 || second == std::string::npos)
    return {verb, "cloche-systemd", fmt::format("it ended with status {} and no answer", status)};
  return {line.substr(0, first), line.substr(first + 1, second - first - 1), line.substr(second + 1)};
}

std::vector<std::string> words_for(bool user, std::initializer_list<std::string> words) {
  std::vector<std::string> args;
  if (user) args.emplace_back("--user");
  args.insert(args.end(), words);
  return args;
}

void add(std::vector<std::string>& args, const std::vector<plan::UnitProperty>& properties) {
  for (const auto& property : properties)
    args.push_back(fmt::format("{}:{}={}", property.name, property.type, property.value));
}

sys::Result<std::string> request(std::vector<std::string> args, const std::string& verb, bool user,
                                 const std::string& unit) {
  CLOCHE_TRY_ASSIGN(answered, ask(std::move(args)));
  if (answered.ending.exit_code() == 0) return std::move(answered.text);
  return sys::fail_because(systemd_words(refusal_of(answered, verb), user, unit));
}

std::string unit_of(const std::string& cgroup) { return cgroup.substr(cgroup.rfind('/') + 1); }

}  // namespace

sys::Result<std::string> find_systemd_helper() {
  if (const char* named = ::getenv(kVariable); named != nullptr) {
    if (sys::executable(named)) return named;
    return sys::fail_because(fmt::format("{}={}: there is no such program", kVariable, named));
  }
  auto path = beside_this_program();
  if (!path && sys::executable(std::string(CLOCHE_LIBEXEC "/") + kProgram))
    path = std::string(CLOCHE_LIBEXEC "/") + kProgram;
  if (!path)
    return sys::fail_because(
        fmt::format("systemd's cgroup driver needs the program {}, which is neither beside this one nor "
                    "in " CLOCHE_LIBEXEC " ({} can name it)",
                    kProgram, kVariable));
  ::setenv(kVariable, path->c_str(), 1);
  return *std::move(path);
}

sys::Result<plan::SystemdFacts> systemd_manager(bool user) {
  CLOCHE_TRY_ASSIGN(text, request(words_for(user, {"manager"}), "manager", user, ""));
  plan::SystemdFacts facts{.user = user};
  // "252.38-1~deb12u1"
  std::from_chars(text.data(), text.data() + text.size(), facts.version);
  const size_t line = text.find('\n');
  if (line != std::string::npos)
    facts.control_group = text.substr(line + 1, text.find('\n', line + 1) - line - 1);
  if (facts.control_group.empty()) facts.control_group = "/";
  return facts;
}

sys::Result<> start_scope(const plan::StartScope& scope, pid_t pid) {
  auto args = words_for(scope.user, {"start", scope.unit, fmt::format("{}", pid)});
  add(args, scope.properties);
  CLOCHE_TRY(request(std::move(args), "start", scope.user, scope.unit));
  // Where the process is, and not where it should be: limits are written there next.
  CLOCHE_TRY_ASSIGN(text, sys::read_file(AT_FDCWD, fmt::format("/proc/{}/cgroup", pid), 65536));
  const std::string is_in = parse_own_cgroup(text);
  if (!is_in.empty() && scope.cgroup.ends_with(is_in) && is_in.ends_with("/" + scope.unit)) return {};
  (void)stop_scope(scope.cgroup, scope.user);
  return sys::fail_because(
      fmt::format("systemd has started {}, but the process is in the cgroup {}, not in {}: the caller sees "
                  "other pids or another "
                  "cgroup tree than systemd does",
                  scope.unit, is_in, scope.cgroup));
}

sys::Result<> set_scope_properties(const plan::SetScopeProperties& change) {
  auto args = words_for(change.user, {"set", change.unit});
  add(args, change.properties);
  CLOCHE_TRY(request(std::move(args), "set", change.user, change.unit));
  return {};
}

sys::Result<> attach_to_scope(const plan::AttachToScope& scope, pid_t pid) {
  CLOCHE_TRY(request(words_for(scope.user, {"attach", scope.unit, fmt::format("{}", pid)}), "attach",
                     scope.user, scope.unit));
  return {};
}

sys::Result<> stop_scope(const std::string& cgroup, bool user) {
  const std::string unit = unit_of(cgroup);
  CLOCHE_TRY_ASSIGN(answered, ask(words_for(user, {"stop", unit})));
  // Without systemd there are no units; what may be left is the cgroup, without processes.
  const bool stopped = answered.ending.exit_code() == 0;
  const BusRefusal refusal = stopped ? BusRefusal{} : refusal_of(answered, "stop");
  if (stopped || is_unreachable(refusal)) {
    auto removed = kernel::remove_cgroup(cgroup);
    if (removed || stopped) return removed;
  }
  return sys::fail_because(systemd_words(refusal, user, unit));
}

std::optional<ScopeRef> scope_of(const SavedState& state) {
  using Kind = plan::UndoAction::Kind;
  for (const plan::UndoAction& action : undo_actions(state))
    if (action.kind == Kind::stop_scope || action.kind == Kind::stop_user_scope)
      return ScopeRef{unit_of(action.path), action.kind == Kind::stop_user_scope};
  return {};
}

}  // namespace cloche::runtime
