// Any bytes as the file of `exec --process`: refused in a sentence, or a process that is valid or said not to be.
#include "fuzz/check.h"
#include "spec/read.h"
#include "spec/validate.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cloche;
  const auto read = spec::read_process(fuzz::text_of(data, size));
  if (!read) return fuzz::check_sentence(read.error().message()), 0;
  for (const spec::Problem& odd : read->warnings) fuzz::check_sentence(odd.message());
  const auto valid = spec::validate_process(read->value, "process");
  if (!valid) fuzz::check_sentence(valid.error().message());
  return 0;
}
