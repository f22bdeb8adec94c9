#include <fmt/format.h>
#include <unistd.h>

#include "cli/runtime_commands.h"
#include "runtime/explanation.h"

namespace cloche::cli {
namespace {

std::expected<runtime::ExplanationFormat, std::string> format_of(const Invocation& invocation) {
  const std::string format = invocation.flags.text("format");
  if (format.empty() || format == "text") return runtime::ExplanationFormat::text;
  if (format == "json") return runtime::ExplanationFormat::json;
  if (format == "script") return runtime::ExplanationFormat::script;
  return std::unexpected(fmt::format("--format: \"{}\" is none of text, json and script", format));
}

}  // namespace

int perform_explain(const Invocation& invocation, RuntimeLog& log) {
  const auto format = format_of(invocation);
  if (!format) return log.error(format.error()), 1;
  runtime::LaunchOptions options{.id = invocation.arguments[0],
                                 .bundle = invocation.flags.text("bundle"),
                                 .config = invocation.flags.text("config"),
                                 .own_cgroup = invocation.globals.text("cgroup-manager") != "disabled",
                                 .systemd_cgroup = wants_systemd(invocation)};
  const std::string images = invocation.flags.text("image-path");
  if (!images.empty() && !invocation.flags.given("bundle"))
    return log.error("explain: --image-path is for a --bundle"), 1;
  if (!images.empty())
    options.restore = runtime::RestoreOptions{.criu = invocation.globals.text("criu"),
                                              .image_path = images,
                                              .place = state_root(invocation).criu_place(options.id)};
  runtime::Report report;
  const auto text = invocation.flags.given("bundle")
                        ? runtime::explain_bundle(options, *format, report)
                        : runtime::explain(state_root(invocation), options, *format);
  if (!text) return fail(log, "explain", options.id, text.error());
  write_text(STDOUT_FILENO, *text);
  report.notes.clear();  // they are part of the text
  log.succeeded(report);
  return 0;
}

}  // namespace cloche::cli
