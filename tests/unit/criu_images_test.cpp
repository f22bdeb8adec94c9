// The maps in a checkpoint, and who may open a stream.
#include "runtime/criu_images.h"

#include <gtest/gtest.h>

#include <string>

namespace cloche::runtime {
namespace {

// As criu 3.17.1 writes it: uids 0 100000 65536, gids 0 7 1 and 1 200 300.
const std::string kHead("\x19\x43\x56\x54\x06\x49\x47\x55", 8);
const std::string kMaps(
    "\x0a\x0a\x08\x00\x10\xa0\x8d\x06\x18\x80\x80\x04"
    "\x12\x06\x08\x00\x10\x07\x18\x01"
    "\x12\x08\x08\x01\x10\xc8\x01\x18\xac\x02",
    30);

std::string image(const std::string& message) {
  const auto size = static_cast<uint32_t>(message.size());
  return kHead + std::string(reinterpret_cast<const char*>(&size), sizeof size) + message;
}

TEST(CriuImages, TheMapsOfAUserNamespaceAreRead) {
  const auto maps = parse_id_maps(image(kMaps));
  ASSERT_TRUE(maps);
  ASSERT_EQ(maps->uids.size(), 1U);
  EXPECT_EQ(maps->uids[0].hostID, 100000U);
  EXPECT_EQ(maps->uids[0].size, 65536U);
  ASSERT_EQ(maps->gids.size(), 2U);
  EXPECT_EQ(maps->gids[1].containerID, 1U);
  EXPECT_EQ(maps->gids[1].hostID, 200U);
  EXPECT_EQ(maps->gids[1].size, 300U);
}

TEST(CriuImages, WhatIsNoneIsSaidToBeNone) {
  EXPECT_FALSE(parse_id_maps(""));
  EXPECT_FALSE(parse_id_maps(kHead));
  EXPECT_FALSE(parse_id_maps("12345678" + image(kMaps).substr(8)));
  for (size_t size = 1; size < kMaps.size(); ++size) (void)parse_id_maps(image(kMaps.substr(0, size)));
  EXPECT_FALSE(parse_id_maps(image(kMaps.substr(0, 11)))) << "a message that is cut off";
  EXPECT_FALSE(parse_id_maps(image("\x0a\xff\xff\xff\xff\x0f")));
  EXPECT_FALSE(parse_id_maps(image("\x0d\x01\x02\x03\x04"))) << "another kind of field";
  EXPECT_FALSE(parse_id_maps(image(std::string(12, '\xff'))));
}

TEST(CriuImages, RootOfAUserNamespaceOpensWhatItsIdsMay) {
  const plan::IdMaps maps{.uids = {{.containerID = 0, .hostID = 1000, .size = 10}},
                          .gids = {{.containerID = 0, .hostID = 2000, .size = 10}}};
  const auto may = [&](uid_t uid, gid_t gid, mode_t mode, unsigned wanted) {
    struct stat file{};
    file.st_uid = uid;
    file.st_gid = gid;
    file.st_mode = S_IFREG | mode;
    return root_may_open(maps, file, wanted);
  };
  EXPECT_TRUE(may(1003, 2003, 0, 6)) << "both ids are of the namespace";
  EXPECT_FALSE(may(0, 0, 0644, 2));
  EXPECT_TRUE(may(0, 0, 0644, 4));
  EXPECT_TRUE(may(0, 0, 0666, 6));
  EXPECT_TRUE(may(1000, 0, 0600, 6)) << "its own";
  EXPECT_FALSE(may(1000, 0, 0066, 6));
  EXPECT_FALSE(may(1010, 0, 0600, 4)) << "just past the range";
  EXPECT_TRUE(may(0, 2000, 0060, 6)) << "its group's";
}

}  // namespace
}  // namespace cloche::runtime
