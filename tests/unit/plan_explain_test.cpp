#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <set>

#include "plan/catalog.h"
#include "plan/explain.h"
#include "plan/plan_json.h"
#include "plan/undo.h"
#include "plan/words.h"
#include "sample_plans.h"

namespace cloche::plan {
namespace {

using test::every_action;
using test::small_plan;
using test::step;
using ::testing::HasSubstr;
using ::testing::Not;

std::string said(Action action) { return describe(step("x", std::move(action))); }

Strings lines_of(std::string_view text) {
  Strings lines;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size() - 1);
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(end + 1);
  }
  return lines;
}

TEST(Catalog, EveryActionHasARowAndWords) {
  std::set<std::string_view> kinds;
  for (const Step& each : every_action().steps) {
    const Entry& row = entry(each.action);
    EXPECT_TRUE(kinds.insert(row.kind).second) << row.kind;
    EXPECT_THAT(row.manual, testing::ContainsRegex("^[a-z0-9._-]+\\([1-8]\\)$"));
    EXPECT_FALSE(row.call.empty()) << row.kind;
    EXPECT_FALSE(describe(each).empty()) << row.kind;
    EXPECT_EQ(describe(each), printable(describe(each))) << row.kind;
  }
  EXPECT_EQ(entry(PivotRoot{}).kind, "pivot-root");
  EXPECT_EQ(entry(Execute{}).kind, "execute");
}

TEST(Catalog, SaysCgroupValuesInWords) {
  EXPECT_EQ(said(WriteCgroup{"/c", "memory.max", "536870912"}), "limit memory to 512 MiB (memory.max)");
  EXPECT_EQ(said(WriteCgroup{"/c", "memory.max", "1000000"}), "limit memory to 1000000 bytes (memory.max)");
  EXPECT_EQ(said(WriteCgroup{"/c", "memory.max", "max"}), "do not limit memory (memory.max)");
  EXPECT_EQ(said(WriteCgroup{"/c", "memory.swap.max", "0"}), "allow no swap (memory.swap.max)");
  EXPECT_EQ(said(WriteCgroup{"/c", "cpu.max", "150000 100000"}),
            "limit CPU time to 1.5 CPUs: 150000 of every 100000 us (cpu.max)");
  EXPECT_EQ(said(WriteCgroup{"/c", "pids.max", "64"}), "allow at most 64 processes and threads (pids.max)");
  EXPECT_EQ(said(WriteCgroup{"/c", "hugetlb.2MB.max", "4194304"}),
            "limit 2MB huge pages to 4 MiB (hugetlb.2MB.max)");
  EXPECT_EQ(said(WriteCgroup{"/c", "io.weight", "default 4950", "default 500"}),
            "give a share of weight 4950 (100 is usual) of each disk (io.weight, and \"default 500\" to "
            "io.bfq.weight)");
  EXPECT_EQ(said(WriteCgroup{"/c", "io.bfq.weight", "8:0 500"}),
            "give a share of weight 500 (100 is usual) of disk 8:0 (io.bfq.weight)");
  EXPECT_EQ(said(WriteCgroup{"/c", "io.strange", "8:0 x"}), "write \"8:0 x\" to io.strange");
  EXPECT_EQ(said(WriteCgroup{"/c", "cpu.max", "nonsense"}), "write nonsense to cpu.max");
  EXPECT_EQ(said(WriteCgroup{"/c", "cpu.max", "5 0"}), "write \"5 0\" to cpu.max");
}

TEST(Catalog, SaysMountsWithTheirOptions) {
  EXPECT_EQ(
      said(MountFs{.type = "proc", .source = "proc", .target = "/proc", .attributes = {"nosuid", "noexec"}}),
      "mount a new proc on /proc (nosuid, noexec)");
  EXPECT_EQ(said(BindMount{.source = "/a b", .target = "/x", .attributes = {"ro"}}),
            "show the host's \"/a b\" and all mounted below it on /x (ro)");
  EXPECT_EQ(said(MakeDevice{.path = "/dev/null", .type = "c", .major = 1, .minor = 3, .mode = 0666}),
            "make the device /dev/null (c 1:3, mode 0666, 0:0)");
}

TEST(Catalog, SaysIdsClocksAndCapabilities) {
  EXPECT_EQ(said(WriteIdMap{"uid", "newuidmap", {{0, 1000, 1}, {1, 100000, 65536}}}),
            "map uids: 0 inside is 1000 outside, 1-65536 inside is 100000-165535 outside, by newuidmap");
  EXPECT_EQ(said(WriteIdMap{"gid", "direct", {{0, 0, 4294967295}}}),
            "map gids: 0-4294967294 inside is 0-4294967294 outside");
  EXPECT_EQ(
      said(EnterTimeNamespace{{86400, 0}, {-5, 250000000}}),
      "enter a new time namespace with the monotonic clock at +86400 s and the boot clock at -4.750000000 s");
  EXPECT_EQ(said(LimitBoundingSet{{"CAP_CHOWN", "CAP_KILL"}}),
            "drop 39 of 41 capabilities from the bounding set, keep chown and kill");
  EXPECT_EQ(said(LimitBoundingSet{}), "drop all 41 capabilities from the bounding set");
  EXPECT_EQ(said(SetRlimit{"RLIMIT_NOFILE", 1024, 4096}),
            "limit open files to 1024, at most 4096 (RLIMIT_NOFILE)");
  EXPECT_EQ(said(SetRlimit{"RLIMIT_CORE", ~0ULL, ~0ULL}), "limit core files to unlimited (RLIMIT_CORE)");
}

