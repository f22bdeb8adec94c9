#include "faults/judge.h"

#include <fmt/format.h>
#include <sys/syscall.h>

#include <algorithm>
#include <sstream>

#include "faults/errnos.h"
#include "faults/tolerated.h"
#include "sys/error.h"

namespace cloche::faults {
namespace {

// The lines that do not hold `word`.
std::string without(const std::string& text, const std::string& word) {
  if (word.empty()) return text;
  std::string rest;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);)
    if (line.find(word) == std::string::npos) rest += line + "\n";
  return rest;
}

bool warns(const std::string& err, const std::string& of) {
  std::istringstream lines(err);
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with("cloche-runtime: warning: ") && line.find(of) != std::string::npos) return true;
  return false;
}

std::string_view id_of(const Usual& usual, std::optional<size_t> step) {
  return step ? std::string_view(usual.steps[*step].id) : "-";
}

// By their ids; a command that says no steps has none to compare.
bool same_steps(const std::vector<PlannedStep>& these, const std::vector<PlannedStep>& those) {
  return these.empty() || std::ranges::equal(these, those, {}, &PlannedStep::id, &PlannedStep::id);
}

Verdict judge_failure(const Usual& usual, const Call& call, int code, const Watched& watched) {
  Verdict verdict{.outcome = "refused", .problems = {}};
  const CallErrors& errors = *errors_of(call.point.number);
  const auto step = step_of(call, usual.steps);
  if (watched.exit_code != usual.failed)
    verdict.problems.push_back("the status is not the one of a failure: " + watched.describe());
  const auto expect = [&](std::string_view text, std::string_view or_else = {}) {
    if (watched.err.find(text) == std::string::npos &&
        (or_else.empty() || watched.err.find(or_else) == std::string::npos))
      verdict.problems.push_back(fmt::format("no \"{}\" in: {}", text, watched.describe()));
  };
  if (step && usual.says_steps)
    expect(fmt::format("step {} of {}, {}:", *step + 1, usual.steps.size(), usual.steps[*step].id));
  const Exception* other = exception_for(errors.name, id_of(usual, step), call.about, code, &watched.err);
  if (other != nullptr) return verdict;
  // What is refused before there is a plan is said in words.
  if (!step) {
    expect(sys::errno_name(code), sys::errno_text(code));
    return verdict;
  }
  expect(sys::errno_name(code));
  expect(fmt::format("{}(", errors.shown.empty() ? errors.name : errors.shown));
  return verdict;
}

Verdict judge_success(const Usual& usual, const Call& call, int code, const Watched& watched,
                      const std::string& portrait) {
  const auto step = step_of(call, usual.steps);
  const Exception* allowed =
      exception_for(errors_of(call.point.number)->name, id_of(usual, step), call.about, code);
  const std::vector<PlannedStep> steps = steps_of(watched.err);
  if (!same_steps(steps, usual.steps) && allowed == nullptr)
    return {.outcome = "tolerated", .problems = {"it is ignored, and the plan is another one"}};
  const bool recorded = step && *step < steps.size() && !steps[*step].fallback.empty() &&
                        steps[*step].fallback != usual.steps[*step].fallback;
  // A fallback may show in what its own step made, and nowhere else.
  const std::string own = recorded ? steps[*step].id.substr(steps[*step].id.find(':') + 1) : "";
  if (without(portrait, own) != without(usual.portrait, own) &&
      !(allowed != nullptr && allowed->kind == Exception::Kind::lies))
    return {.outcome = "tolerated",
            .problems = {"it is ignored, and the container is another one: " + portrait}};
  if (recorded) return {.outcome = "recovered", .problems = {}};
  if (warns(watched.err, sys::errno_name(code)) || warns(watched.err, sys::errno_text(code)))
    return {.outcome = "warned", .problems = {}};
  Verdict verdict{.outcome = "tolerated", .problems = {}};
  if (allowed == nullptr) verdict.problems.emplace_back("it is ignored without a word");
  return verdict;
}

}  // namespace

std::vector<PlannedStep> steps_of(const std::string& err) {
  std::vector<PlannedStep> steps;
  std::istringstream lines(err);
  for (std::string line; std::getline(lines, line);) {
    constexpr std::string_view kBegin = "debug: step ";
    const size_t begin = line.find(kBegin);
    if (begin == std::string::npos) continue;
    const size_t id = line.find(", ", begin) + 2, time = line.rfind(": ", line.find(" us", id));
    const size_t side = line.rfind(", ", time);
    size_t number = 0, count = 0;
    std::string of;
    std::istringstream words(line.substr(begin + kBegin.size()));
    if (!(words >> number >> of >> count) || number == 0 || number > count) continue;
    steps.resize(count);
    PlannedStep& step = steps[number - 1];
    step.id = line.substr(id, side - id);
    step.host = line.compare(side, 6, ", host") == 0;
    if (const size_t more = line.find(" us, ", time); more != std::string::npos)
      step.fallback = line.substr(more + 5);
  }
  return steps;
}

std::optional<size_t> step_of(const Call& call, const std::vector<PlannedStep>& steps) {
  // The joining process does steps of the container's side for the host's.
  if (call.point.number == SYS_setns && !call.started.empty() && call.started.back() < steps.size())
    return call.started.back();
  for (const uint32_t step : call.started)
    if (step < steps.size() && steps[step].host != call.in_container) return step;
  return {};
}

Verdict judge(const Usual& usual, const Call& call, int code, const Watched& watched,
              const std::string& portrait) {
  Verdict verdict = watched.exit_code == 0 ? judge_success(usual, call, code, watched, portrait)
                                           : judge_failure(usual, call, code, watched);
  const std::string_view id = id_of(usual, step_of(call, usual.steps));
  // The holder of an id map may be ended before it makes its one call.
  if (!watched.hit && exception_for(errors_of(call.point.number)->name, id, call.about, code) == nullptr)
    verdict.problems.emplace_back("the call is not made this time");
  if (watched.timed_out) verdict.problems.emplace_back("the run hangs");
  return verdict;
}

}  // namespace cloche::faults
