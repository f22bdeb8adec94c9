// docs/spec-coverage.md is checked against the types, the catalogue of steps and the tests, so that it cannot drift.
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "plan/catalog.h"
#include "plan/planner.h"
#include "plan_requests.h"
#include "sample_plans.h"
#include "spec/read_described.h"
#include "support/place.h"

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
  std::string field, supported, step, test;
};

std::vector<Row> rows() {
  std::ifstream file(test::source_directory() / "docs/spec-coverage.md");
  std::vector<Row> all;
  const auto cell = [](const std::string& text) {
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
    if (cells.size() == 4) all.push_back({cells[0], cells[1], cells[2], cells[3]});
  }
  return all;
}

struct Test {
  std::string folder, source;
};

// By "Suite.Name".
std::map<std::string, Test> tests() {
  std::map<std::string, Test> all;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(test::source_directory() / "tests")) {
    if (entry.path().extension() != ".cpp") continue;
    const std::string text = slurp(entry.path());
    for (size_t at = text.find("\nTEST"); at != std::string::npos;) {
      const size_t next = text.find("\nTEST", at + 1);
      const size_t open = text.find('(', at), comma = text.find(", ", open), close = text.find(')', comma);
      if (close != std::string::npos)
        all[text.substr(open + 1, comma - open - 1) + "." + text.substr(comma + 2, close - comma - 2)] = {
            entry.path().parent_path().filename(), text.substr(at, next - at)};
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

// "linux.devices[3].path" is "linux.devices.path".
std::string without_indexes(std::string_view text) {
  std::string out;
  bool inside = false;
  for (const char c : text) {
    inside = inside || c == '[';
    if (!inside) out += c;
    inside = inside && c != ']';
  }
  return out;
}

// Whether one of the two is a part of the other: "linux.seccomp" and "linux.seccomp.flags". "*" is any name.
bool related(std::string_view field, std::string_view from) {
  while (!field.empty() && !from.empty()) {
    const std::string_view a = field.substr(0, field.find('.')), b = from.substr(0, from.find('.'));
    if (a != "*" && a != b) return false;
    field.remove_prefix(std::min(a.size() + 1, field.size()));
    from.remove_prefix(std::min(b.size() + 1, from.size()));
  }
  return true;
}

using Becomes =
    std::set<std::pair<std::string, std::string>>;  // kind of step, the field that it is there for

void add_steps(const plan::Plan& plan, Becomes& becomes) {
  for (const plan::Step& step : plan.steps)
    becomes.emplace(plan::entry(step.action).kind, without_indexes(step.why.from));
}

void add_plan(plan::Request request, Becomes& becomes) {
  plan::HostFacts host = plan::test::root_host();
  host.selinux = !request.spec.linux_->mountLabel.empty();
  host.resctrl = "/sys/fs/resctrl";
  host.cgroup.controllers.insert(host.cgroup.controllers.end(), {"rdma", "hugetlb"});
  const auto plan = make_plan(request, host);
  ASSERT_TRUE(plan) << plan.error().field << ": " << plan.error().sentence;
  add_steps(*plan, becomes);
}

// The plans of the golden configs, and of one with what they leave out.
Becomes becomes() {
  Becomes all;
  for (const auto& entry :
       std::filesystem::directory_iterator(test::source_directory() / "tests/unit/golden")) {
    const auto plan = boost::json::parse(slurp(entry.path() / "plan.json"));
    for (const auto& step : plan.at("steps").as_array())
      all.emplace(step.at("kind").as_string(), without_indexes(step.at("why").at("from").as_string()));
  }
  plan::Request request = plan::test::basic();
  auto& os = *request.spec.linux_;
  auto& resources = os.resources.emplace();
  resources.rdma["mlx5_0"].hcaHandles = 1;
  auto& io = resources.blockIO.emplace();
  io.throttleReadIOPSDevice = io.throttleWriteBpsDevice = {{.major = 8, .minor = 0, .rate = 1}};
  os.mountLabel = "system_u:object_r:container_file_t:s0";
  request.spec.mounts = {{.destination = "/tmp",
                          .type = "tmpfs",
                          .source = "tmpfs",
                          .options = {},
                          .uidMappings = {},
                          .gidMappings = {}}};
  os.memoryPolicy = {.mode = "MPOL_LOCAL", .nodes = "", .flags = {}};
  os.intelRdt = {.closID = "guests", .schemata = {"L3:0=f"}, .enableMonitoring = true};
  os.netDevices["eth1"].name = "eth0";
  auto& seccomp = os.seccomp.emplace();
  seccomp.defaultAction = "SCMP_ACT_ALLOW";
  seccomp.listenerPath = "/run/agent";
  seccomp.syscalls = {{.names = {"mkdir"}, .action = "SCMP_ACT_NOTIFY"}};
  add_plan(request, all);
  plan::ExecRequest exec{.id = "t", .process = *plan::test::basic().spec.process};
  exec.process.execCPUAffinity = {.initial = "0", .final_ = "1"};
  if (const auto plan = make_exec_plan(exec, plan::test::root_host())) add_steps(*plan, all);
  return all;
}

// Fields without a step of their own, in that of another one.
const std::map<std::string, std::string> kPartOf{
    {"process.consoleSize.height", "process.terminal"},
    {"process.consoleSize.width", "process.terminal"},
    {"process.env", "process.args"},
    {"linux.resources.cpu.period", "linux.resources.cpu.quota"},
    {"linux.resources.memory.checkBeforeUpdate", "linux.resources.memory.limit"},
    {"linux.mountLabel", "mounts"},
    {"linux.intelRdt.enableCMT", "linux.intelRdt.enableMonitoring"},
    {"linux.intelRdt.enableMBM", "linux.intelRdt.enableMonitoring"},
    {"linux.intelRdt.l3CacheSchema", "linux.intelRdt.schemata"},
    {"linux.intelRdt.memBwSchema", "linux.intelRdt.schemata"},
};

TEST(SpecCoverage, EveryStepIsTakenForItsField) {
  const Becomes all = becomes();
  for (const Row& row : rows()) {
    EXPECT_TRUE(row.supported == "yes" || row.supported == "noted" || row.supported == "refused" ||
                row.supported == "ignored")
        << row.field << ": " << row.supported;
    if (row.step == "none") continue;
    EXPECT_EQ(row.supported, "yes") << row.field;
    const auto part = kPartOf.find(row.field);
    const std::string field = without_indexes(part == kPartOf.end() ? row.field : part->second);
    const bool taken = std::ranges::any_of(all, [&](const auto& step) {
      const auto& [kind, from] = step;
      return kind == row.step && !from.empty() && related(field, from);
    });
    EXPECT_TRUE(taken) << row.field << ": no plan has the step " << row.step << " for it";
  }
}

TEST(SpecCoverage, EveryTestIsThereAndNamesTheField) {
  const auto all = tests();
  for (const Row& row : rows()) {
    const auto found = all.find(row.test);
    if (found == all.end())
      ADD_FAILURE() << row.field << ": there is no test " << row.test;
    else
      EXPECT_NE(found->second.source.find(key_of(row.field)), std::string::npos)
          << row.field << ": " << row.test << " does not name it";
  }
}

// Fields whose effect no machine of the tests can show, and why.
const std::map<std::string, std::string> kNotHere{
    {"process.apparmorProfile", "no kernel with AppArmor"},
    {"process.selinuxLabel", "no kernel with SELinux"},
    {"linux.mountLabel", "no kernel with SELinux"},
    {"linux.intelRdt", "no processor with Intel RDT"},
};

TEST(SpecCoverage, WhatIsSupportedIsSeenInAContainer) {
  const std::set<std::string> containers{"integration", "security", "vm", "callers"};
  const auto all = tests();
  for (const Row& row : rows()) {
    const auto found = all.find(row.test);
    if (row.supported != "yes" || found == all.end()) continue;
    const bool excused =
        std::ranges::any_of(kNotHere, [&](const auto& entry) { return row.field.starts_with(entry.first); });
    EXPECT_TRUE(excused || containers.contains(found->second.folder))
        << row.field << ": " << row.test << " is of " << found->second.folder << ", and runs no container";
  }
}

}  // namespace
}  // namespace cloche
