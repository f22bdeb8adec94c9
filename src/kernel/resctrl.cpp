#include "kernel/resctrl.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <map>

#include "sys/files.h"

namespace cloche::kernel {
namespace {

using Values = std::map<std::string, std::string, std::less<>>;  // "L3:0" -> "7f"

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// As the kernel prints it: no zeros in front, small letters.
std::string normal(std::string_view value) {
  value = trimmed(value);
  while (value.size() > 1 && value[0] == '0') value.remove_prefix(1);
  std::string text(value);
  for (char& c : text)
    if (c >= 'A' && c <= 'F') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

void take_line(std::string_view line, Values& values) {
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return;
  const std::string resource(trimmed(line.substr(0, colon)));
  for (size_t begin = colon + 1; begin <= line.size();) {
    const size_t end = std::min(line.find(';', begin), line.size());
    const auto part = line.substr(begin, end - begin);
    if (const size_t equals = part.find('='); equals != std::string_view::npos)
      values[fmt::format("{}:{}", resource, normal(part.substr(0, equals)))] =
          normal(part.substr(equals + 1));
    begin = end + 1;
  }
}

Values values_of(std::string_view text) {
  Values values;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    take_line(text.substr(begin, end - begin), values);
    begin = end + 1;
  }
  return values;
}

// The file is in the root of the file system: two directories up at the most (a monitoring group's).
std::string last_status(std::string path) {
  for (int levels = 0; levels < 4 && !path.empty(); ++levels) {
    if (auto words = sys::read_file(AT_FDCWD, path + "/info/last_cmd_status", 4096)) {
      while (words->ends_with('\n')) words->pop_back();
      return *words == "ok" ? "" : *words;
    }
    path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
  }
  return {};
}

sys::Result<> explained(sys::Result<> result, const std::string& group) {
  if (result) return result;
  const std::string status = last_status(group);
  if (status.empty()) return result;
  return sys::wrap(std::move(result).error(), "the kernel says: " + status);
}

}  // namespace

sys::Result<bool> make_resctrl_group(const std::string& path) {
  auto made = sys::make_directory(AT_FDCWD, path, 0755);
  if (made) return true;
  if (made.error().code == EEXIST) return false;
  return std::unexpected(explained(std::move(made), path).error());
}

sys::Result<> write_schemata(const std::string& group, const std::vector<std::string>& lines) {
  for (const std::string& line : lines)
    CLOCHE_TRY(explained(sys::write_file(AT_FDCWD, group + "/schemata", line + "\n"), group));
  return {};
}

sys::Result<> compare_schemata(const std::string& group, const std::vector<std::string>& lines) {
  CLOCHE_TRY_ASSIGN(text, sys::read_file(AT_FDCWD, group + "/schemata", 65536));
  const Values there = values_of(text);
  for (const std::string& line : lines)
    for (const auto& [place, value] : values_of(line)) {
      const auto found = there.find(place);
      if (found == there.end() || found->second != value)
        return sys::fail_because(
            fmt::format("the group {} is there already, with {}={} where {} is asked for", group, place,
                        found == there.end() ? "nothing" : found->second, value));
    }
  return {};
}

sys::Result<> join_resctrl_group(const std::string& group, pid_t process) {
  return explained(sys::write_file(AT_FDCWD, group + "/tasks", fmt::format("{}\n", process)), group);
}

sys::Result<> remove_resctrl_group(const std::string& path) {
  auto removed = sys::remove_at(AT_FDCWD, path, AT_REMOVEDIR);
  if (!removed && removed.error().code == ENOENT) return {};
  return removed;
}

}  // namespace cloche::kernel
