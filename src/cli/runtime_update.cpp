// `update`: other limits, from a document or from flags.
#include <fmt/format.h>
#include <unistd.h>

#include "cli/runtime_commands.h"
#include "runtime/update.h"
#include "spec/read.h"
#include "spec/size.h"
#include "sys/files.h"
#include "sys/number.h"

namespace cloche::cli {
namespace {

using Sources = std::map<std::string, plan::Why>;
using Wrong = std::optional<std::string>;

spec::Memory& memory(spec::Resources& r) { return r.memory ? *r.memory : r.memory.emplace(); }
spec::Cpu& cpu(spec::Resources& r) { return r.cpu ? *r.cpu : r.cpu.emplace(); }

// One flag: its field, and how its text gets there. `take` is false where the text is not what the flag takes.
struct Limit {
  std::string_view flag, field, wants;
  bool (*take)(spec::Resources&, const std::string&);
};

template <class T>
bool whole(const std::string& text, std::optional<T>& into) {
  const auto number = sys::whole_number<T>(text);
  if (number) into = number;
  return number.has_value();
}

bool size(const std::string& text, std::optional<int64_t>& into) {
  const auto bytes = spec::parse_size(text);
  if (bytes) into = *bytes;
  return bytes.has_value();
}

bool words(const std::string& text, std::string& into) { return into = text, true; }

constexpr std::string_view kSize = "a size such as 256M, or -1 for none", kNumber = "a whole number",
                           kList = "a list such as 0-3,7";
using R = spec::Resources;
using S = const std::string;
constexpr Limit kLimits[] = {
    {"memory", "memory.limit", kSize, [](R& r, S& s) { return size(s, memory(r).limit); }},
    {"memory-reservation", "memory.reservation", kSize,
     [](R& r, S& s) { return size(s, memory(r).reservation); }},
    {"memory-swap", "memory.swap", kSize, [](R& r, S& s) { return size(s, memory(r).swap); }},
    {"kernel-memory", "memory.kernel", kSize, [](R& r, S& s) { return size(s, memory(r).kernel); }},
    {"kernel-memory-tcp", "memory.kernelTCP", kSize, [](R& r, S& s) { return size(s, memory(r).kernelTCP); }},
    {"cpu-period", "cpu.period", kNumber, [](R& r, S& s) { return whole(s, cpu(r).period); }},
    {"cpu-quota", "cpu.quota", kNumber, [](R& r, S& s) { return whole(s, cpu(r).quota); }},
    {"cpu-burst", "cpu.burst", kNumber, [](R& r, S& s) { return whole(s, cpu(r).burst); }},
    {"cpu-share", "cpu.shares", kNumber, [](R& r, S& s) { return whole(s, cpu(r).shares); }},
    {"cpu-rt-period", "cpu.realtimePeriod", kNumber,
     [](R& r, S& s) { return whole(s, cpu(r).realtimePeriod); }},
    {"cpu-rt-runtime", "cpu.realtimeRuntime", kNumber,
     [](R& r, S& s) { return whole(s, cpu(r).realtimeRuntime); }},
    {"cpu-idle", "cpu.idle", kNumber, [](R& r, S& s) { return whole(s, cpu(r).idle); }},
    {"cpuset-cpus", "cpu.cpus", kList, [](R& r, S& s) { return words(s, cpu(r).cpus); }},
    {"cpuset-mems", "cpu.mems", kList, [](R& r, S& s) { return words(s, cpu(r).mems); }},
    {"pids-limit", "pids.limit", kNumber,
     [](R& r, S& s) { return whole(s, (r.pids ? *r.pids : r.pids.emplace()).limit); }},
    {"blkio-weight", "blockIO.weight", kNumber,
     [](R& r, S& s) { return whole(s, (r.blockIO ? *r.blockIO : r.blockIO.emplace()).weight); }},
};

Wrong from_flags(const FlagValues& flags, spec::Resources& resources, Sources& sources) {
  for (const std::string_view flag : {"l3-cache-schema", "mem-bw-schema"})
    if (flags.given(flag))
      return fmt::format("--{}: Intel RDT cannot be changed for a container that runs", flag);
  for (const Limit& limit : kLimits) {
    if (!flags.given(limit.flag)) continue;
    const std::string text = flags.text(limit.flag);
    if (!limit.take(resources, text))
      return fmt::format("--{}: \"{}\" is not {}", limit.flag, text, limit.wants);
    sources[fmt::format("linux.resources.{}", limit.field)] = {
        .kind = plan::Why::Kind::flag, .from = fmt::format("--{} {}", limit.flag, text)};
  }
  if (sources.empty())
    return "update: which limit? Give --resources FILE or a limit's flag (cloche-runtime update --help lists "
           "them)";
  return {};
}

Wrong from_document(const std::string& path, spec::Resources& resources, runtime::Report& report) {
  const bool piped = path == "-";
  const std::string name = piped ? "standard input" : path;
  auto read = [&]() -> spec::ReadResult<spec::Resources> {
    if (!piped) return spec::read_resources_file(path);
    sys::Fd input(STDIN_FILENO);
    const auto text = sys::read_all(input, name, spec::kLargestDocument);
    (void)input.release();
    if (!text) return std::unexpected(spec::Problem{"", text.error().message()});
    return spec::read_resources(*text);
  }();
  if (!read) return fmt::format("--resources {}: {}", path, read.error().message());
  for (const spec::Problem& odd : read->warnings)
    report.warnings.push_back(fmt::format("--resources {}: {}", path, odd.message()));
  resources = std::move(read->value);
  return {};
}

}  // namespace

int perform_update(const Invocation& invocation, RuntimeLog& log) {
  const FlagValues& flags = invocation.flags;
  const std::string& id = invocation.arguments[0];
  runtime::Report report;
  spec::Resources resources;
  Sources sources;
  const bool document = flags.given("resources");
  if (document && flags.count() > 1)
    report.warnings.emplace_back(
        "update: with --resources the flags of single limits are ignored, as runc does");
  const Wrong wrong = document ? from_document(flags.text("resources"), resources, report)
                               : from_flags(flags, resources, sources);
  if (wrong) return log.error(*wrong), 1;
  if (const auto done = runtime::update(state_root(invocation), id, resources, sources, report); !done)
    return fail(log, "update", id, done.error());
  log.succeeded(report);
  return 0;
}

}  // namespace cloche::cli
