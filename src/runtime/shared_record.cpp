#include "runtime/shared_record.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#include <algorithm>
#include <cstring>

#include "sys/call.h"

namespace cloche::runtime {
namespace {

template <size_t N>
void copy_cut(char (&to)[N], std::string_view from) {
  const size_t length = std::min(from.size(), N - 1);
  std::memcpy(to, from.data(), length);
  to[length] = '\0';
}

// The other side may be gone or broken: never read past the end.
template <size_t N>
std::string text_of(const char (&from)[N]) {
  return {from, strnlen(from, N)};
}

}  // namespace

FailureRecord to_record(uint32_t step, const sys::Error& error) {
  FailureRecord record{};
  record.version = FailureRecord::kVersion;
  record.step = step;
  record.code = error.code;
  copy_cut(record.call, error.call);
  std::string context;
  for (const std::string& line : error.context) context += (context.empty() ? "" : "\n") + line;
  copy_cut(record.context, context);
  return record;
}

sys::Error to_error(const FailureRecord& record) {
  sys::Error error{.code = record.code, .call = text_of(record.call), .context = {}};
  std::string rest = text_of(record.context);
  while (!rest.empty()) {
    const size_t end = rest.find('\n');
    error.context.push_back(rest.substr(0, end));
    rest = end == std::string::npos ? "" : rest.substr(end + 1);
  }
  return error;
}

sys::Result<RecordMemory> RecordMemory::map() {
  const long raw = sys::raw_call(SYS_mmap, nullptr, sizeof(SharedRecord), PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (raw < 0 && raw > -4096) return sys::fail(static_cast<int>(-raw), "mmap(MAP_SHARED|MAP_ANONYMOUS)");
  return RecordMemory(reinterpret_cast<SharedRecord*>(raw));  // NOLINT(performance-no-int-to-ptr)
}

RecordMemory::RecordMemory(RecordMemory&& other) noexcept : record_(std::exchange(other.record_, nullptr)) {}
RecordMemory::~RecordMemory() {
  if (record_ != nullptr) sys::raw_call(SYS_munmap, record_, sizeof(SharedRecord));
}

uint64_t stopwatch() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000U + static_cast<uint64_t>(now.tv_nsec);
}

void begin_step(SharedRecord& record, uint32_t index) {
  if (index < SharedRecord::kMostSteps) record.steps[index].state = StepState::started;
}

void end_step(SharedRecord& record, uint32_t index, uint64_t began_at, const sys::Result<>& result) {
  if (index < SharedRecord::kMostSteps) {
    SharedStep& step = record.steps[index];
    step.microseconds = static_cast<uint32_t>((stopwatch() - began_at) / 1000);
    step.state = result ? StepState::ok : StepState::failed;
    step.error = result ? 0 : result.error().code;
  }
  if (!result && record.failure.version == 0) record.failure = to_record(index, result.error());
}

void note_fallback(SharedRecord& record, uint32_t index, std::string_view what) {
  if (index < SharedRecord::kMostSteps) copy_cut(record.steps[index].fallback, what);
}

}  // namespace cloche::runtime
