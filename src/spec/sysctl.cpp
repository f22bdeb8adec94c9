#include "spec/sysctl.h"

#include <algorithm>
#include <array>

namespace cloche::spec {
namespace {

std::string exchanged(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = c == '.' ? '/' : c == '/' ? '.' : c;
  return result;
}

bool all_parts_are_names(std::string_view file) {
  for (size_t begin = 0, end = 0; end != std::string_view::npos; begin = end + 1) {
    end = file.find('/', begin);
    const auto part = file.substr(begin, end - begin);
    if (part.empty() || part == "." || part == "..") return false;
  }
  return true;
}

}  // namespace

std::optional<std::string> sysctl_file(std::string_view name) {
  const size_t separator = name.find_first_of("./");
  const bool dots = separator != std::string_view::npos && name[separator] == '.';
  std::string file = dots ? exchanged(name) : std::string(name);
  if (!all_parts_are_names(file)) return {};
  return file;
}

std::string sysctl_name(std::string_view file) { return exchanged(file); }

std::string_view sysctl_owner(std::string_view file) {
  constexpr std::array<std::string_view, 8> ipc{"kernel/msgmax", "kernel/msgmnb",         "kernel/msgmni",
                                                "kernel/sem",    "kernel/shmall",         "kernel/shmmax",
                                                "kernel/shmmni", "kernel/shm_rmid_forced"};
  if (file.starts_with("net/")) return "network";
  if (file.starts_with("fs/mqueue/") || std::ranges::find(ipc, file) != ipc.end()) return "ipc";
  if (file == "kernel/domainname" || file == "kernel/hostname") return "uts";
  if (file.starts_with("user/")) return "user";
  return {};
}

}  // namespace cloche::spec
