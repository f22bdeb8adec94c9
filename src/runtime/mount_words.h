// The mount attributes as words: mount(8)'s names and the bits of mount_setattr(2).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "sys/mounts.h"

namespace cloche::runtime {

struct AttributeBits {
  uint64_t attributes = 0;                 // MOUNT_ATTR_*
  std::vector<std::string> superblock;  // words that belong to the file system: sync, dirsync, lazytime, mand
};
// Unknown words are an error: a restriction must not get lost in spelling.
[[nodiscard]] sys::Result<AttributeBits> attribute_bits(const std::vector<std::string>& words);
// What mount_setattr takes for these words; an atime word replaces the three-way atime setting as a whole.
[[nodiscard]] sys::Result<sys::MountAttributes> setattr_for(const std::vector<std::string>& set,
                                                            const std::vector<std::string>& clear);
// MS_* of "private", "slave", "shared", "unbindable" (a leading r is accepted); 0 for the empty word.
[[nodiscard]] sys::Result<uint64_t> propagation_bits(const std::string& word);
[[nodiscard]] bool recursive_propagation(const std::string& word);

}  // namespace cloche::runtime
