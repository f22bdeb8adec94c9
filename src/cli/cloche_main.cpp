// The command line of `cloche`: parsing and printing; what is done lives in the engine.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <boost/json.hpp>
#include <csignal>
#include <cstdio>
#include <exception>

#include "cli/run_flags.h"
#include "cli/terminal.h"
#include "engine/run.h"
#include "plan/explain.h"
#include "plan/plan_json.h"
#include "plan/script.h"
#include "runtime/own_program.h"
#include "sys/files.h"
#include "sys/prefault.h"
#include "version.h"

namespace cloche::cli {
namespace {

int complain(std::string_view sentence) {
  print(STDERR_FILENO, fmt::format("cloche: {}\n", sentence));
  return engine::kEngineFailed;
}

struct ExplainOptions {
  std::string format = "text";
  bool script = false;
};

int explain(const engine::RunOptions& options, const ExplainOptions& how) {
  const auto planned = engine::plan_run(options);
  if (!planned) return complain(planned.error());
  if (how.script)
    print(STDOUT_FILENO, plan::to_script(planned->plan, planned->facts));
  else if (how.format == "json")
    print(STDOUT_FILENO, plan::pretty(plan::to_json(planned->plan)));
  else
    print(STDOUT_FILENO, plan::explain_text(planned->plan, style_for(STDOUT_FILENO)));
  return 0;
}

// Without --explain a run is silent but for its command; with it, what was done is shown before the command's first
// output can be: on standard error, so that the command's own output stays whole.
int run(const engine::RunOptions& options, const std::string& show) {
  const auto planned = engine::plan_run(options);
  if (!planned) return complain(planned.error());
  const plan::TextStyle style = style_for(STDERR_FILENO);
  const auto tell = [&](const plan::RunRecord& record) {
    if (show == "json")
      print(STDERR_FILENO, plan::pretty(plan::to_json(planned->plan, record)));
    else if (!show.empty())
      print(STDERR_FILENO, plan::record_text(planned->plan, record, style));
  };
  const engine::RunReport report = engine::run_planned(*planned, options, tell);
  if (report.failed) {
    tell(report.record);
    print(STDERR_FILENO,
          plan::failure_text("cloche", planned->plan, *report.failed, report.diagnosis, style));
  } else if (!report.failure.empty()) {
    complain(report.failure);
  }
  return report.exit_code;
}

int main_of(int argc, char** argv) {
  CLI::App app{"Runs containers, and shows everything that makes one.", "cloche"};
  app.require_subcommand(1);
  app.set_version_flag("--version", fmt::format("cloche version {}", kVersion));

  engine::RunOptions options;
  std::string show;
  CLI::App* run_command =
      app.add_subcommand("run", "runs a command in a new container: cloche run [FLAGS] host -- COMMAND");
  declare_run_flags(*run_command, options);
  run_command
      ->add_flag("--explain{text}", show,
                 "shows each step on standard error: result, microseconds (--explain=json)")
      ->check(CLI::IsMember({"text", "json"}));

  ExplainOptions how;
  CLI::App* explain_command = app.add_subcommand(
      "explain", "shows what a command would do, and does nothing: cloche explain run ...");
  explain_command->add_option("--format", how.format, "how to show it")
      ->check(CLI::IsMember({"text", "json"}))
      ->type_name("text|json");
  explain_command->add_flag("--script", how.script,
                            "writes a shell script that makes the same container without Cloche");
  explain_command->require_subcommand(1);
  CLI::App* explained_run = explain_command->add_subcommand("run", "as in `cloche run`");
  declare_run_flags(*explained_run, options);

  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& done) {
    return app.exit(done);
  } catch (const CLI::ParseError& error) {
    if (argc < 2) {
      print(STDERR_FILENO, app.help());
      return engine::kEngineFailed;
    }
    if (argv[1][0] != '-' &&
        app.get_subcommands([&](const CLI::App* one) { return one->get_name() == argv[1]; }).empty())
      return complain(fmt::format("there is no command \"{}\" (cloche --help lists them)", argv[1]));
    return complain(fmt::format("{} (cloche --help lists the commands and flags)", error.what()));
  }
  const CLI::App& parsed = explain_command->parsed() ? *explained_run : *run_command;
  if (auto taken = take_image_and_command(parsed, options); !taken) return complain(taken.error());
  return explain_command->parsed() ? explain(options, how) : run(options, show);
}

}  // namespace
}  // namespace cloche::cli

int main(int argc, char** argv) {
  cloche::sys::prefault_heap();
  // A reader that goes away (`cloche explain ... | head`) must not kill a run half-way.
  std::signal(SIGPIPE, SIG_IGN);
  // A caller that ignores it would have the kernel reap our children, and how they ended would be lost (wait(2)).
  std::signal(SIGCHLD, SIG_DFL);
  (void)cloche::sys::fill_standard_descriptors();
  cloche::runtime::remember_arguments(argv);
  try {
    return cloche::cli::main_of(argc, argv);
  } catch (const std::exception& error) {  // out of memory, if anything
    std::fprintf(stderr, "cloche: %s\n", error.what());
    return cloche::engine::kEngineFailed;
  }
}
