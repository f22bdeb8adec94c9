// `events`: what a container has used, and what happens in it.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "cli/runtime_commands.h"
#include "runtime/events.h"

namespace cloche::cli {
namespace {

// Go's durations, which callers send: "5s", "1m30s", "1.5h", "100ms"; nothing where it is none, or not above 0.
std::optional<std::chrono::nanoseconds> duration(std::string_view text) {
  constexpr std::pair<std::string_view, double> kUnits[] = {{"ns", 1},  {"us", 1e3}, {"ms", 1e6},
                                                            {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}};
  double total = 0;
  while (!text.empty()) {
    const size_t digits = std::min(text.find_first_not_of("0123456789."), text.size());
    const std::string number(text.substr(0, digits));
    char* end = nullptr;
    const double value = std::strtod(number.c_str(), &end);
    if (number.empty() || *end != '\0') return {};
    text.remove_prefix(digits);
    const auto unit = text.substr(0, text.find_first_of("0123456789."));
    const auto* known = std::ranges::find(kUnits, unit, &std::pair<std::string_view, double>::first);
    if (known == std::end(kUnits)) return {};
    total += value * known->second;
    text.remove_prefix(unit.size());
  }
  if (!(total >= 1 && total < 9e18)) return {};
  return std::chrono::nanoseconds(static_cast<int64_t>(total));
}

bool say(const std::string& json) { return write_text(STDOUT_FILENO, json + "\n"); }

}  // namespace

int perform_events(const Invocation& invocation, RuntimeLog& log) {
  const std::string& id = invocation.arguments[0];
  const std::string text = invocation.flags.given("interval") ? invocation.flags.text("interval") : "5s";
  const auto interval = duration(text);
  if (!interval)
    return log.error(fmt::format("--interval: \"{}\" is no time above 0, such as 5s or 500ms", text)), 1;
  const auto done = invocation.flags.on("stats")
                        ? runtime::tell_statistics(state_root(invocation), id, say)
                        : runtime::tell_events(state_root(invocation), id, *interval, say);
  if (!done) return fail(log, "tell the events of", id, done.error());
  return 0;
}

}  // namespace cloche::cli
