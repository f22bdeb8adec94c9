// docs/spec-coverage.md is checked against the types, the catalogue of steps and the tests, so that it cannot drift.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "plan/catalog.h"
#include "sample_plans.h"
#include "spec/read_described.h"

namespace cloche {
namespace {

using spec::described::Shape;
using spec::described::Type;

std::string slurp(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// "linux.resources.devices[].allow", "linux.netDevices.*.name": everything of the types that holds a value.
void add_fields(const Type& type, const std::string& path, std::set<std::string>& fields) {
  if (type.shape == Shape::array && type.element->shape == Shape::object)
    return add_fields(*type.element, path + "[]", fields);
  if (type.shape == Shape::map && type.element->shape == Shape::object)
    return add_fields(*type.element, path + ".*", fields);
  if (type.shape != Shape::object) {
    fields.insert(path);
    return;
  }
  for (const auto& member : type.members)
    add_fields(*member.type, path.empty() ? std::string(member.name) : path + "." + std::string(member.name),
               fields);
}

struct Row {
  std::string field, step, test;
};

std::vector<Row> rows() {
  std::ifstream file(std::filesystem::path(CLOCHE_SOURCE_DIR) / "docs/spec-coverage.md");
  std::vector<Row> all;
  const auto cell = [](std::string text) {
    const size_t first = text.find_first_not_of(" `"), last = text.find_last_not_of(" `");
    return first == std::string::npos ? std::string() : text.substr(first, last - first + 1);
  };
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("| `")) continue;
    std::vector<std::string> cells;
    for (size_t at = 1; at < line.size();) {
      const size_t end = std::min(line.find('|', at), line.size());
      cells.push_back(cell(line.substr(at, end - at)));
      at = end + 1;
    }
    if (cells.size() >= 3) all.push_back({cells[0], cells[1], cells[2]});
  }
  return all;
}

// "Suite.Name" -> its source.
std::map<std::string, std::string> tests() {
  std::map<std::string, std::string> all;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(std::filesystem::path(CLOCHE_SOURCE_DIR) / "tests")) {
    if (entry.path().extension() != ".cpp") continue;
    const std::string text = slurp(entry.path());
    for (size_t at = text.find("\nTEST"); at != std::string::npos;) {
      const size_t next = text.find("\nTEST", at + 1);
      const size_t open = text.find('(', at), comma = text.find(", ", open), close = text.find(')', comma);
      if (close != std::string::npos)
        all[text.substr(open + 1, comma - open - 1) + "." + text.substr(comma + 2, close - comma - 2)] =
            text.substr(at, next - at);
      at = next;
    }
  }
  return all;
}

std::string key_of(const std::string& field) {
  std::string key = field.substr(field.find_last_of('.') + 1);
  if (key.ends_with("[]")) key.resize(key.size() - 2);
  return key;
}

TEST(SpecCoverage, EveryFieldOfTheTypesHasOneRowAndNoOther) {
  std::set<std::string> fields, named;
  add_fields(spec::described::type_of<spec::Spec>, "", fields);
  for (const Row& row : rows()) EXPECT_TRUE(named.insert(row.field).second) << row.field << " has two rows";
  for (const std::string& field : fields) EXPECT_TRUE(named.contains(field)) << field << " has no row";
  for (const std::string& field : named) EXPECT_TRUE(fields.contains(field)) << field << " is no field";
}

TEST(SpecCoverage, EveryStepIsOfTheCatalogue) {
  std::set<std::string> kinds{"none"};
  for (const plan::Step& step : plan::test::every_action().steps)
    kinds.emplace(plan::entry(step.action).kind);
  for (const Row& row : rows()) EXPECT_TRUE(kinds.contains(row.step)) << row.field << ": " << row.step;
}

TEST(SpecCoverage, EveryTestIsThereAndNamesTheField) {
  const auto all = tests();
  for (const Row& row : rows()) {
    if (row.test == "none") continue;
    const auto found = all.find(row.test);
    if (found == all.end())
      ADD_FAILURE() << row.field << ": there is no test " << row.test;
    else
      EXPECT_NE(found->second.find(key_of(row.field)), std::string::npos)
          << row.field << ": " << row.test << " does not name it";
  }
}

}  // namespace
}  // namespace cloche
