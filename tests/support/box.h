// A container of the image host, as a person asks for it.
#pragma once

#include <string>
#include <vector>

#include "support/command.h"

namespace cloche::test {

// cloche run FLAGS host -- sh -c SCRIPT
inline Command box(std::vector<std::string> flags, const std::string& script) {
  std::vector<std::string> argv{program("cloche"), "run"};
  argv.insert(argv.end(), flags.begin(), flags.end());
  argv.insert(argv.end(), {"host", "--", "sh", "-c", script});
  return {.argv = std::move(argv)};
}
inline Outcome run_box(const std::vector<std::string>& flags, const std::string& script) {
  return run(box(flags, script));
}
// cloche run ARGUMENTS
inline Outcome cloche_run(const std::vector<std::string>& arguments) {
  std::vector<std::string> argv{program("cloche"), "run"};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return run({.argv = std::move(argv)});
}

}  // namespace cloche::test
