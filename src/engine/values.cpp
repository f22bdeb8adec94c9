#include "engine/values.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cctype>
#include <cmath>
#include <limits>

#include "sys/number.h"

namespace cloche::engine {
namespace {

std::unexpected<std::string> no(std::string sentence) { return std::unexpected(std::move(sentence)); }

template <class Number>
bool read_number(std::string_view text, Number& number) {
  const auto whole = sys::whole_number<Number>(text);
  if (whole) number = *whole;
  return whole.has_value();
}

}  // namespace

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (;;) {
    const size_t at = text.find(separator);
    parts.emplace_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

Parsed<int64_t> parse_whole(std::string_view text, int64_t least, int64_t most) {
  int64_t number = 0;
  if (!read_number(text, number)) return no(fmt::format("\"{}\" is no whole number", text));
  if (number < least || number > most)
    return no(fmt::format("{} is out of range: {} to {}", number, least, most));
  return number;
}

Parsed<int64_t> parse_cpus(std::string_view text) {
  double number = 0;
  // The kernel's smallest quota is 1 ms (kernel/sched/core.c, min_cfs_quota_period).
  if (!read_number(text, number) || !(number >= 0.01) || number > 1e6)
    return no(fmt::format("\"{}\" is no number of CPUs: write a decimal of at least 0.01, as in 1.5", text));
  return std::llround(number * 100000);
}

Parsed<spec::IDMapping> parse_id_map(std::string_view text) {
  const auto parts = split(text, ':');
  spec::IDMapping range{.containerID = 0, .hostID = 0, .size = 1};
  if (parts.size() != 3 || !read_number(std::string_view(parts[0]), range.containerID) ||
      !read_number(std::string_view(parts[1]), range.hostID) ||
      !read_number(std::string_view(parts[2]), range.size))
    return no(fmt::format("\"{}\" is no id map: write CONTAINER:HOST:SIZE, as in 0:100000:65536", text));
  return range;
}

Parsed<spec::Rlimit> parse_ulimit(std::string_view text) {
  const auto bad = [&] {
    return no(fmt::format("\"{}\" is no limit: write NAME=SOFT[:HARD], as in nofile=1024:4096", text));
  };
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0) return bad();
  spec::Rlimit limit;
  for (const char c : text.substr(0, equals))
    limit.type += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  if (!limit.type.starts_with("RLIMIT_")) limit.type.insert(0, "RLIMIT_");
  const auto parts = split(text.substr(equals + 1), ':');
  if (parts.size() > 2) return bad();
  const auto value = [](std::string_view word, uint64_t& number) {
    if (word == "unlimited" || word == "-1") {
      number = std::numeric_limits<uint64_t>::max();
      return true;
    }
    return read_number(word, number);
  };
  if (!value(parts[0], limit.soft)) return bad();
  limit.hard = limit.soft;
  if (parts.size() == 2 && !value(parts[1], limit.hard)) return bad();
  return limit;
}

Parsed<NamespaceChoice> parse_namespace(std::string_view flag, std::string_view text) {
  if (text.empty() || text == "new" || text == "private") return NamespaceChoice{};
  if (text == "host") return NamespaceChoice{.kind = NamespaceChoice::Kind::host, .path = {}};
  for (const std::string_view prefix : {"path:", "ns:"})
    if (text.starts_with(prefix) && text.substr(prefix.size()).starts_with('/'))
      return NamespaceChoice{.kind = NamespaceChoice::Kind::joined,
                             .path = std::string(text.substr(prefix.size()))};
  if (flag == "--net" && text == "none") return NamespaceChoice{};
  return no(fmt::format("{} {}: write new, host or path:/proc/PID/ns/...", flag, text));
}

Parsed<DeviceRequest> parse_device(std::string_view text) {
  const auto parts = split(text, ':');
  if (parts.empty() || parts.size() > 3 || !parts[0].starts_with('/'))
    return no(fmt::format("--device {}: write /dev/NAME[:/dev/INSIDE[:rwm]]", text));
  struct stat st{};
  if (::stat(parts[0].c_str(), &st) != 0 || (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode)))
    return no(fmt::format("--device {}: {} is no device of this host", text, parts[0]));
  DeviceRequest request;
  std::string access = "rwm";
  request.source = parts[0];
  request.device.path = parts[0];
  if (parts.size() > 1 && parts[1].starts_with('/'))
    request.device.path = parts[1];
  else if (parts.size() == 2)
    access = parts[1];
  if (parts.size() == 3) access = parts[2];
  if (access.empty() || access.find_first_not_of("rwm") != std::string::npos)
    return no(fmt::format("--device {}: access is of r, w and m", text));
  request.device.type = S_ISBLK(st.st_mode) ? "b" : "c";
  request.device.major = major(st.st_rdev);
  request.device.minor = minor(st.st_rdev);
  request.device.fileMode = st.st_mode & 0777;
  request.rule = {.allow = true,
                  .type = request.device.type,
                  .major = request.device.major,
                  .minor = request.device.minor,
                  .access = access};
  return request;
}

Parsed<spec::DeviceCgroup> parse_device_rule(std::string_view text) {
  const auto bad = [&] {
    return no(
        fmt::format("\"{}\" is no device rule: write TYPE MAJOR:MINOR ACCESS, as in c 10:229 rwm", text));
  };
  const auto words = split(text, ' ');
  if (words.size() != 3 || (words[0] != "c" && words[0] != "b" && words[0] != "a")) return bad();
  const auto numbers = split(words[1], ':');
  if (numbers.size() != 2 || words[2].empty() || words[2].find_first_not_of("rwm") != std::string::npos)
    return bad();
  spec::DeviceCgroup rule{.allow = true, .type = words[0], .major = {}, .minor = {}, .access = words[2]};
  for (const auto& [word, number] :
       {std::pair(numbers[0], &rule.major), std::pair(numbers[1], &rule.minor)}) {
    if (word == "*") continue;
    int64_t value = 0;
    if (!read_number(std::string_view(word), value) || value < 0) return bad();
    *number = value;
  }
  return rule;
}

}  // namespace cloche::engine
