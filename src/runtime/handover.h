// What a caller gets of a container besides its state: descriptors over a socket it listens on, and the pid file.
#pragma once

#include <string>
#include <string_view>

#include "sys/error.h"
#include "sys/fd.h"

namespace cloche::runtime {

// Over a connected stream socket, with `name` as the packet's bytes: what --console-socket's receivers expect.
sys::Result<> hand_over(const sys::Fd& socket, const sys::Fd& file, std::string_view name);

// The decimal number without an end of line, complete or not at all.
sys::Result<> write_pid_file(const std::string& path, pid_t pid);

}  // namespace cloche::runtime
