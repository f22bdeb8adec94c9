// Any bytes as the files of a container's directory: state.json, init. What is read is written back as the same.
#include "fuzz/check.h"
#include "runtime/process_mark.h"
#include "runtime/state.h"

namespace {

using namespace cloche;

void check_state(std::string_view text) {
  const auto state = runtime::parse_state(text);
  if (!state) return fuzz::check_sentence(state.error().message());
  (void)runtime::undo_actions(*state);
  const std::string written = runtime::to_json(*state);
  const auto again = runtime::parse_state(written);
  fuzz::require(again.has_value(), "what was written cannot be read", written);
  fuzz::require(runtime::to_json(*again) == written, "what was written reads back as something else",
                written);
}

void check_mark(std::string_view text) {
  (void)runtime::parse_stat(text);
  const auto mark = runtime::parse_mark(text);
  if (!mark) return;
  fuzz::require(mark->pid > 0, "a process without a number", text);
  fuzz::require(runtime::parse_mark(runtime::to_line(*mark)) == mark, "another process", text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = fuzz::text_of(data, size);
  check_state(text);
  check_mark(text);
  (void)runtime::id_problem(text);
  return 0;
}
