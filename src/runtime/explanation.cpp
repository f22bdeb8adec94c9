#include "runtime/explanation.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/object.hpp>

#include "plan/explain.h"
#include "plan/plan_json.h"
#include "plan/planner.h"
#include "plan/script.h"
#include "runtime/bundle.h"
#include "runtime/checkpoint.h"
#include "runtime/container.h"
#include "runtime/diagnose.h"
#include "runtime/step_error.h"
#include "runtime/systemd.h"
#include "sys/contents.h"
#include "sys/files.h"

namespace cloche::runtime {
namespace {

constexpr size_t kMostKept = 32;
constexpr size_t kLargest = size_t{1} << 20;
constexpr plan::TextStyle kStyle{.colour = false, .width = 110};

// No id can hold the @.
std::string directory_of(const StateRoot& root) { return root.path() + "/@failed"; }

std::string text_of(const FailedRun& run) {
  const plan::StepRecord failed = failed_record(run.failure);
  plan::RunRecord record = run.record;
  std::erase_if(record.steps, [&](const plan::StepRecord& step) { return step.index == failed.index; });
  record.steps.push_back(failed);
  std::string text = fmt::format("{}: could not {}\n\n", timestamp(), run.what);
  text += plan::failure_text("cloche-runtime", run.plan, failed, diagnose(run.plan, run.failure, run.facts),
                             kStyle);
  text += "\n" + plan::record_text(run.plan, record, kStyle) + "\nundone\n";
  for (const std::string& line : run.undone) text += "  " + line + "\n";
  if (run.undone.empty()) text += "  nothing: no step before it left anything on the host\n";
  return text;
}

// The oldest go, by the time of their writing.
void forget_oldest(const sys::Fd& directory) {
  std::vector<std::pair<std::pair<int64_t, int64_t>, std::string>> kept;
  const auto names = sys::list_directory(directory);
  if (!names) return;
  for (const std::string& name : *names)
    if (const auto st = sys::stat_at(directory.get(), name, false); st && S_ISREG(st->st_mode))
      kept.push_back({{st->st_mtim.tv_sec, st->st_mtim.tv_nsec}, name});
  if (kept.size() <= kMostKept) return;
  std::ranges::sort(kept);
  for (size_t i = 0; i + kMostKept < kept.size(); ++i) (void)sys::remove_at(directory.get(), kept[i].second);
}

struct Explained {
  plan::Plan plan;
  plan::HostFacts facts;
};

sys::Result<Explained> plan_of(Bundle bundle, const LaunchOptions& options) {
  CLOCHE_TRY_ASSIGN(request, request_for(bundle, options, true));
  CLOCHE_TRY_ASSIGN(facts, facts_for(request.spec, options));
  facts.sealed_program = true;  // `create` would see to it
  std::expected<plan::Plan, plan::Refusal> planned;
  if (options.restore) {
    CLOCHE_TRY_ASSIGN(restore, restore_request(*options.restore, std::move(request)));
    planned = plan::make_restore_plan(restore, facts);
  } else {
    planned = plan::make_plan(request, facts);
  }
  if (!planned) return std::unexpected(refusal_error(planned.error()));
  return Explained{.plan = *std::move(planned), .facts = std::move(facts)};
}

std::string formatted(const Explained& explained, ExplanationFormat format) {
  if (format == ExplanationFormat::json) return plan::pretty(plan::to_json(explained.plan));
  if (format == ExplanationFormat::script) return plan::to_script(explained.plan, explained.facts);
  return plan::explain_text(explained.plan, kStyle);
}

}  // namespace

void keep_explanation(const StateRoot& root, const std::string& id, const FailedRun& run) {
  const std::string path = directory_of(root);
  if (auto made = sys::make_directory(AT_FDCWD, path, 0700); !made && made.error().code != EEXIST) return;
  const auto directory = sys::open_at(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!directory) return;
  (void)sys::remove_at(directory->get(), id);  // a new file has a new time, and is nobody's link
  (void)sys::create_file(directory->get(), id, text_of(run), 0600);
  forget_oldest(*directory);
}

sys::Result<std::string> kept_explanation(const StateRoot& root, const std::string& id) {
  if (const auto problem = id_problem(id)) return sys::fail_because(*problem);
  return sys::read_file(AT_FDCWD, directory_of(root) + "/" + id, kLargest);
}

sys::Result<std::string> explain_bundle(const LaunchOptions& options, ExplanationFormat format,
                                        Report& report) {
  CLOCHE_TRY_ASSIGN(bundle, read_bundle(options.bundle, options.config, report));
  CLOCHE_TRY_ASSIGN(explained, plan_of(std::move(bundle), options));
  for (const plan::Note& note : explained.plan.notes) report.notes.push_back(note.subject + ": " + note.text);
  return formatted(explained, format);
}

sys::Result<std::string> explain(const StateRoot& root, const LaunchOptions& options,
                                 ExplanationFormat format) {
  const auto kept = kept_explanation(root, options.id);
  if (!kept && kept.error().code != ENOENT) return kept;
  const auto container = load(root, options.id);
  if (!container && !root.find(options.id)) {
    if (!kept)
      return sys::fail_because(
          "container does not exist, and no failure of one with this id is kept (explain --bundle DIR ID "
          "shows what create would do)");
    if (format == ExplanationFormat::text) return kept;
    return sys::fail_because("container does not exist; of its failure only text is kept");
  }
  if (!container) return std::unexpected(container.error());
  CLOCHE_TRY_ASSIGN(spec, config_of(*container));  // the bundle's own may have changed since
  LaunchOptions as_made = options;
  as_made.systemd_cgroup = scope_of(container->state).has_value();
  CLOCHE_TRY_ASSIGN(
      explained, plan_of({.path = container->state.bundle, .config = {}, .spec = std::move(spec)}, as_made));
  std::string text = formatted(explained, format);
  if (format != ExplanationFormat::text) return text;
  text = fmt::format("{} is {}, made at {}; its config makes this plan on this host now:\n\n", options.id,
                     name(container->status), container->state.created) +
         text;
  if (kept) text += "\nthe last failure\n" + *kept;
  return text;
}

}  // namespace cloche::runtime
