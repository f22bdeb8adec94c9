// Every system call that a command makes, failing with every error that it can fail with: the command ends with the
// right words and leaves nothing, or it goes on by a way that is written down here or in the plan's record.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>

#include <chrono>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <memory>
#include <set>
#include <stdexcept>

#include "faults/boxes.h"
#include "faults/crew.h"
#include "faults/errnos.h"
#include "faults/judge.h"
#include "faults/place.h"
#include "faults/scenes.h"
#include "faults/tracer.h"
#include "support/needs.h"
#include "sys/error.h"

namespace cloche::faults {
namespace {

const std::vector<std::string> kPortraitist{"/bin/sh", "-c", kSelfPortrait};
const std::vector<std::string> kSleeper{"sleep", "27182818"};

struct Target {
  Call call;
  int code = 0;
};

// What a foreground run does while the command writes depends on how fast it writes.
bool relays(const Call& call) {
  return call.point.number == SYS_read || call.point.number == SYS_write || call.point.number == SYS_poll;
}

// Which errors of the first call of a kind in each step are made: `every` one of them, or the `outermost`, the first and
// the last, where another sweep makes every one in the same step.
enum class Errors { every, outermost };

// Steps that do the same with another path: every error is made in the first of them.
std::string kind_of(const std::string& id) {
  for (const char* kind : {"device:", "symlink:", "mask:", "readonly:"})
    if (id.starts_with(kind)) return kind;
  return id;
}

// Outside of the steps the outermost errors of the first call of a kind. With CLOCHE_FAULTS=all every error in each step,
// and the outermost of every other call.
std::vector<Target> targets_of(const std::vector<Call>& calls, const std::vector<PlannedStep>& steps,
                               Errors extent, int waiting) {
  const char* asked = std::getenv("CLOCHE_FAULTS");
  const bool all = asked != nullptr && std::string_view(asked) == "all";
  size_t steps_end = calls.size();
  while (steps_end > 0 && !step_of(calls[steps_end - 1], steps)) --steps_end;
  std::set<std::pair<std::string, long>> seen, seen_in_kind;
  std::vector<Target> targets;
  for (size_t i = 0; i < calls.size(); ++i) {
    const CallErrors* errors = errors_of(calls[i].point.number);
    // A container that waits: `create` may have ended by then. The sweep of `start` has it.
    if (calls[i].point.number == SYS_accept4 && calls[i].point.process != waiting) continue;
    if (errors == nullptr || (steps_end > 0 && i >= steps_end && relays(calls[i]))) continue;
    const auto step = step_of(calls[i], steps);
    const std::string where =
        step ? steps[*step].id : fmt::format("{} {}", calls[i].point.process, calls[i].in_container);
    const bool first = seen.emplace(where, calls[i].point.number).second;
    if (!first && !all) continue;
    std::set<int> codes{errors->errors.front(), errors->errors.back()};
    const bool every = first && step &&
                       (all || (extent == Errors::every &&
                                seen_in_kind.emplace(kind_of(where), calls[i].point.number).second));
    if (every) codes = {errors->errors.begin(), errors->errors.end()};
    for (const int code : codes) targets.push_back({.call = calls[i], .code = code});
  }
  return targets;
}

Watched undisturbed(Scene& scene, Usual& usual) {
  scene.prepare();
  Watched watched = watch(scene.command(), scene.place().path(), {}, scene.waiting());
  if (watched.exit_code != 0) throw std::runtime_error("without a fault: " + watched.describe());
  usual = {.steps = steps_of(scene.told(watched)),
           .says_steps = scene.says_steps(),
           .failed = scene.failed(),
           .portrait = scene.portrait(watched)};
  Report ignored;
  for (const std::string& line : scene.leftovers(watched, scene.may_stay(false, true), ignored))
    throw std::runtime_error("without a fault it leaves " + line);
  return watched;
}

// The points that the process is given, each in its own scene.
void try_points(Scene& scene, const std::vector<Target>& targets, Turns& turns, Report& report) {
  Usual usual;
  (void)undisturbed(scene, usual);
  while (const auto turn = turns.next()) {
    const auto& [call, code] = targets[*turn];
    const auto step = step_of(call, usual.steps);
    scene.prepare();
    const Watched watched =
        watch(scene.command(), scene.place().path(), Fault{.at = call.point, .code = code}, scene.waiting());
    const bool succeeded = watched.exit_code == 0;
    const Verdict verdict =
        judge(usual, call, code, watched, succeeded ? scene.portrait(watched) : std::string());
    ++report.counts["points"];
    ++report.counts[std::string(verdict.outcome)];
    std::vector<std::string> problems = verdict.problems;
    for (const std::string& line :
         scene.leftovers(watched, scene.may_stay(step.has_value(), succeeded), report))
      problems.push_back(fmt::format("it leaves {}: {}", line, watched.describe()));
    for (const std::string& problem : problems)
      report.findings.push_back(
          fmt::format("{} {} of process {} ({}{}{}) = -{}: {}", errors_of(call.point.number)->name,
                      call.point.nth, call.point.process, step ? "step " + usual.steps[*step].id : "no step",
                      call.about.empty() ? "" : ", ", call.about, sys::errno_name(code), problem));
  }
}

class Faults : public test::RuntimeTest {
 protected:
  using Make = std::function<std::unique_ptr<Scene>(const std::string& name)>;
  void sweep(const Make& make, Errors extent = Errors::every) {
    const auto began = std::chrono::steady_clock::now();
    Usual usual;
    std::vector<Target> targets;
    {
      const std::unique_ptr<Scene> scene = make("first");
      (void)undisturbed(*scene, usual);  // makes what later ones find: the directory of all states
      targets =
          targets_of(undisturbed(*scene, usual).calls, usual.steps, extent, scene->waiting() != 0 ? 1 : -1);
    }
    const Report report = share_out(targets.size(), scratch(), [&](int number, Turns& turns, Report& mine) {
      const std::unique_ptr<Scene> scene = make(fmt::format("{}", number));
      Usual ignored;
      (void)undisturbed(*scene, ignored);
      try_points(*scene, targets, turns, mine);
    });
    for (const auto& [name, count] : report.counts) {
      std::cout << fmt::format("{} {}\n", count, name);
      RecordProperty(name, count);
    }
    const auto took = std::chrono::steady_clock::now() - began;
    std::cout << std::chrono::duration_cast<std::chrono::seconds>(took).count() << " seconds\n";
    for (const std::string& line : report.findings) ADD_FAILURE() << line;
    EXPECT_GT(targets.size(), 30);
  }
  [[nodiscard]] Place place(const std::string& name) { return {scratch(), name}; }
};

TEST_F(Faults, RunOfARichContainer) {
  CLOCHE_NEEDS(test::needs::root());
  CLOCHE_NEEDS(test::needs::cgroup2());
  sweep([&](const std::string& name) {
    Place here = place(name);
    test::Bundle box = here.bundle(kPortraitist);
    make_rich(box, here.path());
    here.write(box);
    return run_scene(std::move(here));
  });
}

TEST_F(Faults, RunByAnOrdinaryUser) {
  CLOCHE_NEEDS(test::needs::root());
  CLOCHE_NEEDS(test::needs::test_user());
  CLOCHE_NEEDS(test::needs::id_map_helpers());
  const test::TestUser& user = test::TestUser::get();
  sweep(
      [&](const std::string& name) {
        Place here(scratch(), name, &user);
        test::Bundle box = here.bundle(kPortraitist);
        make_rootless(box, user);
        here.write(box);
        return run_scene(std::move(here));
      },
      Errors::outermost);
}

TEST_F(Faults, Create) {
  CLOCHE_NEEDS(test::needs::root());
  CLOCHE_NEEDS(test::needs::cgroup2());
  sweep(
      [&](const std::string& name) {
        Place here = place(name);
        here.write(here.bundle(kPortraitist));
        return create_scene(std::move(here));
      },
      Errors::outermost);
}

Place rich_and_detached(Place here, const std::vector<std::string>& command) {
  test::Bundle box = here.bundle(command);
  make_rich(box, here.path());
  make_detached(box);
  here.write(box);
  return here;
}

TEST_F(Faults, StartOfARichContainer) {
  CLOCHE_NEEDS(test::needs::root());
  CLOCHE_NEEDS(test::needs::cgroup2());
  sweep([&](const std::string& name) { return start_scene(rich_and_detached(place(name), kPortraitist)); });
}

TEST_F(Faults, ExecInARichContainer) {
  CLOCHE_NEEDS(test::needs::root());
  CLOCHE_NEEDS(test::needs::cgroup2());
  sweep([&](const std::string& name) {
    return exec_scene(rich_and_detached(place(name), kSleeper), kPortraitist);
  });
}

TEST_F(Faults, Delete) {
  CLOCHE_NEEDS(test::needs::root());
  CLOCHE_NEEDS(test::needs::cgroup2());
  sweep([&](const std::string& name) {
    Place here = place(name);
    test::Bundle box = here.bundle(kSleeper);
    box.config.hooks = spec::Hooks{};
    box.config.hooks->poststop = {{.path = "/bin/true", .args = {"true"}, .env = {}, .timeout = {}}};
    here.write(box);
    return delete_scene(std::move(here));
  });
}

}  // namespace
}  // namespace cloche::faults
