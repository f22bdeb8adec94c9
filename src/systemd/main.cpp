// cloche-systemd: one request of cloche-runtime to a systemd manager. For the runtime, not for people: what comes back
// is for runtime/systemd.cpp. The answer is on standard output, one value a line; a refusal is status 1 and one line of
// the call, the error's name and its message, parted by tabs.
//   cloche-systemd [--user] [--seconds N] manager | start UNIT PID PROPERTY... | set UNIT PROPERTY... |
//                  attach UNIT PID | stop UNIT           PROPERTY: NAME:TYPE=VALUE
#include <algorithm>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "sys/number.h"
#include "systemd/requests.h"

namespace cloche::systemd {
namespace {

constexpr int kUsage = 2;
using Words = std::vector<std::string>;

std::optional<uint32_t> number(const std::string& text) {
  const auto value = sys::whole_number<uint32_t>(text);
  return value == 0U ? std::nullopt : value;
}

std::optional<std::vector<Property>> properties_of(const Words& words, size_t from) {
  std::vector<Property> properties;
  for (size_t i = from; i < words.size(); ++i) {
    const size_t colon = words[i].find(':'), equals = words[i].find('=', colon);
    if (colon == std::string::npos || equals == std::string::npos) return {};
    properties.push_back({words[i].substr(0, colon), words[i].substr(colon + 1, equals - colon - 1),
                          words[i].substr(equals + 1)});
  }
  return properties;
}

std::string one_line(std::string text) {
  std::ranges::replace_if(text, [](unsigned char c) { return c < ' ' || c == 0x7f; }, ' ');
  return text;
}

int say(const Refused& refused) {
  std::printf("%s\t%s\t%s\n", one_line(refused.call).c_str(), one_line(refused.name).c_str(),
              one_line(refused.message).c_str());
  return 1;
}

int say(const Answer<>& answer) { return answer ? 0 : say(answer.error()); }

int perform(Bus& bus, const Words& words) {
  const std::string& verb = words[0];
  if (verb == "manager" && words.size() == 1) {
    const auto found = manager(bus);
    if (!found) return say(found.error());
    std::printf("%s\n%s\n", found->version.c_str(), found->control_group.c_str());
    return 0;
  }
  if (words.size() < 2) return kUsage;
  if (verb == "stop" && words.size() == 2) return say(stop(bus, words[1]));
  if (verb == "set") {
    const auto properties = properties_of(words, 2);
    return properties ? say(set_properties(bus, words[1], *properties)) : kUsage;
  }
  const auto pid = words.size() > 2 ? number(words[2]) : std::optional<uint32_t>();
  if (!pid) return kUsage;
  if (verb == "attach" && words.size() == 3) return say(attach(bus, words[1], *pid));
  const auto properties = properties_of(words, 3);
  if (verb != "start" || !properties) return kUsage;
  return say(start_scope(bus, words[1], *pid, *properties));
}

int main_of(Words words) {
  bool user = false;
  uint32_t seconds = 30;
  while (!words.empty() && words[0].starts_with("--")) {
    if (words[0] == "--user") {
      user = true;
    } else if (const auto value =
                   words[0] == "--seconds" && words.size() > 1 ? number(words[1]) : std::nullopt) {
      seconds = *value;
      words.erase(words.begin());
    } else {
      return kUsage;
    }
    words.erase(words.begin());
  }
  if (words.empty()) return kUsage;
  auto bus = Bus::open(user, seconds);
  if (!bus) return say(bus.error());
  return perform(*bus, words);
}

}  // namespace
}  // namespace cloche::systemd

int main(int argc, char** argv) {
  const int status = cloche::systemd::main_of({argv + std::min(argc, 1), argv + argc});
  if (status == cloche::systemd::kUsage)
    std::fputs("cloche-systemd: is run by cloche-runtime (docs/systemd.md)\n", stderr);
  return status;
}
