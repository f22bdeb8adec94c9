// What `cloche-runtime` says beside its answers. An error goes to standard error, and to the log file when there is
// one. Callers read a log as one JSON object (conmon) or take its last error (containerd), so warnings wait until it
// is known that there is no error.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "runtime/launch.h"

namespace cloche::cli {

class RuntimeLog {
 public:
  void configure(std::string path, bool json, bool debug);
  void error(std::string_view sentence);
  // Warnings and notes of a command that succeeded.
  void succeeded(const runtime::Report& report);

 private:
  // False when the log file cannot be written to.
  bool append(std::string_view level, std::string_view sentence) const;
  std::string path_;
  bool json_ = false, debug_ = false;
};

// To a descriptor, whole. False: it could not be, which seldom matters, since there is nobody to tell.
bool write_text(int fd, std::string_view text);

}  // namespace cloche::cli
