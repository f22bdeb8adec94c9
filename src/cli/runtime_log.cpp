#include "cli/runtime_log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>

#include "runtime/json_text.h"
#include "runtime/state.h"
#include "sys/files.h"

namespace cloche::cli {

bool write_text(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t wrote = ::write(fd, text.data(), text.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return false;
    text.remove_prefix(static_cast<size_t>(wrote));
  }
  return true;
}

void RuntimeLog::configure(std::string path, bool json, bool debug) {
  path_ = std::move(path);
  json_ = json;
  debug_ = debug;
}

bool RuntimeLog::append(std::string_view level, std::string_view sentence) const {
  const auto file = sys::open_at(AT_FDCWD, path_, O_WRONLY | O_CREAT | O_APPEND, 0644);
  if (!file) return false;
  const std::string message = runtime::json_string(sentence), time = runtime::timestamp();
  const std::string line =
      json_ ? fmt::format("{{\"level\":\"{}\",\"msg\":{},\"time\":\"{}\"}}\n", level, message, time)
            : fmt::format("time=\"{}\" level={} msg={}\n", time, level, message);
  return sys::write_once(*file, line, path_).has_value();
}

void RuntimeLog::error(std::string_view sentence) {
  const bool logged = path_.empty() || append("error", sentence);
  write_text(STDERR_FILENO, fmt::format("cloche-runtime: {}\n", sentence));
  if (!logged)
    write_text(STDERR_FILENO, fmt::format("cloche-runtime: the log file {} cannot be written\n", path_));
}

void RuntimeLog::succeeded(const runtime::Report& report) {
  const auto tell = [&](std::string_view level, const std::string& sentence) {
    if (path_.empty())
      write_text(STDERR_FILENO, fmt::format("cloche-runtime: {}: {}\n", level, sentence));
    else
      (void)append(level, sentence);
  };
  for (const std::string& warning : report.warnings) tell("warning", warning);
  // Notes are said when asked for: they would be the same for every container of a host.
  for (const std::string& note : report.notes)
    if (debug_) tell("info", note);
  for (const std::string& step : report.steps) tell("debug", step);
}

}  // namespace cloche::cli
