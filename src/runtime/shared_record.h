// What both sides write down while a plan is executed, in memory that the parent and the container's first process
// share until its exec: no message has to be sent, and a filter that forbids sending cannot hide a failure.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <utility>

#include "sys/error.h"

namespace cloche::runtime {

enum class StepState : uint8_t { not_run, started, ok, failed };

struct SharedStep {
  uint32_t microseconds;
  int32_t error;  // errno
  StepState state;
  char fallback[55];  // what was done instead, "" when nothing was; cut to fit
};

// A failure in a fixed shape, so that it can lie in shared memory and be sent as one packet.
struct FailureRecord {
  static constexpr uint32_t kVersion = 1;
  uint32_t version;
  uint32_t step;  // index in the plan
  int32_t code;  // errno, 0 when `context` says it all
  char call[600];
  char context[600];  // innermost first, one a line
};
[[nodiscard]] FailureRecord to_record(uint32_t step, const sys::Error& error);
[[nodiscard]] sys::Error to_error(const FailureRecord& record);

struct SharedRecord {
  static constexpr uint32_t kMostSteps = 1024;
  FailureRecord failure;  // version 0: none
  pid_t spawned;  // what the joining process cloned; 0: nothing
  SharedStep steps[kMostSteps];
};

// The mapping; shared with every process forked after it was made.
class RecordMemory {
 public:
  static sys::Result<RecordMemory> map();
  RecordMemory(RecordMemory&& other) noexcept;
  RecordMemory& operator=(RecordMemory&&) = delete;
  RecordMemory(const RecordMemory&) = delete;
  RecordMemory& operator=(const RecordMemory&) = delete;
  ~RecordMemory();
  [[nodiscard]] SharedRecord& get() const { return *record_; }

 private:
  explicit RecordMemory(SharedRecord* record) : record_(record) {}
  SharedRecord* record_;
};

// Runs one step and writes down how it went.
template <class Perform>
sys::Result<> recorded(SharedRecord& record, uint32_t index, Perform&& perform);

void begin_step(SharedRecord& record, uint32_t index);
void end_step(SharedRecord& record, uint32_t index, uint64_t began_at, const sys::Result<>& result);
void note_fallback(SharedRecord& record, uint32_t index, std::string_view what);
// Nanoseconds of CLOCK_REALTIME: the one clock that a time namespace does not move under a step's feet.
[[nodiscard]] uint64_t stopwatch();

template <class Perform>
sys::Result<> recorded(SharedRecord& record, uint32_t index, Perform&& perform) {
  const uint64_t began_at = stopwatch();
  begin_step(record, index);
  sys::Result<> result = std::forward<Perform>(perform)();
  end_step(record, index, began_at, result);
  return result;
}

}  // namespace cloche::runtime
