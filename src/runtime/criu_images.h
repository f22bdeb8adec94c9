// The files of a checkpoint as criu(8) writes them, and how the root of a user namespace gets at them.
#pragma once

#include <sys/stat.h>

#include <optional>
#include <string>
#include <string_view>

#include "plan/planner.h"
#include "sys/error.h"
#include "sys/fd.h"

namespace cloche::runtime {

// The maps of the user namespace in a checkpoint; none: its processes had none of their own.
sys::Result<std::optional<plan::IdMaps>> id_maps_in(const std::string& images);

// userns-N.img: two 32 bit words that say what it is, a 32 bit length, and so much of protobuf (images/userns.proto of
// criu's source). None: it is something else.
[[nodiscard]] std::optional<plan::IdMaps> parse_id_maps(std::string_view image);

// Whether root of a user namespace with these maps may open a file for reading (4), writing (2) or both (6).
[[nodiscard]] bool root_may_open(const plan::IdMaps& maps, const struct stat& file, unsigned wanted);

// Makes a terminal that of the root of the images' user namespace, who gives it the owner that the old one had.
sys::Result<> give_terminal(const sys::Fd& terminal, const std::string& images);

// ---- in a mount namespace that is criu's alone ----

// A tmpfs on the directory, which everybody may enter.
sys::Result<> cover(const std::string& directory);
// The tree, at a new file or directory.
sys::Result<> show_tree(const sys::Fd& tree, const std::string& at);
// The images at a new directory, those of the checkpoint before as "parent". Each file is mounted there, so that the way
// to it, and who may go it, does not matter.
sys::Result<> show_images(const std::string& images, const std::string& at);

}  // namespace cloche::runtime