TEST(Catalog, SaysTheDevicePolicyWithKnownNames) {
  const LimitDevices policy{"/c",
                            {{.allow = false, .access = "rwm"},
                             {.allow = true, .type = "c", .major = 1, .minor = 3, .access = "rwm"},
                             {.allow = true, .type = "b", .major = 8, .access = "r"}}};
  EXPECT_EQ(said(policy),
            "decide the use of devices by a BPF program on the cgroup: deny every device rwm; allow null "
            "rwm, b 8:* r");
}

TEST(Catalog, WhySaysItsSource) {
  EXPECT_EQ(describe(Why{Why::Kind::config, "linux.resources.memory.limit"}),
            "config.json: linux.resources.memory.limit");
  EXPECT_EQ(describe(Why{Why::Kind::flag, "--memory 512M"}), "--memory 512M");
  EXPECT_EQ(describe(Why{Why::Kind::standard, ""}), "default");
}

TEST(Words, NothingReachesTheTerminalButText) {
  EXPECT_EQ(printable("a\nb\tc\x1b[31m"), "a\\nb\\tc\\x1b[31m");
  EXPECT_EQ(printable("\xff\xc3\xa9\xc0\xaf"), "\\xff\xc3\xa9\\xc0\\xaf");
  // NOLINTNEXTLINE(misc-misleading-bidirectional): what it is about
  EXPECT_EQ(printable("a\xe2\x80\xae"
                      "b"),
            "a\\u202eb");
  EXPECT_EQ(printable("\xc2\x9b"), "\\u009b");
  EXPECT_EQ(printable("cut \xe2\x82"), "cut \\xe2\\x82");
  EXPECT_EQ(shown(""), "\"\"");
  EXPECT_EQ(bytes_in_words(0), "0 bytes");
  EXPECT_EQ(bytes_in_words(1536), "1536 bytes");
  EXPECT_EQ(bytes_in_words(1ULL << 40), "1 TiB");
}

TEST(Explain, NamesEveryStepOnceAndInOrder) {
  const Plan plan = small_plan();
  const std::string text = explain_text(plan, {.colour = false, .width = 110});
  size_t at = 0;
  for (const char* words :
       {"container web, 31 steps", "on the host: limits", " 1  cgroup ", "512 MiB", "--memory 512M",
        "in the container: files", "mount a new proc", "pivot-root", "execute", "\nnotes\n", "\nafterwards\n",
        "end every process", "remove the cgroup /sys/fs/cgroup/cloche/web\n"}) {
    const size_t found = text.find(words, at);
    ASSERT_NE(found, std::string::npos) << words << "\n" << text;
    at = found;
  }
}

TEST(Explain, KeepsToItsWidthWithoutColours) {
  for (const uint32_t width : {60U, 72U, 100U, 160U}) {
    const std::string text = explain_text(small_plan(), {.colour = false, .width = width});
    for (const std::string& line : lines_of(text)) {
      EXPECT_LE(columns(line), std::max(width, 72U)) << line;
      EXPECT_FALSE(line.ends_with(' ')) << line;
      EXPECT_THAT(line, Not(HasSubstr("\x1b")));
    }
  }
}

TEST(Explain, ColoursAreOnlyEscapesAroundTheSameText) {
  std::string coloured = explain_text(small_plan(), {.colour = true});
  ASSERT_THAT(coloured, HasSubstr("\x1b[1m"));
  for (size_t at; (at = coloured.find('\x1b')) != std::string::npos;)
    coloured.erase(at, coloured.find('m', at) - at + 1);
  EXPECT_EQ(coloured, explain_text(small_plan(), {.colour = false}));
}

TEST(Explain, AHostilePlanCannotDrawOnTheTerminal) {
  Plan plan = small_plan();
  plan.container = "x\x1b]0;title\x07";
  plan.steps.push_back(step("mount:/\n\x1b[2J", BindMount{.source = "/a\n", .target = "/\x1b[2J"},
                            Side::container, {Why::Kind::config, "mounts[\x1b]"}));
  plan.notes.push_back({"\x1b", "\r"});
  for (const std::string& text : {explain_text(plan, {}), record_text(plan, {}, {})}) {
    EXPECT_EQ(text.find_first_of("\x1b\x07\r"), std::string::npos);
  }
}

