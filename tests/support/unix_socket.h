// Sockets that tests listen on, unix(7).
#pragma once

#include <string>

#include "sys/fd.h"

namespace cloche::test {

// Bound to `path`; `type` is SOCK_STREAM or SOCK_DGRAM. Throws where that fails.
sys::Fd bound_socket(const std::string& path, int type);

// The descriptor that came with the first packet of the first connection. It never waits: without one it throws.
sys::Fd sent_descriptor(const sys::Fd& listener);

}  // namespace cloche::test
