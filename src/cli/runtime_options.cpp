#include "cli/runtime_options.h"

#include <fmt/format.h>

#include <algorithm>

namespace cloche::cli {
namespace {

const Flag* find_flag(std::span<const Flag> flags, std::string_view name) {
  const auto found = std::ranges::find_if(flags, [&](const Flag& flag) {
    return flag.name == name || (flag.letter != 0 && name.size() == 1 && flag.letter == name[0]);
  });
  return found == flags.end() ? nullptr : &*found;
}

bool is_flag(std::string_view word) { return word.size() > 1 && word[0] == '-'; }

std::optional<bool> truth(std::string_view text) {
  for (const std::string_view yes : {"1", "t", "T", "true", "TRUE", "True"})
    if (text == yes) return true;
  for (const std::string_view no : {"0", "f", "F", "false", "FALSE", "False"})
    if (text == no) return false;
  return {};
}

class Parser {
 public:
  Parser(std::span<char* const> words, Invocation& into) : words_(words), into_(into) {}

  std::optional<std::string> parse() {
    if (auto wrong = parse_globals(); wrong || into_.help || into_.version) return wrong;
    if (done()) return {};
    const std::string_view name = words_[at_];
    const auto commands = runtime_commands();
    const auto found = std::ranges::find(commands, name, &RuntimeCommand::name);
    if (found == commands.end()) {
      if (name == "help") return void(into_.help = true), std::nullopt;
      return fmt::format("there is no command \"{}\" (cloche-runtime --help lists them)", name);
    }
    into_.command = &*found;
    ++at_;
    if (auto wrong = parse_command(); wrong || into_.help) return wrong;
    return check_count();
  }

 private:
  [[nodiscard]] bool done() const { return at_ >= words_.size(); }

  std::optional<std::string> parse_globals() {
    while (!done() && is_flag(words_[at_]))
      if (auto wrong = take_flag(kGlobals, into_.globals, "")) return wrong;
    into_.version = into_.version || into_.globals.on("version");
    return {};
  }

  std::optional<std::string> parse_command() {
    const RuntimeCommand& command = *into_.command;
    while (!done()) {
      const std::string_view word = words_[at_];
      if (word == "--") {
        ++at_;
        break;
      }
      if (is_flag(word)) {
        if (auto wrong = take_flag(command.flags, into_.flags, command.name)) return wrong;
        continue;
      }
      if (command.takes_command) break;
      into_.arguments.emplace_back(word);
      ++at_;
    }
    while (!done()) {
      // `exec ID -- COMMAND`: the dashes separate, they are no part of the command.
      const bool separator = command.takes_command && into_.arguments.size() == 1 && !separated_ &&
                             std::string_view(words_[at_]) == "--";
      if (separator)
        separated_ = true;
      else
        into_.arguments.emplace_back(words_[at_]);
      ++at_;
    }
    return {};
  }

  std::optional<std::string> take_flag(std::span<const Flag> flags, FlagValues& values,
                                       std::string_view command) {
    std::string_view word = words_[at_++];
    word.remove_prefix(word.starts_with("--") ? 2 : 1);
    const size_t equals = word.find('=');
    const std::string_view name = word.substr(0, equals);
    if (name == "help" || name == "h" || name == "?" || name == "usage")
      return void(into_.help = true), std::nullopt;
    const Flag* flag = find_flag(flags, name == "V" && command.empty() ? "version" : name);
    if (flag == nullptr) {
      if (take_letters(flags, values, word)) return {};
      return fmt::format("{}flag provided but not defined: -{} (cloche-runtime {}{}--help lists them)",
                         command.empty() ? "" : fmt::format("{}: ", command), name, command,
                         command.empty() ? "" : " ");
    }
    if (flag->value.empty()) {
      const auto on = equals == std::string_view::npos ? std::optional(true) : truth(word.substr(equals + 1));
      if (!on)
        return fmt::format("--{}: \"{}\" is neither true nor false", flag->name, word.substr(equals + 1));
      values.add(flag->name, *on ? "true" : "false");
      return {};
    }
    if (equals != std::string_view::npos) {
      values.add(flag->name, std::string(word.substr(equals + 1)));
      return {};
    }
    if (done()) return fmt::format("flag needs an argument: -{}", name);
    values.add(flag->name, words_[at_++]);
    return {};
  }

  // "-it" as "-i -t", where every letter is a switch.
  static bool take_letters(std::span<const Flag> flags, FlagValues& values, std::string_view letters) {
    if (letters.size() < 2) return false;
    for (const char letter : letters) {
      const Flag* flag = find_flag(flags, std::string_view(&letter, 1));
      if (flag == nullptr || !flag->value.empty()) return false;
    }
    for (const char letter : letters)
      values.add(find_flag(flags, std::string_view(&letter, 1))->name, "true");
    return true;
  }

  std::optional<std::string> check_count() const {
    const RuntimeCommand& command = *into_.command;
    const size_t count = into_.arguments.size();
    if (count >= command.least && count <= command.most) return {};
    return fmt::format("{}: {} argument{} given; the usage is: cloche-runtime {}{} {}", command.name, count,
                       count == 1 ? "" : "s", command.name, command.flags.empty() ? "" : " [FLAGS]",
                       command.arguments);
  }

  std::span<char* const> words_;
  Invocation& into_;
  size_t at_ = 0;
  bool separated_ = false;
};

std::string flag_lines(std::span<const Flag> flags) {
  std::string out;
  for (const Flag& flag : flags) {
    const std::string letter = flag.letter != 0 ? fmt::format("-{}, ", flag.letter) : "    ";
    out += fmt::format("  {}{:<28} {}{}\n", letter,
                       fmt::format("--{}{}{}", flag.name, flag.value.empty() ? "" : " ", flag.value),
                       flag.help, flag.repeats ? " (may be repeated)" : "");
  }
  return out;
}

}  // namespace

bool FlagValues::on(std::string_view name) const { return text(name) == "true"; }

std::string FlagValues::text(std::string_view name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? "" : found->second.back();
}

std::vector<std::string> FlagValues::all(std::string_view name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? std::vector<std::string>{} : found->second;
}

std::optional<std::string> parse_runtime(std::span<char* const> words, Invocation& into) {
  return Parser(words, into).parse();
}

std::string runtime_help() {
  std::string out =
      "cloche-runtime: runs containers from OCI bundles.\n\n"
      "usage: cloche-runtime [GLOBAL FLAGS] COMMAND [FLAGS] ARGUMENTS\n\ncommands:\n";
  for (const RuntimeCommand& command : runtime_commands())
    out += fmt::format("  {:<10} {}\n", command.name, command.summary);
  out += "\nglobal flags:\n" + flag_lines(kGlobals);
  return out + "\ncloche-runtime COMMAND --help shows a command's flags.\n";
}

std::string command_help(const RuntimeCommand& command) {
  std::string out = fmt::format("cloche-runtime {}: {}\n\nusage: cloche-runtime {}{}{}{}\n", command.name,
                                command.summary, command.name, command.flags.empty() ? "" : " [FLAGS]",
                                command.arguments.empty() ? "" : " ", command.arguments);
  if (!command.flags.empty()) out += "\nflags:\n" + flag_lines(command.flags);
  return out;
}

}  // namespace cloche::cli
