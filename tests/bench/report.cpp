#include "report.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>

namespace cloche::bench {
namespace {

namespace json = boost::json;
// What the others are held against, where the group has it.
constexpr const char* kReferences[] = {"floor", "crun", "runc", "alone", "floor alone"};

std::vector<double> walls(std::span<const Sample> samples) {
  std::vector<double> values;
  values.reserve(samples.size());
  for (const Sample& sample : samples) values.push_back(sample.wall_us);
  return values;
}

struct Ratio {
  std::string reference;
  double medians = 0;  // of the two medians
  double paired = 0;   // the median of each round's ratio
};

struct Row {
  std::string name;
  double median = 0, min = 0, p10 = 0, p90 = 0;  // microseconds of wall time
  double cpu = 0;                                // microseconds, median
  int64_t peak_kib = 0;                          // the largest of all rounds
  std::vector<Ratio> ratios;
};

Row row_of(const Measured& group, size_t index) {
  const std::vector<Sample>& samples = group.samples[index];
  std::vector<double> wall = walls(samples);
  Row row{.name = group.names[index],
          .median = quantile(wall, 0.5),
          .min = quantile(wall, 0),
          .p10 = quantile(wall, 0.1),
          .p90 = quantile(wall, 0.9)};
  std::vector<double> cpu;
  for (const Sample& sample : samples) {
    cpu.push_back(sample.cpu_us);
    row.peak_kib = std::max(row.peak_kib, sample.peak_kib);
  }
  row.cpu = quantile(cpu, 0.5);
  for (const char* reference : kReferences) {
    auto at = std::ranges::find(group.names, reference);
    if (at == group.names.end()) continue;
    const auto& other = group.samples[static_cast<size_t>(at - group.names.begin())];
    row.ratios.push_back({reference, row.median / quantile(walls(other), 0.5), paired_ratio(samples, other)});
  }
  return row;
}

std::string group_table(const Measured& group) {
  std::string text = fmt::format("{}: {} ({} rounds)\n", group.group, group.what,
                                 group.samples.empty() ? 0 : group.samples.front().size());
  std::string head = fmt::format("  {:<16} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}", "candidate", "median ms",
                                 "min", "p10", "p90", "cpu ms", "peak MiB");
  std::string body;
  for (size_t index = 0; index < group.names.size(); ++index) {
    Row row = row_of(group, index);
    body += fmt::format("  {:<16} {:>9.3f} {:>9.3f} {:>9.3f} {:>9.3f} {:>9.3f} {:>9.2f}", row.name,
                        row.median / 1e3, row.min / 1e3, row.p10 / 1e3, row.p90 / 1e3, row.cpu / 1e3,
                        static_cast<double>(row.peak_kib) / 1024);
    for (const Ratio& ratio : row.ratios) {
      if (index == 0) head += fmt::format("  {:>15}", "x " + ratio.reference);
      body += fmt::format("  {:>7.3f} ({:.3f})", ratio.medians, ratio.paired);
    }
    body += '\n';
  }
  return text + head + '\n' + body + '\n';
}

double rounded(double value) { return std::round(value * 1000) / 1000; }

json::object group_json(const Measured& group) {
  json::array candidates;
  for (size_t index = 0; index < group.names.size(); ++index) {
    Row row = row_of(group, index);
    json::object ratios;
    for (const Ratio& ratio : row.ratios)
      ratios[ratio.reference] = {{"median", rounded(ratio.medians)}, {"paired", rounded(ratio.paired)}};
    candidates.push_back({{"name", row.name},
                          {"wall_us",
                           {{"median", rounded(row.median)},
                            {"min", rounded(row.min)},
                            {"p10", rounded(row.p10)},
                            {"p90", rounded(row.p90)}}},
                          {"cpu_us", rounded(row.cpu)},
                          {"peak_kib", row.peak_kib},
                          {"ratios", ratios}});
  }
  return {{"name", group.group},
          {"what", group.what},
          {"rounds", group.samples.empty() ? 0 : group.samples.front().size()},
          {"candidates", candidates}};
}

}  // namespace

double quantile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  std::ranges::sort(values);
  double place = share * static_cast<double>(values.size() - 1);
  auto below = static_cast<size_t>(place);
  size_t above = std::min(below + 1, values.size() - 1);
  return values[below] + (values[above] - values[below]) * (place - static_cast<double>(below));
}

double paired_ratio(std::span<const Sample> candidate, std::span<const Sample> reference) {
  std::vector<double> ratios;
  for (size_t round = 0; round < std::min(candidate.size(), reference.size()); ++round)
    ratios.push_back(candidate[round].wall_us / reference[round].wall_us);
  return quantile(ratios, 0.5);
}

std::string as_table(const std::vector<Measured>& groups, const std::vector<std::string>& notes) {
  std::string text;
  for (const Measured& group : groups) text += group_table(group);
  text += "Ratios: of the medians, and in brackets the median of the ratios within each round.\n";
  for (const std::string& note : notes) text += fmt::format("Note: {}.\n", note);
  return text;
}

std::string as_json(const std::vector<Measured>& groups, const std::vector<std::string>& notes) {
  json::array all;
  for (const Measured& group : groups) all.push_back(group_json(group));
  json::array said;
  for (const std::string& note : notes) said.push_back(json::string(note));
  return json::serialize(json::object{{"version", 1}, {"notes", said}, {"groups", all}}) + '\n';
}

}  // namespace cloche::bench
