// Commands of a container that reach for more than a limit allows.
#pragma once

namespace cloche::test {

inline constexpr char kEatsMemory[] = "tail /dev/zero";
// Says how many children it could make, and ends.
inline constexpr char kForks[] =
    "sh -c 'for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 1000 & echo made; done' 2>&1";

}  // namespace cloche::test
