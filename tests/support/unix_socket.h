// Sockets that tests listen on, unix(7).
#pragma once

#include <string>

#include "sys/fd.h"

namespace cloche::test {

// Bound to `path`; `type` is SOCK_STREAM or SOCK_DGRAM. Throws where that fails.
sys::Fd bound_socket(const std::string& path, int type);

}  // namespace cloche::test
