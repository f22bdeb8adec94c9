// Internal to validate: the checks by part of the config, and what they share.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "spec/problem.h"
#include "spec/runtime.h"
#include "spec/text.h"
#include "sys/error.h"  // CLOCHE_TRY

namespace cloche::spec {

using Check = std::expected<void, Problem>;
using Warnings = std::vector<Problem>;

inline std::unexpected<Problem> wrong(std::string path, std::string what) {
  return std::unexpected(Problem{.path = std::move(path), .what = std::move(what)});
}

// "process" and "cwd" are "process.cwd"; "" and "cwd" are "cwd".
inline std::string field(const std::string& path, std::string_view name) {
  return path.empty() ? std::string(name) : fmt::format("{}.{}", path, name);
}
inline std::string entry(std::string path, std::string_view key) {
  append_key(path, key);
  return path;
}

inline bool is_one_of(std::string_view word, std::span<const std::string_view> words) {
  return std::ranges::find(words, word) != words.end();
}

// Whether one of the parts between slashes is "..".
inline bool climbs(std::string_view path) {
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    if (path.substr(begin, end - begin) == "..") return true;
    begin = end + 1;
  }
  return false;
}

inline Check must_be_absolute(const std::string& path, const std::string& value) {
  if (value.starts_with('/')) return {};
  if (value.empty()) return wrong(path, "an absolute path is needed");
  return wrong(path, fmt::format("\"{}\" must be an absolute path", printable(value)));
}

Check check_process(const Process& process, const std::string& path, Warnings& warnings);
Check check_linux(const Spec& spec, Warnings& warnings);
Check check_affinity(const ExecCPUAffinity& affinity, const std::string& path);
Check check_memory_policy(const MemoryPolicy& policy, const std::string& path);
Check check_intel_rdt(const IntelRdt& rdt, const std::string& path, Warnings& warnings);
Check check_namespaces(const Spec& spec);
// `change`: what is not named keeps its value, which is not known here.
Check check_resources(const Resources& resources, const std::string& path, Warnings& warnings,
                      bool change = false);
Check check_seccomp(const Seccomp& seccomp, const std::string& path, Warnings& warnings);

}  // namespace cloche::spec
