#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <regex>

#include "plan/catalog.h"
#include "plan/script.h"
#include "plan/shell.h"
#include "sample_plans.h"

namespace cloche::plan {
namespace {

using test::every_action;
using test::small_plan;
using test::step;
using ::testing::HasSubstr;
using ::testing::Not;

HostFacts root_facts() { return {.kernel = {6, 1}, .privileged = true}; }

struct Ran {
  int status = -1;
  std::string output;
};

// Runs the text in the system's sh; nothing in these texts needs a privilege.
Ran run_shell(const std::string& text, const char* options = "") {
  const std::string path = testing::TempDir() + "/plan_script_test." + std::to_string(getpid()) + ".sh";
  std::ofstream(path) << text;
  Ran ran;
  FILE* pipe = popen(("sh " + std::string(options) + " '" + path + "' 2>&1").c_str(), "re");
  char buffer[4096];
  for (size_t n; (n = fread(buffer, 1, sizeof buffer, pipe)) > 0;) ran.output.append(buffer, n);
  ran.status = pclose(pipe);
  std::remove(path.c_str());
  return ran;
}

const std::string kHostile[] = {"",
                                "plain",
                                "two words",
                                "'; echo pwned; '",
                                "$(echo pwned)",
                                "`id`",
                                "-rf",
                                "--",
                                "line\nbreak",
                                "END",
                                "\nEND\n",
                                "\n)\necho pwned",
                                "\"$HOME\"",
                                "\\",
                                "a'b\"c\\d",
                                "#no",
                                "~",
                                "* ? [a] {b,c}",
                                "a=b",
                                "\xff\xfe",
                                "!x",
                                "&& echo pwned",
                                "|",
                                "\t",
                                "\r"};

TEST(Shell, AWordIsItsValueWhateverItHolds) {
  for (const std::string& value : kHostile) {
    EXPECT_EQ(run_shell("printf '%s.' " + shell_word(value)).output, value + ".") << value;
  }
}

TEST(Shell, HarmlessWordsStayReadable) {
  EXPECT_EQ(shell_word("/sys/fs/cgroup/a-b_c.1:2,3+4%5@6=7"), "/sys/fs/cgroup/a-b_c.1:2,3+4%5@6=7");
  EXPECT_EQ(shell_word("a b"), "'a b'");
  EXPECT_EQ(below_root("/proc"), "\"$root\"/proc");
  EXPECT_EQ(below_root("/"), "\"$root\"");
  EXPECT_EQ(run_shell("root=/r\nprintf '%s' " + below_root("/$(id)/a b")).output, "/r/$(id)/a b");
}

TEST(Shell, AHereDocumentKeepsItsText) {
  for (const std::string& value : kHostile) {
    const std::string text = "x" + value + "\nEND\nEND_\n" + value + "x";
    EXPECT_EQ(run_shell(here_document("v", text) + "printf '%s' \"$v\"").output, text) << value;
  }
}

TEST(Script, EveryActionIsInTheScriptOrMarked) {
  const Plan plan = every_action();
  for (const bool privileged : {true, false}) {
    const std::string script = to_script(plan, {.privileged = privileged});
    for (size_t i = 0; i < plan.steps.size(); ++i) {
      const std::string head = "\n# " + std::to_string(i + 1) + ". " + plan.steps[i].id + ": ";
      const size_t at = script.find(head);
      ASSERT_NE(at, std::string::npos) << entry(plan.steps[i].action).kind;
      // What follows the two comment lines is a command or a mark.
      const size_t why = script.find('\n', at + 1);
      const size_t body = script.find('\n', why + 1) + 1;
      EXPECT_NE(script[body], '\n') << entry(plan.steps[i].action).kind;
    }
    EXPECT_EQ(run_shell(script, "-n").status, 0);
  }
}

TEST(Script, TheMarksAreListedAtTheTop) {
  const std::string script = to_script(small_plan(), root_facts());
  const std::string top = script.substr(0, script.find("\nset -eu"));
  for (const char* id : {"step 6, devices: ", "step 12, time-namespace: ", "step 29, seccomp: "}) {
    EXPECT_THAT(top, HasSubstr(id));
  }
  EXPECT_THAT(top, Not(HasSubstr("memory")));
  const std::regex mark("\n# NOT DONE HERE: ");
  const auto marks = std::distance(std::sregex_iterator(script.begin(), script.end(), mark), {});
  const std::regex listed("\n#   step [0-9]+, ");
  EXPECT_EQ(marks, std::distance(std::sregex_iterator(top.begin(), top.end(), listed), {}));
}

TEST(Script, KeepsTheOrderOfThePlan) {
  const std::string script = to_script(small_plan(), root_facts());
  size_t at = 0;
  for (const char* text : {"remove_cgroup /sys/fs/cgroup/cloche/web\n",
                           "\nmkdir -p -- /sys/fs/cgroup/cloche/web\n",
                           "\necho '+memory +cpu +pids' >/sys/fs/cgroup/cgroup.subtree_control\n",
                           "\necho '+memory +cpu +pids' >/sys/fs/cgroup/cloche/cgroup.subtree_control\n",
                           "printf '%s\\n' 536870912 >/sys/fs/cgroup/cloche/web/memory.max",
                           "\nexec setpriv --reuid=0 ",
                           "\nexec unshare --cgroup ",
                           "\nexec unshare --time --monotonic=86400 --boottime=-5 ",
                           "\nmount --make-rprivate /\n",
                           "\nmount --rbind -- /srv/web/rootfs \"$root\"\n",
                           "\nmount -t proc -o nosuid,nodev,noexec -- proc \"$root\"/proc\n",
                           "\nmount -t tmpfs -o nosuid,noexec,mode=755,size=64k -- tmpfs \"$root\"/dev\n",
                           "\ndevice /dev/null c 1 3\n",
                           "\nmask \"$root\"/proc/kcore\n",
                           "\nprlimit --pid $$ --nofile=1024:4096\n",
                           "\npivot_root ",
                           "--bounding-set=-all,+chown,+kill,+net_bind_service",
                           "--reuid=1000 --regid=1000",
                           "--groups=27,44",
                           "--inh-caps=-all",
                           "--ambient-caps=-all",
                           "--no-new-privs",
                           "sh -c 'echo hello'",
                           "exec unshare --fork --mount --propagation unchanged --pid --uts --ipc --net "
                           "--user --keep-caps sh -c",
                           "printf '%s %s %s\\n' 0 200000 65536 >\"/proc/$pid/uid_map\"",
                           "echo \"$pid\" >/sys/fs/cgroup/cloche/web/cgroup.procs"}) {
    const size_t found = script.find(text, at);
    // The host side's part beside the container comes after it in the text.
    ASSERT_NE(found, std::string::npos) << text << "\n" << script.substr(at);
    if (std::string_view(text).find("$pid") == std::string_view::npos) at = found;
  }
}

TEST(Script, ProcessSettingsAfterThePivotAreDoneBeforeIt) {
  Plan plan = small_plan();
  plan.steps.insert(plan.steps.begin() + static_cast<std::ptrdiff_t>(plan.find("pivot-root")) + 1,
                    step("late-hostname", SetHostname{"late"}));
  const std::string script = to_script(plan, root_facts());
  EXPECT_LT(script.find("\nhostname -- late\n"), script.find("\npivot_root "));
}

TEST(Script, RootOpensTreesAheadAndOthersUseThePath) {
  Plan plan = small_plan();
  plan.steps.insert(plan.steps.begin(), step("tree", OpenTree{"/secret", "slot", true}, Side::host));
  plan.steps.insert(plan.steps.begin() + static_cast<std::ptrdiff_t>(plan.find("pivot-root")),
                    step("bind", BindMount{.source = "/secret", .slot = "slot", .target = "/s"}));
  const std::string root = to_script(plan, root_facts());
  EXPECT_THAT(root, HasSubstr("mount --rbind -- /secret \"$work\"/trees/1\n"));
  EXPECT_THAT(root, HasSubstr("mount --rbind -- \"$work\"/trees/1 \"$root\"/s\n"));
  EXPECT_THAT(root, HasSubstr("\nunshare --mount --propagation slave sh -c \"$outer\"\n"));
  const std::string other = to_script(plan, {});
  EXPECT_THAT(other, HasSubstr("mount --rbind -- /secret \"$root\"/s\n"));
}

TEST(Script, AWeightOfDisksIsTakenByOneFileOrTheOther) {
  Plan plan{.container = "x"};
  plan.steps = {step("w", WriteCgroup{"/c", "io.weight", "8:0 1", "8:0 10"}, Side::host)};
  EXPECT_THAT(to_script(plan, root_facts()),
              HasSubstr("took=; printf '%s\\n' '8:0 1' >/c/io.weight && took=1; "
                        "printf '%s\\n' '8:0 10' >/c/io.bfq.weight && took=1; [ \"$took\" ]\n"));
}

// Runs one part of the script, of which nothing but the shell's own words can act: there is no program to be found
// and no directory to write to. What a value smuggled in would be seen on stdout.
std::string acted(const std::string& script, const std::string& part) {
  const std::string begin = "\n" + part + "=$(cat <<'";
  const size_t at = script.find(begin);
  if (at == std::string::npos) return "no such part";
  const size_t word = at + begin.size();
  const std::string end = "\n" + script.substr(word, script.find('\'', word) - word) + "\n)\n";
  const std::string assignment = script.substr(at, script.find(end, word) + end.size() - at);
  return run_shell(assignment +
                   "PATH=/nonexistent root=/nonexistent work=/nonexistent common=\n"
                   "exec 2>/dev/null 3>/dev/null 4<<GO\ngo\nGO\n"
                   "eval \"$" +
                   part + "\"\n")
      .output;
}

TEST(Script, NoValueBecomesACommand) {
  for (const std::string& value : kHostile) {
    Plan plan{.container = value};
    const auto add = [&](Action action, Side side = Side::container) {
      plan.steps.push_back(step(value, std::move(action), side, {Why::Kind::config, value}));
    };
    add(CreateCgroup{"/nowhere/" + value}, Side::host);
    add(EnableControllers{"/nowhere", "/nowhere/" + value + "/x", {value}}, Side::host);
    add(WriteCgroup{"/nowhere/" + value, value, value}, Side::host);
    add(MakeResctrlGroup{"/nowhere/" + value, "new"}, Side::host);
    add(WriteSchemata{"/nowhere/" + value, {value}}, Side::host);
    add(CloneProcess{{value, "mount"}, "/nowhere/" + value}, Side::host);
    add(JoinNamespace{"network", value});
    add(BindMount{
        .source = value, .target = value, .attributes = {value}, .cleared = {value}, .propagation = value});
    add(MountFs{.type = value, .source = value, .target = value, .attributes = {value}, .options = {value}});
    add(MountFs{
        .type = value, .target = value, .options = {"mode=" + value}, .contents = "copied", .label = value});
    add(MountOverlay{.target = value,
                     .lowers = {value},
                     .upper = value,
                     .work = value,
                     .skeleton = {value},
                     .options = {value}});
    add(MakeSymlink{value, value});
    add(MaskPath{value});
    add(SetHostname{value});
    add(WriteSysctl{value, value});
    add(SetRlimit{value, 1, 1});
    add(SetScheduler{{.policy = value, .flags = {value}}});
    add(SetExecLabel{"apparmor", value});
    add(SetAffinity{value});
    add(LimitBoundingSet{{value}});
    add(ChangeDirectory{value});
    add(FindCommand{value, value});
    add(Execute{{"sh", value}, {"V=" + value}});
    plan.notes.push_back({value, value});
    const std::string script = to_script(plan, root_facts());
    EXPECT_EQ(run_shell(script, "-n").status, 0) << value;
    EXPECT_THAT(acted(script, "shell1"), Not(HasSubstr("pwned"))) << value;
    EXPECT_THAT(acted(script, "outer"), Not(HasSubstr("pwned"))) << value;
    const size_t host = script.find("\n# 1. "), host_end = script.find("\n# ---- the container's");
    ASSERT_LT(host, host_end);
    const std::string body = "PATH=/nonexistent\nexec 2>/dev/null\n" + script.substr(host, host_end - host);
    EXPECT_THAT(run_shell(body).output, Not(HasSubstr("pwned"))) << value;
  }
}

TEST(Script, ThatTestWouldSeeACommand) {
  EXPECT_THAT(acted("\nouter=$(cat <<'END'\necho pwned\nEND\n)\n", "outer"), HasSubstr("pwned"));
}

TEST(Script, RefusesWhatEnvWouldMisread) {
  Plan plan = small_plan();
  plan.steps.back().action = Execute{{"a=b"}, {}};
  EXPECT_THAT(to_script(plan, root_facts()), HasSubstr("\nexit 125\n"));
}

}  // namespace
}  // namespace cloche::plan
