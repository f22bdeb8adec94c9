// Every system call that a plan's execution makes, failing with every error that it can fail with: the run ends with
// the right words and leaves nothing, or it goes on by a way that is written down here or in the plan's record.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <set>
#include <sstream>

#include "faults/errnos.h"
#include "faults/scenes.h"
#include "faults/tolerated.h"
#include "faults/tracer.h"
#include "support/needs.h"
#include "sys/error.h"

namespace cloche::faults {
namespace {

struct PlannedStep {
  std::string id, fallback;
  bool host = false;
};

// The lines of --debug: "step 3 of 58, clone, host: 696 us, FALLBACK".
std::vector<PlannedStep> steps_of(const std::string& err) {
  std::vector<PlannedStep> steps;
  std::istringstream lines(err);
  for (std::string line; std::getline(lines, line);) {
    const size_t begin = line.find("debug: step ");
    if (begin == std::string::npos) continue;
    const size_t id = line.find(", ", begin) + 2, time = line.rfind(": ", line.find(" us", id));
    const size_t side = line.rfind(", ", time);
    PlannedStep step{
        .id = line.substr(id, side - id), .fallback = {}, .host = line.compare(side, 6, ", host") == 0};
    if (const size_t more = line.find(" us, ", time); more != std::string::npos)
      step.fallback = line.substr(more + 5);
    steps.push_back(std::move(step));
  }
  return steps;
}

// The lines that do not hold `word`.
std::string without(const std::string& text, const std::string& word) {
  if (word.empty()) return text;
  std::string rest;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);)
    if (line.find(word) == std::string::npos) rest += line + "\n";
  return rest;
}

// What a foreground run does while the command writes depends on how fast it writes.
bool relays(const Call& call) {
  return call.point.number == SYS_read || call.point.number == SYS_write || call.point.number == SYS_poll;
}

// Zombies do not: they are the test's to collect, whose orphans they are.
bool runs(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  const std::string line(std::istreambuf_iterator<char>(file), {});
  const size_t name = line.rfind(')');
  return name != std::string::npos && line.size() > name + 2 && line[name + 2] != 'Z' &&
         line[name + 2] != 'X';
}

struct Counts {
  int points = 0, refused = 0, recovered = 0, tolerated = 0, deleted = 0;
};

class Faults : public test::RuntimeTest {
 protected:
  // Makes each call of `command` fail in turn. `usual` is how it ends without a fault, `failed` its status with one.
  void sweep(const test::Command& command, int failed = 1);

  const test::TestUser* user_ = nullptr;  // whose containers they are, if not root's

 private:
  [[nodiscard]] std::optional<size_t> step_of(const Call& call) const;
  [[nodiscard]] std::string_view id_of(std::optional<size_t> step) const {
    return step ? std::string_view(steps_[*step].id) : "-";
  }
  // Of every call of a step all errors, of its later ones of that kind, and of what is in no step, the first and the last.
  [[nodiscard]] std::vector<int> errors_for(const Call& call);
  void judge(const Call& call, int code, const Watched& watched);
  void judge_failure(const Call& call, int code, const Watched& watched, const std::string& at);
  void judge_success(const Call& call, int code, const Watched& watched, const std::string& at);
  void expect_nothing_left(const Watched& watched, bool may_need_delete, const std::string& at);
  void finding(const std::string& at, const std::string& what) {
    findings_.push_back(at + ": " + what);
    std::cout << findings_.back() << std::endl;
  }

  Watched usual_;
  std::vector<PlannedStep> steps_;
  int failed_ = 1;
  std::set<std::pair<size_t, long>> seen_;  // step and call
  Counts counts_;
  std::vector<std::string> findings_;
};

// A process has at most one step under way, of its own side. What the container's process does before its first step,
// and what both do between steps, belongs to none.
std::optional<size_t> Faults::step_of(const Call& call) const {
  for (const uint32_t step : call.started)
    if (step < steps_.size() && steps_[step].host != call.in_container) return step;
  return {};
}

