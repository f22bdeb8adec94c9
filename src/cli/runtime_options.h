// The command line of `cloche-runtime`: one table of commands and flags, from which it is parsed and its help is
// printed. The spellings are runc's: "-flag", "--flag", "--flag VALUE", "--flag=VALUE", "--switch=false".
#pragma once

#include <expected>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/runtime_globals.h"

namespace cloche::cli {

struct Invocation;
class RuntimeLog;

struct RuntimeCommand {
  std::string_view name;
  std::string_view arguments;  // "ID [SIGNAL]"
  std::string_view summary;
  std::span<const Flag> flags;
  size_t least = 0, most = 0;  // number of arguments
  // Everything from the second argument on is a command's own, also what looks like a flag.
  bool takes_command = false;
  // The program's exit status.
  int (*perform)(const Invocation&, RuntimeLog&) = nullptr;
};

// Flags as they were given; a switch has the value "true" or "false".
class FlagValues {
 public:
  [[nodiscard]] bool on(std::string_view name) const;
  // The last value, or "".
  [[nodiscard]] std::string text(std::string_view name) const;
  [[nodiscard]] bool given(std::string_view name) const { return values_.contains(name); }
  // How many different flags were given.
  [[nodiscard]] size_t count() const { return values_.size(); }
  [[nodiscard]] std::vector<std::string> all(std::string_view name) const;
  void add(std::string_view name, std::string value) { values_[name].push_back(std::move(value)); }

 private:
  std::map<std::string_view, std::vector<std::string>> values_;
};

struct Invocation {
  FlagValues globals, flags;
  const RuntimeCommand* command = nullptr;  // null: none was named
  std::vector<std::string> arguments;
  bool help = false, version = false;
};

[[nodiscard]] std::span<const RuntimeCommand> runtime_commands();

// The error is one sentence. What was understood before it is in `into`: the log's place and form.
std::optional<std::string> parse_runtime(std::span<char* const> words, Invocation& into);

[[nodiscard]] std::string runtime_help();
[[nodiscard]] std::string command_help(const RuntimeCommand& command);

}  // namespace cloche::cli
