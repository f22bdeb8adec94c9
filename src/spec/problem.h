// What is wrong with a config, or odd about it, as data until somebody shows it to a person.
#pragma once

#include <expected>
#include <string>
#include <vector>

namespace cloche::spec {

// `path` is the field as one would write it in jq without the first dot: process.args[0],
// annotations["org.example/a"]. It is empty where the document as a whole is meant.
struct Problem {
  std::string path;
  std::string what;

  // "process.user.uid: expected a number, found a string".
  [[nodiscard]] std::string message() const { return path.empty() ? what : path + ": " + what; }
  bool operator==(const Problem&) const = default;
};

// A value, and what its reader found odd but not wrong (unknown keys, keys given twice).
template <class T>
struct Reading {
  T value;
  std::vector<Problem> warnings;
};

template <class T>
using ReadResult = std::expected<Reading<T>, Problem>;

}  // namespace cloche::spec
