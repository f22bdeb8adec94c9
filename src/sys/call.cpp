#include "sys/call.h"

#include <unistd.h>

#include <cerrno>

namespace cloche::sys {

long raw_syscall(long number, const std::array<long, 6>& a) {
  const long result = ::syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
  return result == -1 ? -errno : result;
}

}  // namespace cloche::sys
