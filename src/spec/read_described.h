// Internal to the readers: from the members that Boost.Describe lists, a constant table per type of what may
// stand at each place of a document. The reader walks these tables, so its code exists once and not once per
// type.
#pragma once

#include <array>
#include <boost/describe.hpp>
#include <boost/mp11.hpp>
#include <concepts>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace cloche::spec::described {

enum class Shape : uint8_t { object, map, array, text, boolean, integer };

struct Type;

struct Member {
  std::string_view name;
  const Type* type = nullptr;
  void* (*of)(void* object) = nullptr;  // the member's place in its object
};

// A place of this type is a void*; the functions know what is behind it.
struct Type {
  Shape shape{};
  std::span<const Member> members{};  // object
  const Type* element = nullptr;      // array, map
  void* (*engage)(void*) = nullptr;  // optional: makes the value and returns its place; null for all others
  void (*clear)(void*) = nullptr;  // back to the default value, as before anything was read
  void* (*append)(void*) = nullptr;  // array: the place of a new last element
  void* (*at)(void*, std::string&& key, bool& is_new) = nullptr;  // map
  void (*store)(void*, uint64_t) = nullptr;  // integer: the value in two's complement
  int64_t smallest = 0;  // integer
  uint64_t largest = 0;
};

// "linux_" is "linux": see runtime.h.
constexpr std::string_view key_name(std::string_view member) {
  return member.ends_with('_') ? member.substr(0, member.size() - 1) : member;
}

template <class T>
struct Make;

template <class T>
inline constexpr Type type_of = Make<T>::type();

template <class T>
void clear_place(void* place) {
  *static_cast<T*>(place) = T{};
}

template <>
struct Make<std::string> {
  static constexpr Type type() { return {.shape = Shape::text, .clear = clear_place<std::string>}; }
};

template <>
struct Make<bool> {
  static constexpr Type type() { return {.shape = Shape::boolean, .clear = clear_place<bool>}; }
};

template <std::integral T>
struct Make<T> {
  static constexpr Type type() {
    return {.shape = Shape::integer,
            .clear = clear_place<T>,
            .store = [](void* place, uint64_t value) { *static_cast<T*>(place) = static_cast<T>(value); },
            .smallest = static_cast<int64_t>(std::numeric_limits<T>::min()),
            .largest = static_cast<uint64_t>(std::numeric_limits<T>::max())};
  }
};

template <class T>
struct Make<std::optional<T>> {
  static constexpr Type type() {
    Type type = Make<T>::type();
    type.engage = [](void* place) -> void* { return &static_cast<std::optional<T>*>(place)->emplace(); };
    type.clear = clear_place<std::optional<T>>;
    return type;
  }
};

template <class T>
struct Make<std::vector<T>> {
  static constexpr Type type() {
    return {
        .shape = Shape::array,
        .element = &type_of<T>,
        .clear = clear_place<std::vector<T>>,
        .append = [](void* place) -> void* { return &static_cast<std::vector<T>*>(place)->emplace_back(); }};
  }
};

template <class T>
struct Make<std::map<std::string, T>> {
  static constexpr Type type() {
    return {.shape = Shape::map,
            .element = &type_of<T>,
            .clear = clear_place<std::map<std::string, T>>,
            .at = [](void* place, std::string&& key, bool& is_new) -> void* {
              const auto [entry, made] =
                  static_cast<std::map<std::string, T>*>(place)->try_emplace(std::move(key));
              is_new = made;
              return &entry->second;
            }};
  }
};

template <class T>
using DescribedMembers = boost::describe::describe_members<T, boost::describe::mod_public>;

template <class T, class Description>
constexpr Member member() {
  using Value = std::remove_cvref_t<decltype(std::declval<T&>().*Description::pointer)>;
  return {.name = key_name(Description::name), .type = &type_of<Value>, .of = [](void* object) -> void* {
            return &(static_cast<T*>(object)->*Description::pointer);
          }};
}

template <class T, class... Descriptions>
constexpr std::array<Member, sizeof...(Descriptions)> members(boost::mp11::mp_list<Descriptions...>) {
  return {member<T, Descriptions>()...};
}

template <class T>
inline constexpr auto members_of =
    members<T>(boost::mp11::mp_rename<DescribedMembers<T>, boost::mp11::mp_list>{});

template <class T>
  requires boost::describe::has_describe_members<T>::value
struct Make<T> {
  static_assert(members_of<T>.size() <= 64, "the reader keeps the keys it has seen in one word");
  static constexpr Type type() {
    return {.shape = Shape::object, .members = members_of<T>, .clear = clear_place<T>};
  }
};

}  // namespace cloche::spec::described
