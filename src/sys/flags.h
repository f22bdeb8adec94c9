// Flag words printed by name, as strace prints them; bits without a name are printed too, in hex.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace cloche::sys {

struct FlagName {
  uint64_t bits;
  const char* name;
};

// "CLONE_NEWNS|CLONE_NEWPID|0x4000"; `zero` when no bit is set.
[[nodiscard]] std::string flag_names(uint64_t value, std::span<const FlagName> table, const char* zero = "0");

[[nodiscard]] std::string open_flag_names(uint64_t flags);        // O_*
[[nodiscard]] std::string resolve_flag_names(uint64_t flags);     // RESOLVE_*, openat2(2)
[[nodiscard]] std::string clone_flag_names(uint64_t flags);       // CLONE_*
[[nodiscard]] std::string mount_attr_names(uint64_t flags);       // MOUNT_ATTR_*, mount_setattr(2)
[[nodiscard]] std::string propagation_names(uint64_t flags);      // MS_PRIVATE and its kin
[[nodiscard]] std::string open_tree_flag_names(uint64_t flags);   // OPEN_TREE_*, AT_*
// A string as C would write it, cut after 120 characters.
[[nodiscard]] std::string in_quotes(std::string_view text);
// "AT_FDCWD" or the number.
[[nodiscard]] std::string dirfd_name(int dirfd);

}  // namespace cloche::sys
