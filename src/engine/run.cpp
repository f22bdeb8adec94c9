#include "engine/run.h"

#include <fmt/format.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>

#include "engine/container_spec.h"
#include "engine/resource_options.h"
#include "engine/run_directory.h"
#include "runtime/diagnose.h"
#include "runtime/execution.h"
#include "runtime/facts.h"
#include "runtime/foreground.h"
#include "runtime/orphans.h"
#include "runtime/own_program.h"
#include "runtime/undo.h"
#include "sys/files.h"

namespace cloche::engine {
namespace {

std::string new_id() {
  uint8_t bytes[6];
  if (::getrandom(bytes, sizeof bytes, 0) != static_cast<ssize_t>(sizeof bytes)) return "box";
  std::string id;
  for (const uint8_t byte : bytes) id += fmt::format("{:02x}", byte);
  return id;
}

bool valid_name(const std::string& name) {
  if (name.size() > 63 || name.starts_with('.') || name.starts_with('-')) return false;
  return std::ranges::all_of(
      name, [](unsigned char c) { return std::isalnum(c) != 0 || c == '_' || c == '.' || c == '-'; });
}

// What the engine would have bounded unasked but cannot here is said, not passed over.
void note_missing_defaults(const RunOptions& options, const plan::HostFacts& facts, plan::Plan& plan) {
  if (!options.pids_limit.empty() || can_bound_processes(facts)) return;
  const auto v1 = facts.cgroup.v1.find("pids");
  const std::string why = v1 != facts.cgroup.v1.end()
                              ? fmt::format("the pids controller is on cgroup v1 here ({})", v1->second)
                          : !facts.cgroup.writable ? "no cgroup can be made here by this user"
                          : facts.cgroup.strangers > 0
                              ? "this cgroup holds other processes, and such a one hands no controller down"
                              : "the pids controller is not available to this cgroup";
  plan.notes.push_back(
      {.subject = "bound on processes",
       .text = fmt::format("not in force: {}, so the default of {} processes cannot be given", why,
                           kDefaultPidsLimit)});
}

// A refusal names a field of the config; who typed a flag is told the flag.
std::string sentence_of(const plan::Refusal& refusal, const plan::Request& request) {
  if (refusal.field.empty()) return refusal.sentence;
  std::string from = refusal.field;
  size_t longest = 0;
  for (const auto& [field, why] : request.provenance) {
    const char next = refusal.field.size() > field.size() ? refusal.field[field.size()] : '.';
    if (!refusal.field.starts_with(field) || (next != '.' && next != '[') || field.size() < longest) continue;
    longest = field.size();
    from = why.kind == plan::Why::Kind::flag ? why.from : refusal.field;
  }
  return fmt::format("{}: {}", from, refusal.sentence);
}

// 126 and 127 when it is the command that cannot be run.
int exit_code_of(const plan::Plan& plan, const runtime::StepFailure& failure) {
  const std::string& id = plan.steps[failure.step].id;
  if (id != "command" && id != "exec") return kEngineFailed;
  return failure.error.code == ENOENT || failure.error.code == ENOTDIR ? kNotFound : kNotExecutable;
}

RunReport engine_failure(const sys::Error& error) {
  RunReport report;
  report.exit_code = kEngineFailed;
  report.failure = error.message();
  return report;
}

RunReport step_failure(const Planned& planned, const runtime::StepFailure& failure, plan::RunRecord record) {
  RunReport report;
  report.exit_code = exit_code_of(planned.plan, failure);
  report.record = std::move(record);
  for (const plan::StepRecord& step : report.record.steps)
    if (step.index == failure.step) report.failed = step;
  if (!report.failed) report.failed = plan::StepRecord{.index = static_cast<uint32_t>(failure.step)};
  report.failed->state = plan::StepRecord::State::failed;
  report.failed->error = failure.error.code;
  report.failed->detail = failure.error.message();
  report.diagnosis = runtime::diagnose(planned.plan, failure, planned.facts);
  return report;
}

bool leaves_orphans(const plan::Plan& plan) {
  for (const plan::Step& step : plan.steps)
    if (const auto* clone = std::get_if<plan::CloneProcess>(&step.action))
      return clone->cgroup.empty() && std::ranges::find(clone->namespaces, "pid") == clone->namespaces.end();
  return false;
}

sys::Result<> silence_input() {
  CLOCHE_TRY_ASSIGN(null, sys::open_at(AT_FDCWD, "/dev/null", O_RDONLY));
  return sys::duplicate_to(null, STDIN_FILENO);
}

}  // namespace

std::expected<Planned, std::string> plan_run(const RunOptions& options) {
  if (!options.name.empty() && !valid_name(options.name))
    return std::unexpected(
        fmt::format("--name {}: a name is of letters, digits, _ . and -, at most 63", options.name));
  auto facts = runtime::gather_facts(runtime::FactsWanted::everything());
  if (!facts) return std::unexpected(facts.error().message());
  auto request = make_request(options, options.name.empty() ? new_id() : options.name, *facts);
  if (!request) return std::unexpected(request.error());
  if (plan::needs_sealed_program(request->spec) && !facts->sealed_program)
    if (auto sealed = runtime::run_sealed(); !sealed) return std::unexpected(sealed.error().message());
  auto plan = plan::make_plan(*request, *facts);
  if (!plan) return std::unexpected(sentence_of(plan.error(), *request));
  note_missing_defaults(options, *facts, *plan);
  return Planned{.plan = *std::move(plan), .facts = *std::move(facts)};
}

RunReport run_planned(const Planned& planned, const RunOptions& options,
                      const std::function<void(const plan::RunRecord&)>& started) {
  if (auto usable = make_runtime_directory(planned.facts.runtime_dir); !usable)
    return engine_failure(usable.error());
  sweep(planned.facts.runtime_dir);
  // Written down before the first step: whoever comes after a kill -9 finds what to take away.
  auto directory = RunDirectory::make(planned.facts.runtime_dir, planned.plan);
  if (!directory) return engine_failure(directory.error());
  const bool relay = options.terminal;
  if (!options.interactive && !relay)
    if (auto silent = silence_input(); !silent) return engine_failure(silent.error());
  // Without a pid namespace and without a cgroup nothing ends what the command leaves behind, so it comes to us.
  const bool adopts = leaves_orphans(planned.plan);
  if (adopts)
    if (auto adopting = runtime::adopt_orphans(); !adopting) return engine_failure(adopting.error());
  constexpr int kPatience = 3;
  auto foreground = runtime::Foreground::prepare(kPatience);
  if (!foreground) return engine_failure(foreground.error());
  auto execution = runtime::Execution::prepare(planned.plan, {});
  if (!execution) return engine_failure(execution.error());
  if (auto ran = execution->run(); !ran) return step_failure(planned, ran.error(), execution->record());
  RunReport report;
  report.record = execution->record();
  if (started) started(report.record);
  const sys::Fd terminal = execution->take_terminal();
  auto ending = foreground->stand_by(execution->pid(), execution->pidfd(), terminal,
                                     options.interactive || (relay && ::isatty(STDIN_FILENO) == 1));
  execution->close_descriptors();
  if (adopts) runtime::end_orphans();
  if (!ending) return engine_failure(ending.error());
  report.exit_code = ending->exit_code();
  if (auto undone = runtime::undo(planned.plan); !undone) report.failure = undone.error().message();
  return report;
}

}  // namespace cloche::engine
