// Descriptors 0 to 2 of a process, as criu is told of them.
#pragma once

#include <string>
#include <vector>

#include "runtime/facts.h"

namespace cloche::runtime {

inline constexpr int kStandardStreams = 3;

struct StreamName {
  std::string link;  // where /proc/PID/fd/N leads; empty: it is closed
  std::string outside;  // outside_name()
};
// `process` as it is named in /proc: "7", "self".
StreamName name_of_stream(const std::string& process, int number, const std::vector<MountLine>& inside);

// What criu will call the streams that a new container gets from this process. `restored`: those of its checkpoint; a
// stream that did not lead outside then does not now.
std::vector<std::string> streams_given();
std::vector<std::string> streams_given(const std::vector<std::string>& restored);

}  // namespace cloche::runtime
