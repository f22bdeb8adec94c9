#include "engine/resource_options.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/values.h"
#include "spec/size.h"
#include "sys/files.h"

namespace cloche::engine {
namespace {

std::string as_cgroup_value(int64_t bytes) { return bytes < 0 ? "max" : fmt::format("{}", bytes); }

class Limits {
 public:
  Limits(const RunOptions& options, spec::Spec& spec, const FieldSources& sources)
      : options_(options), spec_(spec), sources_(sources) {}

  std::expected<void, std::string> apply() {
    for (auto step : {&Limits::memory, &Limits::cpu, &Limits::pids, &Limits::io, &Limits::raw})
      if (auto done = (this->*step)(); !done) return done;
    return {};
  }

 private:
  spec::Resources& resources() {
    if (!spec_.linux_->resources) spec_.linux_->resources.emplace();
    return *spec_.linux_->resources;
  }
  void unified(const std::string& file, std::string value, const std::string& flag) {
    resources().unified[file] = std::move(value);
    sources_.flag("linux.resources.unified." + file, flag);
  }

  std::expected<void, std::string> memory() {
    std::optional<int64_t> limit;
    if (!options_.memory.empty()) {
      const auto size = spec::parse_size(options_.memory);
      if (!size) return std::unexpected("--memory: " + size.error());
      limit = *size;
      if (!resources().memory) resources().memory.emplace();
      resources().memory->limit = *size;
      sources_.flag("linux.resources.memory.limit", "--memory " + options_.memory);
    }
    struct Row {
      const char *flag, *file;
      const std::string& text;
    };
    for (const Row& row : {Row{"--memory-high", "memory.high", options_.memory_high},
                           Row{"--memory-low", "memory.low", options_.memory_low}}) {
      if (row.text.empty()) continue;
      const auto size = spec::parse_size(row.text);
      if (!size) return std::unexpected(fmt::format("{}: {}", row.flag, size.error()));
      unified(row.file, as_cgroup_value(*size), fmt::format("{} {}", row.flag, row.text));
    }
    if (options_.memory_swap.empty()) return {};
    // Docker's meaning, which everybody has learnt: memory and swap together.
    const auto total = spec::parse_size(options_.memory_swap);
    if (!total) return std::unexpected("--memory-swap: " + total.error());
    if (!limit) return std::unexpected("--memory-swap is memory and swap together: it needs --memory too");
    if (*total >= 0 && *limit >= 0 && *total < *limit)
      return std::unexpected(
          fmt::format("--memory-swap {} is memory and swap together: it cannot be less than --memory {}",
                      options_.memory_swap, options_.memory));
    resources().memory->swap = *total;
    sources_.flag("linux.resources.memory.swap", "--memory-swap " + options_.memory_swap);
    return {};
  }

  std::expected<void, std::string> cpu() {
    const auto cpu = [&]() -> spec::Cpu& {
      if (!resources().cpu) resources().cpu.emplace();
      return *resources().cpu;
    };
    if (!options_.cpus.empty()) {
      const auto quota = parse_cpus(options_.cpus);
      if (!quota) return std::unexpected("--cpus: " + quota.error());
      cpu().quota = *quota;
      cpu().period = 100000;
      sources_.flag("linux.resources.cpu.quota", "--cpus " + options_.cpus);
      sources_.flag("linux.resources.cpu.period", "--cpus " + options_.cpus);
    }
    if (!options_.cpu_weight.empty()) {
      const auto weight = parse_whole(options_.cpu_weight, 1, 10000);
      if (!weight) return std::unexpected("--cpu-weight: " + weight.error());
      unified("cpu.weight", fmt::format("{}", *weight), "--cpu-weight " + options_.cpu_weight);
    }
    if (!options_.cpuset_cpus.empty()) {
      cpu().cpus = options_.cpuset_cpus;
      sources_.flag("linux.resources.cpu.cpus", "--cpuset-cpus " + options_.cpuset_cpus);
    }
    if (!options_.cpuset_mems.empty()) {
      cpu().mems = options_.cpuset_mems;
      sources_.flag("linux.resources.cpu.mems", "--cpuset-mems " + options_.cpuset_mems);
    }
    return {};
  }

