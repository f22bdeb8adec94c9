// Finding the command in the container's root, and saying why it cannot be executed. Called after the pivot: every
// path here is the container's.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sys/error.h"

namespace cloche::runtime {

// The value of PATH in `env`, or the default search path.
[[nodiscard]] std::string search_path_of(const std::vector<std::string>& env);

// The path to execute: `command` itself when it holds a slash, else the first executable file of that name along
// `search_path`. Errors: ENOENT, EACCES, EISDIR; the message starts with the words callers look for ("executable
// file not found in $PATH", "permission denied"), then says what is wrong here in words of command_faults.h.
sys::Result<std::string> find_command(const std::string& command, const std::string& search_path);

// After a failed exec: adds to `error` what is wrong with the file at `path`, in words of command_faults.h: another
// architecture, a missing interpreter or loader, a script without "#!".
void explain_exec_failure(sys::Error& error, const std::string& path);

// The same beforehand, for each error that a file can be the cause of: "ERRNO=reason" lines, empty for a file with
// nothing wrong.
[[nodiscard]] std::string exec_failure_reasons(const std::string& path);

// Home directory of `uid` by the container's /etc/passwd, read as a regular file and bounded; "/" when unknown.
[[nodiscard]] std::string home_of(uint32_t uid);

}  // namespace cloche::runtime
