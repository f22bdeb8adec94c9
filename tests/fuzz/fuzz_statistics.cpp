// Any bytes as the files of a cgroup that statistics, events and an update's undoing are read from. "== NAME" begins a
// file; what is before the first is /proc/PID/net/dev.
#include <boost/json.hpp>

#include "fuzz/check.h"
#include "runtime/cgroup_changes.h"
#include "runtime/cgroup_stats.h"

namespace {

using namespace cloche;

runtime::CgroupTexts files_of(std::string_view text, std::string& network) {
  constexpr std::string_view kBegin = "== ";
  runtime::CgroupTexts files;
  std::string* file = &network;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size() - 1) + 1;
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end);
    if (line.starts_with(kBegin))
      file = &files[std::string(line.substr(kBegin.size(), line.find('\n') - kBegin.size()))];
    else
      *file += line;
  }
  return files;
}

void check_object(const std::string& json) {
  boost::system::error_code failed;
  const auto value = boost::json::parse(json, failed);
  fuzz::require(!failed && value.is_object(), "no JSON object", json);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string network;
  const auto files = files_of(fuzz::text_of(data, size), network);
  check_object(runtime::statistics_json(files, network));
  for (const auto& [name, text] : files) {
    const std::string pressure = runtime::pressure_json(text);
    if (!pressure.empty()) check_object(pressure);
    for (const char* key : {"max", "oom_kill", "file", ""}) (void)runtime::flat_value(text, key);
    const std::string written = "8:0 rbps=1";
    const std::string earlier = runtime::earlier_value(name, text, written);
    fuzz::require(!earlier.empty(), "nothing to write back", name);
    if (name == "io.max") fuzz::require(earlier.starts_with("8:0"), "the line of another device", earlier);
  }
  return 0;
}
