// Intel RDT by its plan, on a directory that looks like a resctrl file system: no machine of ours has one.
#include <fmt/format.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "plan/undo.h"
#include "plan_requests.h"
#include "runtime/host_side.h"
#include "runtime/undo.h"

namespace cloche {
namespace {

namespace fs = std::filesystem;
using plan::test::basic;
using plan::test::os;
using plan::test::says;

constexpr pid_t kProcess = 4242;

// Does what the kernel would: a group that is made has files at once, and goes with them.
class Resctrl : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/resctrl-XXXXXX";
    top_ = ::mkdtemp(name);
    furnish(top_);
    fs::create_directory(top_ + "/info");
    write("info/last_cmd_status", "ok\n");
    host_ = plan::test::root_host();
    host_.resctrl = top_;
  }
  void TearDown() override { fs::remove_all(top_); }
  static void furnish(const std::string& group) {
    std::ofstream(group + "/schemata") << "    MB:0=100;1=100\n    L3:0=7ff;1=7ff\n";
    std::ofstream(group + "/tasks") << "";
    if (fs::path(group).parent_path().filename() != "mon_groups") fs::create_directory(group + "/mon_groups");
  }
  void write(const std::string& file, const std::string& text) const {
    std::ofstream(top_ + "/" + file) << text;
  }
  [[nodiscard]] std::string read(const std::string& file) const {
    std::ifstream stream(top_ + "/" + file);
    return {std::istreambuf_iterator<char>(stream), {}};
  }

  // Plans a container with this, and does the steps that are about it. "" or what the first failure says.
  std::string perform(const spec::IntelRdt& rdt) {
    auto request = basic();
    request.id = "box";
    os(request).intelRdt = rdt;
    auto planned = plan::make_plan(request, host_);
    if (!planned) return planned.error().field + ": " + planned.error().sentence;
    plan_ = *std::move(planned);
    runtime::Prepared prepared;
    auto memory = runtime::RecordMemory::map();
    runtime::HostSide side(plan_, prepared, memory->get());
    side.set_container(kProcess);
    for (size_t i = 0; i < plan_.steps.size(); ++i) {
      if (!plan_.steps[i].id.starts_with("resctrl")) continue;
      if (const auto done = side.perform(i); !done) return plan_.steps[i].id + ": " + done.error().message();
      if (const auto* made = std::get_if<plan::MakeResctrlGroup>(&plan_.steps[i].action))
        if (!fs::exists(made->path + "/schemata")) furnish(made->path);
    }
    return "";
  }
  void undo() {
    for (const auto& action : plan::undo_of(plan_)) {
      if (action.kind != plan::UndoAction::Kind::remove_resctrl) continue;
      for (const auto& file : fs::directory_iterator(action.path)) fs::remove_all(file);
      EXPECT_TRUE(runtime::undo(std::vector{action})) << action.text;
    }
  }

  std::string top_;
  plan::HostFacts host_;
  plan::Plan plan_;
};

TEST_F(Resctrl, WithoutANameTheGroupIsTheContainersAndGoesWithIt) {
  EXPECT_EQ(perform({.l3CacheSchema = "L3:0=f;1=f"}), "");
  EXPECT_TRUE(read("box/schemata").starts_with("L3:0=f;1=f\n"));
  EXPECT_EQ(read("box/tasks"), "4242\n");
  undo();
  EXPECT_FALSE(fs::exists(top_ + "/box"));
  EXPECT_EQ(read("tasks"), "");
}

TEST_F(Resctrl, LinesAreWrittenInTheOrderOfTheSpecification) {
  EXPECT_EQ(perform({.schemata = {"L2:0=f", "MB:0=20"}, .l3CacheSchema = "L3:0=f", .memBwSchema = "MB:0=10"}),
            "");
  const auto* step = plan::test::find<plan::WriteSchemata>(plan_, "resctrl-schemata");
  EXPECT_EQ(step->lines, (plan::Strings{"L3:0=f", "MB:0=10", "L2:0=f", "MB:0=20"}));
}

TEST_F(Resctrl, ANamedGroupStays) {
  EXPECT_EQ(perform({.closID = "gold", .memBwSchema = "MB:0=20;1=70"}), "");
  EXPECT_EQ(read("gold/tasks"), "4242\n");
  undo();
  EXPECT_TRUE(fs::exists(top_ + "/gold"));
}

