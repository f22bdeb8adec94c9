// Any bytes as descriptors.json of a checkpoint: refused in a sentence, or three names at most that criu may be given.
#include "fuzz/check.h"
#include "runtime/checkpoint_view.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cloche;
  const std::string_view text = fuzz::text_of(data, size);
  (void)runtime::mount_of_descriptor(text);
  const auto streams = runtime::streams_from_json(text);
  if (!streams) return fuzz::check_sentence(streams.error().message()), 0;
  fuzz::require(streams->size() <= 3, "more than three streams", text);
  for (const std::string& name : *streams)
    for (const char c : name)
      fuzz::require((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == ':' || c == '[' || c == ']',
                    "no name of criu's", name);
  const auto again = runtime::streams_from_json(runtime::streams_to_json(*streams));
  fuzz::require(again.has_value() && *again == *streams, "what was written reads back as something else",
                text);
  return 0;
}
