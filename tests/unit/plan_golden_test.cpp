// Whole plans of whole configs, in the shapes that real callers write, held against tests/unit/golden/NAME/plan.json.
// A change on purpose: run with CLOCHE_UPDATE_GOLDEN=1 and read the diff.
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "plan/plan_json.h"
#include "plan/planner.h"
#include "plan_hosts.h"
#include "spec/read.h"
#include "support/place.h"

namespace cloche::plan {
namespace {

namespace fs = std::filesystem;

struct Golden {
  const char* name;
  HostFacts (*host)();
  void (*adapt)(Request& request) = +[](Request& request) { (void)request; };
};
void PrintTo(const Golden& golden, std::ostream* out) { *out << golden.name; }

void host_image(Request& request) {
  request.root = HostRoot{.scratch = "/run/cloche/scratch", .shown = {}, .size = "512m"};
  request.default_seccomp = true;
  request.init = true;
  request.provenance["linux.resources.pids"] = {Why::Kind::flag, "--pids-limit 512"};
  request.provenance["mounts[7]"] = {Why::Kind::flag, "-v /srv/data:/data:rro"};
  request.provenance["linux.maskedPaths"] = {Why::Kind::standard, "the kernel's own secrets and controls"};
}

HostFacts selinux_host() {
  HostFacts host = test::root_host();
  host.apparmor = false;
  host.selinux = true;
  return host;
}

void create(Request& request) { request.await_start = true; }

const Golden kGolden[] = {
    {"runc-spec", test::root_host},
    {"crun-spec", test::hybrid_host},
    {"runc-rootless", test::user_host},
    {"docker-run", test::root_host, create},
    {"docker-userns-terminal", test::root_host, create},
    {"podman-root", test::root_host, create},
    {"podman-read-only-selinux", selinux_host, create},
    {"podman-rootless", test::engine_namespace_host, create},
    {"containerd-ctr", test::hybrid_host, create},
    {"containerd-cri-sandbox", test::root_host, create},
    {"crio-pod-container", test::root_host, create},
    {"buildah-run-chrootless", test::engine_namespace_host, create},
    {"idmapped-mounts", test::root_host},
    {"unified-time-scheduler", test::root_host},
    {"cloche-host-root", test::root_host, host_image},
    {"cloche-host-rootless", test::user_host, host_image},
};

fs::path golden_directory() { return cloche::test::source_directory() / "tests/unit/golden"; }

std::string read_text(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::expected<Plan, Refusal> plan_of(const Golden& golden) {
  auto spec = spec::read_spec_file((golden_directory() / golden.name / "config.json").string());
  if (!spec) return std::unexpected(Refusal{"config.json", spec.error().message()});
  Request request;
  request.id = "golden";
  request.bundle = "/bundle";
  const std::string root = spec->value.root ? spec->value.root->path : "";
  request.root = BundleRoot{root.starts_with('/') ? root : request.bundle + "/" + root};
  request.spec = std::move(spec->value);
  golden.adapt(request);
  HostFacts host = golden.host();
  host.sealed_program = needs_sealed_program(request.spec);  // then the runtime starts itself again
  return make_plan(request, host);
}

class GoldenPlan : public testing::TestWithParam<Golden> {};

TEST_P(GoldenPlan, IsTheOneInTheFile) {
  const auto plan = plan_of(GetParam());
  ASSERT_TRUE(plan) << plan.error().field << ": " << plan.error().sentence;
  // describe() has tests of its own; the golden files hold what is done, not how it is said.
  auto json = to_json(*plan);
  for (auto& step : json["steps"].as_array())
    for (const char* key : {"text", "call", "manual", "primitive", "since", "privilege"})
      step.as_object().erase(key);
  const std::string text = pretty(json);
  const auto path = golden_directory() / GetParam().name / "plan.json";
  if (std::getenv("CLOCHE_UPDATE_GOLDEN") != nullptr) std::ofstream(path, std::ios::binary) << text;
  EXPECT_EQ(read_text(path), text) << "the plan changed; if on purpose, run with CLOCHE_UPDATE_GOLDEN=1";
}

TEST_P(GoldenPlan, HasUniqueIdsAndOneExecAtTheEnd) {
  const auto plan = plan_of(GetParam());
  ASSERT_TRUE(plan) << plan.error().field << ": " << plan.error().sentence;
  std::set<std::string> ids;
  for (const auto& step : plan->steps) EXPECT_TRUE(ids.insert(step.id).second) << step.id;
  for (const char* id :
       {"clone", "rootfs", "pivot-root", "command", "bounding-set", "user", "capabilities", "exec"})
    EXPECT_EQ(ids.count(id), 1U) << id;
  for (size_t i = plan->find("exec") + 1; i < plan->steps.size(); ++i)
    EXPECT_EQ(plan->steps[i].side, Side::host) << plan->steps[i].id;
  for (size_t i = 0; i < plan->find("clone"); ++i)
    EXPECT_EQ(plan->steps[i].side, Side::host) << plan->steps[i].id;
}

// Each change of side is a wait of one process for the other.
TEST_P(GoldenPlan, ChangesSidesRarely) {
  const auto plan = plan_of(GetParam());
  ASSERT_TRUE(plan) << plan.error().field << ": " << plan.error().sentence;
  int changes = 0, hooks = 0;
  for (size_t i = 0; i < plan->steps.size(); ++i) {
    changes += i != 0 && plan->steps[i].side != plan->steps[i - 1].side;
    hooks += std::holds_alternative<RunHooks>(plan->steps[i].action) && plan->steps[i].side == Side::host;
  }
  EXPECT_LE(changes, 1 + 2 * hooks);
}

// Every slot that is attached was opened before, on the host side.
TEST_P(GoldenPlan, OpensEverySlotItAttaches) {
  const auto plan = plan_of(GetParam());
  ASSERT_TRUE(plan) << plan.error().field << ": " << plan.error().sentence;
  std::set<std::string> open;
  for (const auto& step : plan->steps) {
    if (const auto* tree = std::get_if<OpenTree>(&step.action)) {
      EXPECT_TRUE(open.insert(tree->slot).second) << step.id;
    }
    std::string used;
    if (const auto* bind = std::get_if<BindMount>(&step.action)) used = bind->slot;
    if (const auto* root = std::get_if<BindRoot>(&step.action)) used = root->slot;
    if (const auto* overlay = std::get_if<MountOverlay>(&step.action)) used = overlay->lower_slot;
    if (const auto* idmap = std::get_if<IdmapTree>(&step.action)) used = idmap->slot;
    EXPECT_TRUE(used.empty() || open.contains(used)) << step.id << " uses " << used;
  }
}

INSTANTIATE_TEST_SUITE_P(Configs, GoldenPlan, testing::ValuesIn(kGolden), [](const auto& golden) {
  std::string name = golden.param.name;
  std::erase(name, '-');
  return name;
});

}  // namespace
}  // namespace cloche::plan