TEST_F(Resctrl, ANamedGroupThatIsThereMustShareAsAskedFor) {
  fs::create_directory(top_ + "/gold");
  furnish(top_ + "/gold");
  const std::string before = read("gold/schemata");
  EXPECT_EQ(perform({.closID = "gold", .schemata = {"L3:0=7FF;1=07ff"}, .memBwSchema = "MB:1=100"}), "");
  EXPECT_EQ(read("gold/schemata"), before) << "nothing is written";
  EXPECT_EQ(read("gold/tasks"), "4242\n");
  EXPECT_TRUE(says(perform({.closID = "gold", .schemata = {"L3:0=7ff;1=3"}}),
                   {"resctrl-schemata", "/gold", "L3:1=7ff", "where 3 is asked for"}));
  EXPECT_TRUE(says(perform({.closID = "gold", .schemata = {"L2:0=1"}}), {"L2:0=nothing"}));
}

TEST_F(Resctrl, ANamedGroupWithoutAShareMustBeThere) {
  EXPECT_TRUE(says(perform({.closID = "silver"}), {"resctrl: ", "silver", "ENOENT"}));
  fs::create_directory(top_ + "/silver");
  furnish(top_ + "/silver");
  EXPECT_EQ(perform({.closID = "silver"}), "");
  EXPECT_EQ(read("silver/tasks"), "4242\n");
}

TEST_F(Resctrl, ASlashIsTheDefaultGroup) {
  EXPECT_EQ(perform({.closID = "/"}), "");
  EXPECT_EQ(read("tasks"), "4242\n");
}

TEST_F(Resctrl, MonitoringIsAGroupInTheGroup) {
  EXPECT_EQ(perform({.closID = "/", .enableMonitoring = true}), "");
  EXPECT_EQ(read("mon_groups/box/tasks"), "4242\n");
  EXPECT_LT(plan_.find("resctrl-join"), plan_.find("resctrl-monitor-join"));
  undo();
  EXPECT_FALSE(fs::exists(top_ + "/mon_groups/box"));
  EXPECT_TRUE(fs::exists(top_ + "/tasks"));
}

TEST_F(Resctrl, TheOlderWordsForMonitoringMeanTheSame) {
  EXPECT_EQ(perform({.closID = "/", .enableCMT = true}), "");
  EXPECT_EQ(read("mon_groups/box/tasks"), "4242\n");
  undo();
  EXPECT_EQ(perform({.closID = "/", .enableMBM = true}), "");
  EXPECT_EQ(read("mon_groups/box/tasks"), "4242\n");
  undo();
}

TEST_F(Resctrl, AnotherOnesGroupIsNotTaken) {
  EXPECT_EQ(perform({}), "");
  EXPECT_TRUE(says(perform({}), {"resctrl: ", "/box is there already"}));
}

TEST_F(Resctrl, AnErrorCarriesTheKernelsWords) {
  write("info/last_cmd_status", "Mask out of range\n");
  fs::create_directory(top_ + "/gold");
  fs::create_directory(top_ + "/gold/tasks");  // EISDIR
  EXPECT_TRUE(says(perform({.closID = "gold"}), {"resctrl-join", "the kernel says: Mask out of range"}));
}

TEST_F(Resctrl, WithoutTheFileSystemOrRootIsRefused) {
  host_.resctrl.clear();
  EXPECT_TRUE(says(perform({}), {"linux.intelRdt", "no resctrl file system", "mount -t resctrl"}));
  host_ = plan::test::engine_namespace_host();
  host_.resctrl = top_;
  EXPECT_TRUE(says(perform({}), {"linux.intelRdt", "root on the host"}) ||
              says(perform({}), {"user namespace"}));
}

TEST_F(Resctrl, AnExecJoinsTheGroups) {
  plan::ExecRequest request{.id = "box", .process = *basic().spec.process};
  request.intel_rdt = spec::IntelRdt{.closID = "gold", .enableMonitoring = true};
  const auto planned = plan::make_exec_plan(request, host_);
  ASSERT_TRUE(planned) << planned.error().sentence;
  EXPECT_EQ(plan::test::find<plan::JoinResctrlGroup>(*planned, "resctrl-join")->group, top_ + "/gold");
  EXPECT_EQ(plan::test::find<plan::JoinResctrlGroup>(*planned, "resctrl-monitor-join")->group,
            top_ + "/gold/mon_groups/box");
}

}  // namespace
}  // namespace cloche
