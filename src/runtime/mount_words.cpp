#include "runtime/mount_words.h"

#include <fmt/format.h>
#include <sys/mount.h>

namespace cloche::runtime {
namespace {

struct Word {
  std::string_view word;
  uint64_t set, clear;
};
// "relatime" is the zero of the atime field; "atime" and "norelatime" undo what the others set.
constexpr Word kWords[] = {
    {"ro", MOUNT_ATTR_RDONLY, 0},
    {"rw", 0, MOUNT_ATTR_RDONLY},
    {"nosuid", MOUNT_ATTR_NOSUID, 0},
    {"suid", 0, MOUNT_ATTR_NOSUID},
    {"nodev", MOUNT_ATTR_NODEV, 0},
    {"dev", 0, MOUNT_ATTR_NODEV},
    {"noexec", MOUNT_ATTR_NOEXEC, 0},
    {"exec", 0, MOUNT_ATTR_NOEXEC},
    {"noatime", MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME},
    {"strictatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME},
    {"relatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
    {"atime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
    {"norelatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME},
    {"nostrictatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
    {"nodiratime", MOUNT_ATTR_NODIRATIME, 0},
    {"diratime", 0, MOUNT_ATTR_NODIRATIME},
    {"nosymfollow", MOUNT_ATTR_NOSYMFOLLOW, 0},
    {"symfollow", 0, MOUNT_ATTR_NOSYMFOLLOW},
};

const Word* find(std::string_view name) {
  for (const Word& word : kWords)
    if (word.word == name) return &word;
  return nullptr;
}

}  // namespace

sys::Result<AttributeBits> attribute_bits(const std::vector<std::string>& words) {
  AttributeBits bits;
  for (const std::string& name : words) {
    if (const Word* word = find(name)) {
      bits.attributes = (bits.attributes & ~word->clear) | word->set;
    } else if (name == "sync" || name == "dirsync" || name == "lazytime" || name == "mand") {
      bits.superblock.push_back(name);
    } else if (name != "async" && name != "nolazytime" && name != "nomand" && name != "defaults") {
      return sys::fail_because(fmt::format("{} is no mount attribute", name));
    }
  }
  return bits;
}

sys::Result<sys::MountAttributes> setattr_for(const std::vector<std::string>& set,
                                              const std::vector<std::string>& clear) {
  sys::MountAttributes attributes;
  for (const std::string& name : set) {
    const Word* word = find(name);
    if (word == nullptr) {
      if (name == "defaults" || name == "async") continue;
      return sys::fail_because(fmt::format("{} is no attribute of a bind mount", name));
    }
    attributes.set = (attributes.set & ~word->clear) | word->set;
    attributes.clear |= word->clear;
  }
  for (const std::string& name : clear) {
    const Word* word = find(name);
    if (word == nullptr) return sys::fail_because(fmt::format("{} is no attribute of a bind mount", name));
    attributes.clear |= word->set | word->clear;
  }
  return attributes;
}

sys::Result<uint64_t> propagation_bits(const std::string& word) {
  const std::string_view plain = recursive_propagation(word) ? std::string_view(word).substr(1) : word;
  if (plain.empty()) return 0U;
  if (plain == "private") return static_cast<uint64_t>(MS_PRIVATE);
  if (plain == "slave") return static_cast<uint64_t>(MS_SLAVE);
  if (plain == "shared") return static_cast<uint64_t>(MS_SHARED);
  if (plain == "unbindable") return static_cast<uint64_t>(MS_UNBINDABLE);
  return sys::fail_because(fmt::format("{} is no mount propagation", word));
}

bool recursive_propagation(const std::string& word) { return word.starts_with('r'); }

}  // namespace cloche::runtime
