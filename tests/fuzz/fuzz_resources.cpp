// Any bytes as linux.resources, which `update` reads: refused in a sentence, or valid or said not to be, in a config.
#include "fuzz/check.h"
#include "spec/default_spec.h"
#include "spec/read.h"
#include "spec/validate.h"
#include "spec/write.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cloche;
  auto read = spec::read_resources(fuzz::text_of(data, size));
  if (!read) return fuzz::check_sentence(read.error().message()), 0;
  for (const spec::Problem& odd : read->warnings) fuzz::check_sentence(odd.message());
  spec::Spec config = spec::default_spec();
  config.linux_->resources = std::move(read->value);
  const auto valid = spec::validate(config);
  if (!valid) fuzz::check_sentence(valid.error().message());
  const std::string written = spec::to_json(config, spec::Layout::compact);
  const auto again = spec::read_spec(written);
  fuzz::require(again.has_value() && spec::to_json(again->value, spec::Layout::compact) == written,
                "what was written reads back as something else", written);
  return 0;
}
