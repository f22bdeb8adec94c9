// Any bytes as the image of a user namespace in a checkpoint: no maps, or lines that the bytes can have held.
#include "fuzz/check.h"
#include "runtime/criu_images.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cloche;
  const std::string_view image = fuzz::text_of(data, size);
  const auto maps = runtime::parse_id_maps(image);
  if (!maps) return 0;
  constexpr size_t kHead = 12, kShortestLine = 2;  // a field's key and its length
  fuzz::require(image.size() >= kHead, "maps without a head", image);
  fuzz::require(maps->uids.size() + maps->gids.size() <= (image.size() - kHead) / kShortestLine,
                "more lines than bytes for them", image);
  struct stat file{};
  (void)runtime::root_may_open(*maps, file, 4);
  return 0;
}
