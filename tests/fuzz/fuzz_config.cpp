// Any bytes at all as a config: a refusal is one printable sentence; what is accepted is written and read back to the
// same text.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "spec/read.h"
#include "spec/validate.h"
#include "spec/write.h"

namespace {

void require(bool holds, const char* what, const std::string& found) {
  if (holds) return;
  std::fprintf(stderr, "%s: %s\n", what, found.c_str());
  std::abort();
}

void check_sentence(const cloche::spec::Problem& problem) {
  const std::string message = problem.message();
  require(!problem.what.empty(), "a problem without words", message);
  require(message.size() < 4096, "a sentence without end", message);
  for (const char c : message) require(static_cast<unsigned char>(c) >= 0x20, "a control character", message);
}

template <class T>
void check(const cloche::spec::ReadResult<T>& reading) {
  if (!reading) check_sentence(reading.error());
  if (reading)
    for (const auto& warning : reading->warnings) check_sentence(warning);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cloche::spec;
  const std::string_view json(reinterpret_cast<const char*>(data), size);
  check(read_process(json));
  check(read_resources(json));
  check(read_seccomp(json));
  const auto reading = read_spec(json);
  check(reading);
  if (!reading) return 0;

  const auto valid = validate(reading->value);
  if (!valid) check_sentence(valid.error());
  const std::string written = to_json(reading->value, Layout::compact);
  const auto again = read_spec(written);
  require(again.has_value(), "what was written cannot be read", written);
  require(again->warnings.empty(), "what was written is odd", written);
  require(to_json(again->value, Layout::compact) == written, "what was written reads back as something else",
          written);
  return 0;
}
