#include "runtime/update.h"

#include <fcntl.h>
#include <fmt/format.h>

#include "plan/planner.h"
#include "plan/scope.h"
#include "runtime/cgroup_changes.h"
#include "runtime/container.h"
#include "runtime/facts.h"
#include "runtime/host_side.h"
#include "runtime/step_error.h"
#include "runtime/systemd.h"
#include "spec/validate.h"
#include "sys/files.h"

namespace cloche::runtime {
namespace {

sys::Result<Container> changeable(const StateRoot& root, const std::string& id) {
  CLOCHE_TRY_ASSIGN(container, load(root, id));
  if (!container.has_process()) return sys::fail_because("container not running");
  if (container.state.cgroup.empty())
    return sys::fail_because("the container has no cgroup of its own, and only a cgroup has limits");
  return container;
}

bool limits_swap_total(const Container& container) {
  const auto config = config_of(container);
  if (!config || !config->linux_ || !config->linux_->resources) return false;
  const auto& memory = config->linux_->resources->memory;
  return memory && memory->swap.value_or(0) > 0;
}

plan::CgroupNow look_at(const Container& container, const sys::Fd& cgroup) {
  plan::CgroupNow now{.path = container.state.cgroup};
  now.controllers = words_of(sys::read_file(cgroup.get(), "cgroup.controllers").value_or(""));
  for (const char* file : plan::kFilesOfUpdate) {
    auto text = sys::read_file(cgroup.get(), file);
    if (!text) continue;
    while (text->ends_with('\n')) text->pop_back();
    now.values[file] = *std::move(text);
  }
  now.swap_total = limits_swap_total(container);
  if (const auto scope = scope_of(container.state))
    now.scope = plan::SetScopeProperties{.unit = scope->unit, .user = scope->user};
  return now;
}

// The properties that the plan changes, as they are by what the files hold.
std::optional<plan::SetScopeProperties> scope_before(const plan::Plan& plan, const sys::Fd& cgroup,
                                                     int systemd_version) {
  std::optional<plan::SetScopeProperties> scope;
  std::vector<plan::CgroupWrite> held;
  for (const plan::Step& step : plan.steps) {
    if (const auto* change = std::get_if<plan::SetScopeProperties>(&step.action)) scope = *change;
    const auto* write = std::get_if<plan::WriteCgroup>(&step.action);
    if (write == nullptr) continue;
    const auto text = sys::read_file(cgroup.get(), write->file);
    if (!text) continue;
    held.push_back({.file = write->file, .value = earlier_value(write->file, *text, write->value)});
    if (held.back().value == "\n") held.back().value.clear();
  }
  if (scope) scope->properties = plan::unit_properties(held, systemd_version);
  return scope;
}

std::expected<void, StepFailure> perform(const plan::Plan& plan, HostSide& host, CgroupChanges& changes) {
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    const auto* write = std::get_if<plan::WriteCgroup>(&plan.steps[i].action);
    if (write != nullptr) changes.remember(write->file, write->value);
    if (write != nullptr && write->bfq) changes.remember(plan::kBfqWeight, *write->bfq);
    auto done = host.perform(i);
    if (done) continue;
    // Of two files the first may have taken its value.
    if (write != nullptr) changes.forget_last();
    return std::unexpected(StepFailure{i, std::move(done).error()});
  }
  return {};
}

}  // namespace

sys::Result<> update(const StateRoot& root, const std::string& id, const spec::Resources& resources,
                     const std::map<std::string, plan::Why>& sources, Report& report) {
  const auto valid = spec::validate_resources(resources);
  if (!valid) return sys::fail_because(valid.error().message());
  for (const spec::Problem& odd : *valid) report.warnings.push_back(odd.message());
  CLOCHE_TRY_ASSIGN(container, changeable(root, id));
  Prepared prepared;
  CLOCHE_TRY_ASSIGN(cgroup, sys::open_at(AT_FDCWD, container.state.cgroup, O_RDONLY | O_DIRECTORY));
  prepared.cgroup = std::move(cgroup);
  // Two changes at once would take each other's values for the earlier ones.
  CLOCHE_TRY(sys::lock_file(prepared.cgroup, true));
  CLOCHE_TRY_ASSIGN(facts, gather_facts({.controllers = true}));
  const auto scope = scope_of(container.state);
  if (scope) {
    CLOCHE_TRY_ASSIGN(manager, systemd_manager(scope->user));
    facts.systemd = std::move(manager);
  }
  const plan::UpdateRequest request{
      .id = id, .resources = resources, .now = look_at(container, prepared.cgroup), .provenance = sources};
  const auto planned = plan::make_update_plan(request, facts);
  if (!planned) return std::unexpected(refusal_error(planned.error()));
  for (const plan::Note& note : planned->notes) report.notes.push_back(note.subject + ": " + note.text);

  CLOCHE_TRY_ASSIGN(record, RecordMemory::map());
  HostSide host(*planned, prepared, record.get());
  CgroupChanges changes(prepared.cgroup);
  const auto before = scope_before(*planned, prepared.cgroup, facts.systemd.version);
  const auto done = perform(*planned, host, changes);
  if (done) return {};
  sys::Result<> restored;
  if (before && std::holds_alternative<plan::WriteCgroup>(planned->steps[done.error().step].action))
    restored = set_scope_properties(*before);
  if (auto files = changes.restore(); restored) restored = std::move(files);
  sys::Error error = step_error(*planned, done.error(), facts);
  error.context.back() +=
      restored ? " (nothing was changed)" : fmt::format(" (and {})", restored.error().message());
  return sys::Failure(std::move(error));
}

}  // namespace cloche::runtime
