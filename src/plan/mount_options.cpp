#include "plan/mount_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace cloche::plan {
namespace {

struct Word {
  std::string_view word, attribute;
  bool sets;
};
// "rw" clears "ro": a bind mount may undo an attribute of its source.
constexpr std::array kAttributes = {
    Word{"ro", "ro", true},
    Word{"rw", "ro", false},
    Word{"nosuid", "nosuid", true},
    Word{"suid", "nosuid", false},
    Word{"nodev", "nodev", true},
    Word{"dev", "nodev", false},
    Word{"noexec", "noexec", true},
    Word{"exec", "noexec", false},
    Word{"nosymfollow", "nosymfollow", true},
    Word{"symfollow", "nosymfollow", false},
    Word{"nodiratime", "nodiratime", true},
    Word{"diratime", "nodiratime", false},
    Word{"noatime", "noatime", true},
    Word{"atime", "noatime", false},
    Word{"relatime", "relatime", true},
    Word{"norelatime", "relatime", false},
    Word{"strictatime", "strictatime", true},
    Word{"nostrictatime", "strictatime", false},
};
constexpr std::array<std::string_view, 8> kPropagations = {
    "private", "rprivate", "shared", "rshared", "slave", "rslave", "unbindable", "runbindable"};
// Flags of the file system itself, which fsconfig(2) takes by these names.
constexpr std::array<std::string_view, 9> kSuperblock = {
    "sync", "async", "dirsync", "lazytime", "nolazytime", "mand", "nomand", "iversion", "noiversion"};
// Their meaning would be lost; refused until they are there.
constexpr std::array<std::string_view, 4> kUnsupported = {"remount", "copy-symlink", "src-nofollow",
                                                          "dest-nofollow"};

void put(Strings& in, Strings& out_of, std::string_view word) {
  std::erase(out_of, word);
  if (std::ranges::find(in, word) == in.end()) in.emplace_back(word);
}

bool is_atime(std::string_view word) {
  return word == "noatime" || word == "relatime" || word == "strictatime";
}

void apply(const Word& found, Strings& set, Strings& cleared) {
  // One of three: the last one said holds.
  if (is_atime(found.attribute)) std::erase_if(set, [](const auto& other) { return is_atime(other); });
  if (found.sets)
    put(set, cleared, found.attribute);
  else
    put(cleared, set, found.attribute);
}

}  // namespace

std::expected<MountOptions, Refusal> parse_mount_options(const Strings& options, const std::string& field,
                                                         bool bind) {
  MountOptions parsed{.bind = bind};
  for (const auto& option : options) {
    const std::string_view word = option;
    const auto attribute = std::ranges::find(kAttributes, word, &Word::word);
    const auto recursive = word.starts_with('r') ? std::ranges::find(kAttributes, word.substr(1), &Word::word)
                                                 : kAttributes.end();
    if (word == "bind" || word == "rbind") {
      parsed.bind = true;
      parsed.recursive = parsed.recursive || word == "rbind";
    } else if (attribute != kAttributes.end()) {
      apply(*attribute, parsed.attributes, parsed.cleared);
    } else if (recursive != kAttributes.end()) {
      apply(*recursive, parsed.recursive_attributes, parsed.recursive_cleared);
    } else if (std::ranges::find(kPropagations, word) != kPropagations.end()) {
      parsed.propagation = word;
    } else if (word == "idmap" || word == "ridmap") {
      parsed.idmap = word == "idmap" ? MountOptions::Idmap::top : MountOptions::Idmap::recursive;
    } else if (word == "tmpcopyup") {
      parsed.copy_up = true;
    } else if (std::ranges::find(kUnsupported, word) != kUnsupported.end()) {
      return refuse(field + ".options", fmt::format("\"{}\" is not supported yet", word));
    } else if (word == "defaults" || word.empty() || word == "silent" || word == "loud") {
      // Nothing of their own: "defaults" is fstab's placeholder, the other two are about the kernel's log.
    } else {
      parsed.data.emplace_back(word);
    }
  }
  if (parsed.bind)
    for (const auto& word : parsed.data)
      if (std::ranges::find(kSuperblock, word) == kSuperblock.end())
        return refuse(field + ".options", fmt::format("\"{}\" is no option of a bind mount", word));
  return parsed;
}

}  // namespace cloche::plan
