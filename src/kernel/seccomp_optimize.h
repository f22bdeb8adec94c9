// Rearranges a seccomp program: the same answer for every seccomp_data, by binary search over call numbers.
#pragma once

#include <linux/filter.h>

#include <vector>

namespace cloche::kernel {

// libseccomp compares the call's number with one constant after another. Here the program is run ahead for
// every architecture and number it can tell apart, up to its answer or to the first argument it looks at; the
// outcomes are runs of consecutive numbers, found by binary search, and the parts that look at arguments are
// kept as they are. Fewer instructions at every call, and a quicker load: since Linux 5.11 the kernel runs
// each filter once for every call number when it is loaded. A program with an instruction that libseccomp
// does not use is returned unchanged.
[[nodiscard]] std::vector<sock_filter> optimize_seccomp(const std::vector<sock_filter>& program);

}  // namespace cloche::kernel
