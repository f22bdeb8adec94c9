// A pair of pseudoterminals, pty(7).
#pragma once

#include <cstdint>

#include "sys/error.h"
#include "sys/fd.h"

namespace cloche::runtime {

struct Terminal {
  sys::Fd master, slave;
};

// Of that devpts mount. The slave comes from the master (TIOCGPTPEER, Linux 4.13), so that no name is opened which
// somebody else could have planted. `rows` and `columns` are 0 where they are not known.
sys::Result<Terminal> open_terminal(const sys::Fd& devpts, uint32_t rows, uint32_t columns);

}  // namespace cloche::runtime
