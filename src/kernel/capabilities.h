// Capabilities of a thread: capabilities(7), capget(2), prctl(2) PR_CAPBSET_*, PR_CAP_AMBIENT (Linux 4.3).
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sys/error.h"

namespace cloche::kernel {

// A number of linux/capability.h, 0..63. Newer kernels may know numbers that have no name here.
enum class Capability : uint8_t {};

inline constexpr int kLastNamedCapability = 40;  // CAP_CHECKPOINT_RESTORE, Linux 5.9

class CapabilitySet {
 public:
  constexpr CapabilitySet() = default;
  constexpr CapabilitySet(std::initializer_list<int> numbers) {
    for (const int number : numbers) bits_ |= uint64_t{1} << number;
  }
  static constexpr CapabilitySet from_bits(uint64_t bits) {
    CapabilitySet set;
    set.bits_ = bits;
    return set;
  }
  // Every capability this header has a name for.
  static constexpr CapabilitySet all_named() {
    return from_bits((uint64_t{1} << (kLastNamedCapability + 1)) - 1);
  }

  [[nodiscard]] constexpr uint64_t bits() const { return bits_; }
  [[nodiscard]] constexpr bool empty() const { return bits_ == 0; }
  [[nodiscard]] constexpr bool has(Capability c) const {
    return (bits_ >> static_cast<unsigned>(c) & 1) != 0;
  }
  [[nodiscard]] constexpr bool contains(CapabilitySet other) const { return (other.bits_ & ~bits_) == 0; }
  constexpr void add(Capability c) { bits_ |= uint64_t{1} << static_cast<unsigned>(c); }
  constexpr void remove(Capability c) { bits_ &= ~(uint64_t{1} << static_cast<unsigned>(c)); }
  constexpr bool operator==(const CapabilitySet&) const = default;
  friend constexpr CapabilitySet operator|(CapabilitySet a, CapabilitySet b) {
    return from_bits(a.bits_ | b.bits_);
  }
  friend constexpr CapabilitySet operator&(CapabilitySet a, CapabilitySet b) {
    return from_bits(a.bits_ & b.bits_);
  }
  friend constexpr CapabilitySet operator-(CapabilitySet a, CapabilitySet b) {
    return from_bits(a.bits_ & ~b.bits_);
  }

 private:
  uint64_t bits_ = 0;
};

// "CAP_SYS_ADMIN"; "CAP_63" for a number without a name.
[[nodiscard]] std::string capability_name(Capability capability);
// Any case, with or without "CAP_".
[[nodiscard]] std::optional<Capability> find_capability(std::string_view name);

// A list of names as a set. A name the table does not hold is no error: it is handed back in `unknown`, since
// configurations are written for newer kernels too. "ALL" is every named capability.
struct ParsedCapabilities {
  CapabilitySet set;
  std::vector<std::string> unknown;
};
[[nodiscard]] ParsedCapabilities parse_capabilities(const std::vector<std::string>& names);

// Names in the order of their numbers.
[[nodiscard]] std::vector<std::string> capability_names(CapabilitySet set);
// "CAP_CHOWN,CAP_KILL"; "none".
[[nodiscard]] std::string describe(CapabilitySet set);

// The highest capability this kernel knows, asked by PR_CAPBSET_READ: no /proc is needed.
sys::Result<int> last_capability();

struct ThreadCapabilities {
  CapabilitySet effective, permitted, inheritable;
};
// capget(2), version 3, of the calling thread.
sys::Result<ThreadCapabilities> get_capabilities();
// The bounding set of the calling thread, one prctl(2) per capability.
sys::Result<CapabilitySet> get_bounding();

// Drops every capability of this kernel that is not in `keep`, known by name or not. EPERM without
// CAP_SETPCAP in the thread's user namespace.
sys::Result<> drop_bounding(CapabilitySet keep);
// capset(2). EPERM where a set would grow beyond the permitted one.
sys::Result<> set_capabilities(CapabilitySet effective, CapabilitySet permitted, CapabilitySet inheritable);
// Exactly this ambient set. EPERM for one that is not both permitted and inheritable.
sys::Result<> set_ambient(CapabilitySet ambient);

}  // namespace cloche::kernel