TEST(Explain, LongWordsAreCutAtTheirSeparators) {
  Plan plan{.container = "c"};
  plan.steps.push_back(step("mask", MaskPath{"/" + std::string(400, 'x')}));
  for (const std::string& line : lines_of(explain_text(plan, {.width = 80}))) EXPECT_LE(columns(line), 80U);
}

TEST(Record, ShowsResultsFallbacksAndWhatWasNotRun) {
  const Plan plan = small_plan();
  RunRecord record{.steps = {{.index = 0, .state = StepRecord::State::ok, .microseconds = 41},
                             {.index = 16,
                              .state = StepRecord::State::ok,
                              .microseconds = 7,
                              .fallback = "the host's proc, bound"},
                             {.index = 17,
                              .state = StepRecord::State::failed,
                              .error = ENOSPC,
                              .microseconds = 3,
                              .detail = "fsmount(5, 0, 0)"},
                             {.index = 19, .state = StepRecord::State::skipped, .detail = "not there"}},
                   .pid = 4711,
                   .microseconds = 900};
  const std::string text = record_text(plan, record, {});
  for (const char* words : {"41 us", "[fallback: the host's proc,", "ENOSPC", "[fsmount(5, 0, 0)]", "skipped",
                            "2 of 31 steps done, 1 skipped, 1 failed, 27 not run, 1 by a fallback; 900 us in "
                            "all; process 4711"}) {
    EXPECT_THAT(text, HasSubstr(words));
  }
}

TEST(Record, AsJsonAddsAResultToEachStep) {
  const RunRecord record{
      .steps = {{.index = 1, .state = StepRecord::State::ok, .microseconds = 7, .fallback = "another way"},
                {.index = 2, .state = StepRecord::State::failed, .error = EPERM, .detail = "write(5)"}},
      .pid = 4711,
      .microseconds = 900};
  const boost::json::object json = to_json(small_plan(), record);
  const auto result = [&](size_t i) { return serialize(json.at("steps").at(i).at("result")); };
  EXPECT_EQ(result(0), "{\"state\":\"not run\"}");
  EXPECT_EQ(result(1), "{\"state\":\"ok\",\"microseconds\":7,\"fallback\":\"another way\"}");
  EXPECT_EQ(result(2),
            "{\"state\":\"failed\",\"microseconds\":0,\"error\":\"EPERM\",\"detail\":\"write(5)\"}");
  EXPECT_EQ(json.at("pid"), 4711);
  EXPECT_EQ(json.at("microseconds"), 900);
  EXPECT_EQ(json.at("steps").at(2).at("since"), "4.5");
  EXPECT_EQ(json.at("steps").at(2).at("privilege"), "delegated-cgroup");
}

TEST(Failure, NamesStepCallErrnoCauseAndRemedy) {
  const Plan plan = small_plan();
  const StepRecord failed{.index = 16,
                          .state = StepRecord::State::failed,
                          .error = EPERM,
                          .detail = "fsconfig(5, FSCONFIG_CMD_CREATE)"};
  const Diagnosis diagnosis{"parts of /proc are covered by other mounts",
                            "start from a place where /proc is whole"};
  EXPECT_EQ(failure_text("cloche", plan, failed, diagnosis, {}),
            "cloche: parts of /proc are covered by other mounts\n"
            "  step    17 of 31, mount:/proc: mount a new proc on /proc (nosuid, nodev, noexec)\n"
            "  for     config.json: mounts[0]\n"
            "  call    fsconfig(5, FSCONFIG_CMD_CREATE) = -EPERM (Operation not permitted)\n"
            "  remedy  start from a place where /proc is whole\n");
  EXPECT_EQ(failure_line(plan, failed, diagnosis),
            "step 17 of 31, mount:/proc: mount a new proc on /proc (nosuid, nodev, noexec): fsconfig(5, "
            "FSCONFIG_CMD_CREATE) = "
            "-EPERM (Operation not permitted): parts of /proc are covered by other mounts: start from a "
            "place where /proc is whole");
}

TEST(Failure, AnIndexBeyondThePlanIsStillSaid) {
  EXPECT_THAT(failure_line(Plan{}, {.index = 3, .error = EIO}, {}), HasSubstr("step 4 of 0, unknown: EIO"));
}

TEST(Undo, RemovesCgroupsInReverse) {
  Plan plan;
  plan.steps = {step("a", CreateCgroup{"/c/a"}, Side::host), step("b", CreateCgroup{"/c/a/b"}, Side::host),
                step("p", PivotRoot{})};
  const std::vector<UndoAction> actions = undo_of(plan);
  ASSERT_EQ(actions.size(), 4U);
  EXPECT_EQ(actions[0].path, "/c/a/b");
  EXPECT_EQ(actions[0].kind, UndoAction::Kind::kill_cgroup);
  EXPECT_EQ(actions[1].kind, UndoAction::Kind::remove_cgroup);
  EXPECT_EQ(actions[3].path, "/c/a");
  EXPECT_TRUE(undo_of(Plan{}).empty());
}

}  // namespace
}  // namespace cloche::plan
