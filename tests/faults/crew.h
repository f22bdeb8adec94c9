// The points of a sweep, shared among processes: who traces with ptrace(2) and waits for any child can do one at a time.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace cloche::faults {

struct Report {
  std::map<std::string, int> counts;  // by what came of a point
  std::vector<std::string> findings;
};

// Hands each point to one of the processes.
class Turns {
 public:
  explicit Turns(size_t points);
  Turns(const Turns&) = delete;
  Turns& operator=(const Turns&) = delete;
  ~Turns();
  std::optional<size_t> next();

 private:
  const size_t points_;
  size_t* const next_;  // in memory that they share
};

// Runs `work` in as many processes as there are processors, numbered from 0, each a subreaper; adds up what they report.
// What one throws, and one that dies, is a finding. `scratch` is a directory for their reports.
using Work = std::function<void(int number, Turns& turns, Report& report)>;
Report share_out(size_t points, const std::string& scratch, const Work& work);

}  // namespace cloche::faults