void Faults::expect_nothing_left(const Watched& watched, bool may_need_delete, const std::string& at) {
  if (watched.timed_out) return finding(at, "the run hangs");
  const std::string state = state_root() + "/box";
  if (std::filesystem::exists(state)) {
    if (!may_need_delete) finding(at, "the state is left: " + watched.describe());
    const test::Command command{.argv = this->command({"delete", "--force", "box"})};
    const test::Outcome deleted = user_ != nullptr ? user_->run(command) : test::run(command);
    if (!deleted.ok()) finding(at, "delete --force: " + deleted.describe());
    ++counts_.deleted;
  }
  // One that is still ending (a hook that could not be waited for) is not left.
  for (const pid_t pid : watched.left) {
    for (int tries = 0; tries < 200 && runs(pid); ++tries) ::usleep(10'000);
    if (runs(pid)) finding(at, fmt::format("process {} is left running", pid));
  }
  for (const std::string& mount : test::mounts_below(scratch())) finding(at, "mount left behind: " + mount);
}

void Faults::judge_failure(const Call& call, int code, const Watched& watched, const std::string& at) {
  ++counts_.refused;
  const CallErrors& errors = *errors_of(call.point.number);
  const auto step = step_of(call);
  if (watched.exit_code != failed_)
    finding(at, "the status is not the one of a failure: " + watched.describe());
  const auto expect = [&](std::string_view text, std::string_view or_else = {}) {
    if (watched.err.find(text) == std::string::npos &&
        (or_else.empty() || watched.err.find(or_else) == std::string::npos))
      finding(at, fmt::format("no \"{}\" in: {}", text, watched.describe()));
  };
  if (step) expect(fmt::format("step {} of {}, {}:", *step + 1, steps_.size(), steps_[*step].id));
  const Exception* other = exception_for(errors.name, id_of(step), code, true);
  if (other != nullptr && watched.err.find(other->words) != std::string::npos) return;
  // What is refused before there is a plan is said in words.
  if (!step) return expect(sys::errno_name(code), sys::errno_text(code));
  expect(sys::errno_name(code));
  expect(fmt::format("{}(", errors.shown.empty() ? errors.name : errors.shown));
}

void Faults::judge_success(const Call& call, int code, const Watched& watched, const std::string& at) {
  const auto step = step_of(call);
  const Exception* allowed = exception_for(errors_of(call.point.number)->name, id_of(step), code, false);
  const std::vector<PlannedStep> steps = steps_of(watched.err);
  const bool recorded = step && *step < steps.size() && !steps[*step].fallback.empty() &&
                        steps[*step].fallback != steps_[*step].fallback;
  // A fallback may show in what its own step made, and nowhere else.
  const std::string own = recorded ? steps_[*step].id.substr(steps_[*step].id.find(':') + 1) : "";
  if (without(watched.out, own) != without(usual_.out, own) &&
      !(allowed != nullptr && allowed->kind == Exception::Kind::lies))
    return finding(at, "it is ignored, and the container is another one: " + watched.out);
  if (recorded)
    ++counts_.recovered;
  else if (step && allowed == nullptr)
    finding(at, "it is ignored without a word");
  else
    ++counts_.tolerated;
}

void Faults::judge(const Call& call, int code, const Watched& watched) {
  ++counts_.points;
  const auto step = step_of(call);
  const std::string at =
      fmt::format("{} {} of process {} ({}) = -{}", errors_of(call.point.number)->name, call.point.nth,
                  call.point.process, step ? "step " + steps_[*step].id : "no step", sys::errno_name(code));
  // The holder of an id map may be ended before it makes its one call.
  if (!watched.hit && exception_for(errors_of(call.point.number)->name, id_of(step), code, false) == nullptr)
    finding(at, "the call is not made this time");
  if (watched.exit_code == usual_.exit_code)
    judge_success(call, code, watched, at);
  else
    judge_failure(call, code, watched, at);
  expect_nothing_left(watched, !step, at);
}

std::vector<int> Faults::errors_for(const Call& call) {
  const CallErrors* errors = errors_of(call.point.number);
  if (errors == nullptr) return {};
  const auto step = step_of(call);
  if (step && seen_.emplace(*step, call.point.number).second)
    return {errors->errors.begin(), errors->errors.end()};
  std::vector<int> some{errors->errors.front()};
  if (errors->errors.size() > 1) some.push_back(errors->errors.back());
  return some;
}

void Faults::sweep(const test::Command& command, int failed) {
  failed_ = failed;
  (void)watch(command, scratch());  // makes what later runs find: the directory of all states
  usual_ = watch(command, scratch());
  ASSERT_EQ(usual_.exit_code, 0) << usual_.describe();
  std::cout << usual_.out << usual_.err << '\n';
  steps_ = steps_of(usual_.err);
  size_t steps_end = usual_.calls.size();
  while (steps_end > 0 && !step_of(usual_.calls[steps_end - 1])) --steps_end;
  for (size_t i = 0; i < usual_.calls.size(); ++i) {
    const Call& call = usual_.calls[i];
    if (i >= steps_end && relays(call)) continue;
    for (const int code : errors_for(call))
      judge(call, code, watch(command, scratch(), Fault{.at = call.point, .code = code}));
  }
  std::cout << fmt::format(
      "{} points of {} calls: {} refused, {} recovered by a recorded fallback, {} tolerated; {} needed "
      "delete --force\n",
      counts_.points, usual_.calls.size(), counts_.refused, counts_.recovered, counts_.tolerated,
      counts_.deleted);
  RecordProperty("points", counts_.points);
  for (const std::string& line : findings_) ADD_FAILURE() << line;
}

TEST_F(Faults, RichContainerOfRoot) {
  CLOCHE_NEEDS(test::needs::root());
  CLOCHE_NEEDS(test::needs::cgroup2());
  auto box = bundle({});
  make_rich(box, scratch());
  box.write();
  sweep({.argv = this->command({"--debug", "run", "--bundle", box.path(), "box"}),
         .limit = std::chrono::seconds(20)});
}

TEST_F(Faults, ContainerOfAnOrdinaryUser) {
  CLOCHE_NEEDS(test::needs::root());
  CLOCHE_NEEDS(test::needs::test_user());
  CLOCHE_NEEDS(test::needs::id_map_helpers());
  user_ = &test::TestUser::get();
  auto box = bundle({});
  make_rootless(box, *user_);
  box.write();
  test::shell(fmt::format("mkdir -m 700 {0}; chown -R {2}:{3} {0} {1}", state_root(), box.path(),
                          user_->uid(), user_->gid()));
  sweep(user_->command({.argv = command({"--debug", "run", "--bundle", box.path(), "box"}),
                        .limit = std::chrono::seconds(20)}));
}

}  // namespace
}  // namespace cloche::faults
