// From samples to medians and ratios, as a table or as JSON.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "candidates.h"
#include "measure.h"

namespace cloche::bench {

// samples[candidate][round]; round N of all candidates was measured together.
struct Measured {
  std::string group;
  std::string what;
  std::vector<std::string> names;
  std::vector<std::vector<Sample>> samples;
};

// The value below which `share` (0 to 1) of the values lie, interpolated between neighbours.
double quantile(std::vector<double> values, double share);

// The median over rounds of candidate / reference: load that both of a round met cancels out.
double paired_ratio(std::span<const Sample> candidate, std::span<const Sample> reference);

std::string as_table(const std::vector<Measured>& groups, const std::vector<std::string>& notes);

// {"version": 1, "notes": [...], "groups": [{"name", "what", "rounds", "candidates": [{"name",
// "wall_us": {"median", "min", "p10", "p90"}, "cpu_us", "peak_kib", "ratios": {REFERENCE: {"median", "paired"}}}]}]}
std::string as_json(const std::vector<Measured>& groups, const std::vector<std::string>& notes);

}  // namespace cloche::bench
