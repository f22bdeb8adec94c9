// What the kernel counted, read from a cgroup's files.
#pragma once

#include <poll.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>

#include "support/files.h"

namespace cloche::test {

// Where the guest mounts cgroup v2.
inline constexpr char kCgroups[] = "/sys/fs/cgroup";

// The number of the line "KEY NUMBER", the last one if there are more; -1 where no line is of that key.
inline int64_t counter(const std::string& text, const std::string& key) {
  int64_t result = -1;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with(key + " ")) result = std::strtoll(line.c_str() + key.size() + 1, nullptr, 10);
  return result;
}

// The number of KEY in the line of io.stat, "MAJOR:MINOR KEY=NUMBER ...", of the one disk that is in use; 0 without one.
inline int64_t io_counter(const std::string& cgroup, const std::string& key) {
  const std::string text = text_of(cgroup + "/io.stat");
  const size_t at = text.find(' ' + key + '=');
  return at == std::string::npos ? 0 : std::strtoll(text.c_str() + at + key.size() + 2, nullptr, 10);
}

// By how much the count of each of two cgroups grows from here on, until both together have grown by `enough`.
inline std::pair<int64_t, int64_t> grown_together(const std::string& first, const std::string& second,
                                                  int64_t (*count)(const std::string& cgroup),
                                                  int64_t enough) {
  const int64_t first_begin = count(first), second_begin = count(second);
  std::pair<int64_t, int64_t> both;
  for (int tries = 0; tries < 600 && both.first + both.second < enough; ++tries) {
    poll(nullptr, 0, 100);
    both = {count(first) - first_begin, count(second) - second_begin};
  }
  return both;
}

// What two cgroups use of the processor from here on, in microseconds, until they have used `enough` together.
inline std::pair<int64_t, int64_t> used_together(const std::string& first, const std::string& second,
                                                 int64_t enough) {
  const auto used = [](const std::string& cgroup) {
    return counter(text_of(cgroup + "/cpu.stat"), "usage_usec");
  };
  return grown_together(first, second, used, enough);
}

// A cgroup of the test's own, for containers that are compared with each other.
class ParentCgroup {
 public:
  explicit ParentCgroup(const std::string& name) : name_("/" + name) {
    std::filesystem::create_directory(path());
  }
  ParentCgroup(const ParentCgroup&) = delete;
  ParentCgroup& operator=(const ParentCgroup&) = delete;
  // Cannot go while a container is left in it, which LeaksNothing then reports.
  ~ParentCgroup() {
    std::error_code ignored;
    std::filesystem::remove(path(), ignored);
  }

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] std::string path() const { return kCgroups + name_; }
  void set(const std::string& file, const std::string& value) const {
    std::ofstream(path() + "/" + file) << value;
  }
  // The path of the child whose FILE holds VALUE; empty if there is none (yet).
  [[nodiscard]] std::string child(const std::string& file, const std::string& value) const {
    for (const auto& entry : std::filesystem::directory_iterator(path()))
      if (entry.is_directory() && text_of(entry.path() / file) == value + "\n") return entry.path();
    return "";
  }

 private:
  std::string name_;
};

}  // namespace cloche::test