  std::expected<void, std::string> pids() {
    if (options_.pids_limit.empty()) return {};
    if (!resources().pids) resources().pids.emplace();
    if (options_.pids_limit == "max" || options_.pids_limit == "-1" || options_.pids_limit == "0") {
      resources().pids->limit = -1;
    } else {
      const auto limit = parse_whole(options_.pids_limit, 1, 4194304);
      if (!limit) return std::unexpected("--pids-limit: " + limit.error());
      resources().pids->limit = *limit;
    }
    sources_.flag("linux.resources.pids.limit", "--pids-limit " + options_.pids_limit);
    return {};
  }

  std::expected<void, std::string> io() {
    if (!options_.io_weight.empty()) {
      const auto weight = parse_whole(options_.io_weight, 1, 10000);
      if (!weight) return std::unexpected("--io-weight: " + weight.error());
      unified("io.weight", fmt::format("default {}", *weight), "--io-weight " + options_.io_weight);
    }
    // Each use of --io-max names a device; the file takes one line a device, written as they come.
    for (const auto& [texts, file, flag] : {std::tuple(&options_.io_max, "io.max", "--io-max"),
                                            std::tuple(&options_.io_latency, "io.latency", "--io-latency")}) {
      std::string lines;
      for (const std::string& text : *texts) {
        if (text.find(':') == std::string::npos || text.find('=') == std::string::npos)
          return std::unexpected(
              fmt::format("{} \"{}\": write MAJOR:MINOR KEY=VALUE..., as in \"8:0 {}\"", flag, text,
                          std::string_view(file) == "io.max" ? "rbps=1048576" : "target=10000"));
        lines += (lines.empty() ? "" : "\n") + text;
      }
      if (!lines.empty()) unified(file, lines, fmt::format("{} \"{}\"", flag, texts->front()));
    }
    return {};
  }

  std::expected<void, std::string> raw() {
    for (const std::string& text : options_.cgroup_conf) {
      const size_t equals = text.find('=');
      if (equals == std::string::npos || equals == 0 || text.find('.') > equals)
        return std::unexpected(
            fmt::format("--cgroup-conf {}: write FILE=VALUE, as in memory.oom.group=1", text));
      unified(text.substr(0, equals), text.substr(equals + 1), "--cgroup-conf " + text);
    }
    return {};
  }

  const RunOptions& options_;
  spec::Spec& spec_;
  const FieldSources& sources_;
};

}  // namespace

bool can_bound_processes(const plan::HostFacts& facts) {
  return facts.cgroup.writable && facts.cgroup.can_hand_down("pids") &&
         std::ranges::find(facts.cgroup.controllers, "pids") != facts.cgroup.controllers.end();
}

std::expected<void, std::string> apply_resource_options(const RunOptions& options,
                                                        const plan::HostFacts& facts, spec::Spec& spec,
                                                        const FieldSources& sources) {
  if (!options.cgroup_parent.empty()) {
    const std::string& parent = options.cgroup_parent;
    if (parent.find("..") != std::string::npos)
      return std::unexpected(fmt::format("--cgroup-parent {}: the path must not hold \"..\"", parent));
    // Made here, it would stay behind: nobody could tell later whether it was there before.
    const std::string path =
        facts.cgroup.mount + (parent.starts_with('/') ? "" : facts.cgroup.parent + "/") + parent;
    if (!facts.cgroup.mount.empty() && !sys::stat_at(AT_FDCWD, path))
      return std::unexpected(
          fmt::format("--cgroup-parent {}: there is no cgroup {}: make it first", parent, path));
    spec.linux_->cgroupsPath = parent;  // make_request adds the container's own name
    sources.flag("linux.cgroupsPath", "--cgroup-parent " + parent);
  }
  if (auto done = Limits(options, spec, sources).apply(); !done) return done;
  if (options.pids_limit.empty() && can_bound_processes(facts)) {
    if (!spec.linux_->resources) spec.linux_->resources.emplace();
    spec.linux_->resources->pids = spec::Pids{.limit = kDefaultPidsLimit};
    sources.standard("linux.resources.pids.limit", "a bound on processes");
  }
  return {};
}

}  // namespace cloche::engine
