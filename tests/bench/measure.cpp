#include "measure.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <string_view>

#include "launch.h"
#include "sys/files.h"
#include "sys/process.h"

namespace cloche::bench {
namespace {

// The launcher's end of the pipe.
constexpr int kReportFd = 3;

std::string last_words(const std::string& log) {
  std::string text = sys::read_file(AT_FDCWD, log).value_or("");
  while (!text.empty() && text.back() == '\n') text.pop_back();
  constexpr size_t kEnough = 400;
  return text.size() > kEnough ? text.substr(text.size() - kEnough) : text;
}

sys::Result<pid_t> spawn_launcher(const Launcher& launcher, const Argv& argv, int report) {
  std::vector<std::string> words = {launcher.program, std::to_string(kReportFd)};
  words.insert(words.end(), argv.begin(), argv.end());
  std::vector<char*> pointers;
  pointers.reserve(words.size() + 1);
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 2, launcher.error_log.c_str(), O_WRONLY | O_CREAT | O_TRUNC,
                                   0600);
  posix_spawn_file_actions_adddup2(&actions, report, kReportFd);
  pid_t child = 0;
  int code = posix_spawn(&child, launcher.program.c_str(), &actions, nullptr, pointers.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (code != 0) return sys::fail(code, fmt::format("posix_spawn(\"{}\")", launcher.program));
  return child;
}

}  // namespace

sys::Result<Sample> run_measured(const Launcher& launcher, const Argv& argv) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) < 0) return sys::fail(errno, "pipe2()");
  sys::Fd reading(ends[0]);
  sys::Fd writing(ends[1]);
  auto child = spawn_launcher(launcher, argv, writing.get());
  if (!child) return std::unexpected(child.error());
  writing.reset();
  launch_report report{};
  // At most PIPE_BUF bytes, so they come whole; nothing comes from a launcher that failed.
  ssize_t length = read(reading.get(), &report, sizeof report);
  CLOCHE_TRY(sys::wait_for(*child));
  if (length != sizeof report) return sys::fail_because(fmt::format("{}: not started", fmt::join(argv, " ")));
  if (report.status != 0) {
    std::string how = WIFEXITED(report.status) ? fmt::format("exit {}", WEXITSTATUS(report.status))
                                               : fmt::format("signal {}", WTERMSIG(report.status));
    return sys::fail_because(
        fmt::format("{}: {}: {}", fmt::join(argv, " "), how, last_words(launcher.error_log)));
  }
  return Sample{.wall_us = static_cast<double>(report.wall_ns) / 1e3,
                .cpu_us = static_cast<double>(report.cpu_us),
                .peak_kib = report.peak_kib};
}

std::string find_program(const std::string& name) {
  if (name.contains('/')) return access(name.c_str(), X_OK) == 0 ? name : "";
  const char* path = getenv("PATH");
  // sbin too: Debian keeps runc there, and a user's PATH does not.
  std::string rest = fmt::format("{}:/usr/sbin:/sbin", path != nullptr ? path : "/usr/bin:/bin");
  while (!rest.empty()) {
    size_t end = rest.find(':');
    std::string candidate = fmt::format("{}/{}", rest.substr(0, end), name);
    if (access(candidate.c_str(), X_OK) == 0) return candidate;
    rest = end == std::string::npos ? "" : rest.substr(end + 1);
  }
  return "";
}

}  // namespace cloche::bench
