// cloche_bench: candidates measured beside each other in one run, round by round, on one stage.
#include <fmt/format.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "candidates.h"
#include "report.h"
#include "stage.h"

namespace cloche::bench {
namespace {

// Set by SIGINT and SIGTERM: what runs is cleaned up, and what was measured is printed.
volatile sig_atomic_t interrupted = 0;

struct Options {
  std::vector<std::string> groups = {"run"};
  std::vector<std::string> added;  // NAME=COMMAND: further candidates of the group run
  std::vector<std::string> peers;  // NAME=PROGRAM: further OCI runtimes
  size_t rounds = 60;
  size_t warm_up = 5;
  unsigned pause_ms = 3;
  std::string format = "table";
  bool realtime = true;
  StageOptions stage;
};

// The kernel frees namespaces after the command is back; the next candidate shall not pay for the last one's.
void rest(unsigned milliseconds) {
  const timespec time{.tv_sec = milliseconds / 1000, .tv_nsec = (milliseconds % 1000) * 1'000'000L};
  nanosleep(&time, nullptr);
}

void replace(std::string& text, std::string_view what, const std::string& by) {
  for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += by.size())
    text.replace(at, what.size(), by);
}

sys::Result<Sample> run_all(const Launcher& launcher, const std::vector<Argv>& commands,
                            const std::string& id, const std::string& state) {
  Sample sum;
  for (Argv argv : commands) {
    for (std::string& word : argv) {
      replace(word, "{id}", id);
      replace(word, "{state}", state);
    }
    auto sample = run_measured(launcher, argv);
    if (!sample) return sample;
    sum.wall_us += sample->wall_us;
    sum.cpu_us += sample->cpu_us;
    sum.peak_kib = std::max(sum.peak_kib, sample->peak_kib);
  }
  return sum;
}

class GroupRun {
 public:
  GroupRun(Group group, const Stage& stage, const Options& options)
      : group_(std::move(group)),
        stage_(stage),
        options_(options),
        samples_(group_.candidates.size()),
        failures_(group_.candidates.size()) {}

  Measured measure() {
    if (group_.one_after_another)
      for (size_t index = 0; index < samples_.size(); ++index) measure_all_of(index);
    else
      for (size_t round = 0; round < rounds() && interrupted == 0; ++round) measure_round(round);
    Measured measured{.group = group_.name, .what = group_.what, .names = {}, .samples = {}};
    for (size_t index = 0; index < samples_.size(); ++index) {
      if (!failures_[index].empty()) continue;
      measured.names.push_back(group_.candidates[index].name);
      measured.samples.push_back(samples_[index]);
    }
    return measured;
  }
  [[nodiscard]] const std::vector<std::string>& failures() const { return failures_; }

 private:
  [[nodiscard]] size_t warm_up() const { return group_.fewer_rounds == 1 ? options_.warm_up : 0; }
  [[nodiscard]] size_t rounds() const {
    return warm_up() + std::max<size_t>(1, options_.rounds / group_.fewer_rounds);
  }
  void measure_all_of(size_t index) {
    const Candidate& candidate = group_.candidates[index];
    const std::string id = fmt::format("{}{}", id_prefix(), ++serial_);
    if (auto begun = run_all(launcher(), candidate.begin, id, state_of(candidate)); !begun)
      failures_[index] = fmt::format("{} {}: {}", group_.name, candidate.name, begun.error().message());
    for (size_t round = 0; round < rounds(); ++round) keep(index, round);
    // Also after a failure, so that nothing keeps running.
    if (auto ended = run_all(launcher(), candidate.end, id, state_of(candidate));
        !ended && failures_[index].empty())
      failures_[index] = fmt::format("{} {}: {}", group_.name, candidate.name, ended.error().message());
  }
  // Each round begins with another candidate, so that none always follows the same one.
  void measure_round(size_t round) {
    for (size_t offset = 0; offset < samples_.size(); ++offset) {
      keep((round + offset) % samples_.size(), round);
    }
  }
  void keep(size_t index, size_t round) {
    if (!failures_[index].empty() || interrupted != 0) return;
    auto sample = measure_once(group_.candidates[index]);
    if (!sample)
      failures_[index] =
          fmt::format("{} {}: {}", group_.name, group_.candidates[index].name, sample.error().message());
    else if (round >= warm_up())
      samples_[index].push_back(*sample);
  }
  [[nodiscard]] Launcher launcher() const {
    return {.program = stage_.directory + "/launch", .error_log = stage_.directory + "/stderr"};
  }
  [[nodiscard]] std::string state_of(const Candidate& candidate) const {
    std::string state = fmt::format("{}/state-{}", stage_.directory, candidate.name);
    std::filesystem::create_directories(state);
    return state;
  }
  sys::Result<Sample> measure_once(const Candidate& candidate) {
    std::string id = fmt::format("{}{}", id_prefix(), ++serial_);
    const std::string state = state_of(candidate);
    auto sample = run_all(launcher(), candidate.before, id, state);
    rest(options_.pause_ms);
    if (sample) sample = run_all(launcher(), candidate.measured, id, state);
    // Also after a failure, so that nothing keeps running.
    auto cleaned = run_all(launcher(), candidate.after, id, state);
    rest(options_.pause_ms);
    if (sample && !cleaned) return cleaned;
    return sample;
  }

  Group group_;
  const Stage& stage_;
  const Options& options_;
  std::vector<std::vector<Sample>> samples_;
  std::vector<std::string> failures_;  // by candidate; empty: none
  static inline unsigned serial_ = 0;
};

// "no-net={floor} --skip net {rootfs}" is a candidate called no-net.
void add_candidates(Group& run, const Stage& stage, const std::vector<std::string>& added) {
  for (const std::string& row : added) {
    size_t equals = std::min(row.find('='), row.size());
    std::string words = equals < row.size() ? row.substr(equals + 1) : "";
    Argv argv;
    for (size_t at = 0; at < words.size();) {
      size_t end = std::min(words.find(' ', at), words.size());
      std::string word = words.substr(at, end - at);
      replace(word, "{floor}", stage.directory + "/floor");
      replace(word, "{bundle}", stage.bundle);
      replace(word, "{rootfs}", stage.bundle + "/rootfs");
      argv.push_back(word);
      at = end + 1;
    }
    if (!argv.empty()) run.candidates.push_back({row.substr(0, equals), {}, {argv}, {}});
  }
}

int measure_and_print(const Stage& stage, const Options& options) {
  std::vector<std::string> missing;
  std::vector<std::string> failures;
  std::vector<Measured> measured;
  std::vector<std::string> notes = stage.notes;
  std::vector<Runtime> peers;
  for (const std::string& peer : options.peers)
    if (const size_t equals = peer.find('='); equals != std::string::npos)
      peers.push_back({peer.substr(0, equals), peer.substr(equals + 1)});
  for (Group& group : all_groups(stage, options.stage.programs, peers, missing)) {
    if (std::ranges::find(options.groups, group.name) == options.groups.end()) continue;
    if (group.name == "run") add_candidates(group, stage, options.added);
    fmt::print(stderr, "measuring: {}\n", group.name);
    GroupRun run(group, stage, options);
    measured.push_back(run.measure());
    for (const std::string& failure : run.failures())
      if (!failure.empty()) failures.push_back(failure);
  }
  for (const std::string& name : missing)
    notes.push_back(fmt::format("SKIPPED {}: not installed or not built", name));
  for (const std::string& failure : failures) notes.push_back(fmt::format("FAILED {}", failure));
  fmt::print("{}", options.format == "json" ? as_json(measured, notes) : as_table(measured, notes));
  for (const std::string& note : notes)
    if (options.format == "json" || note.starts_with("SKIPPED") || note.starts_with("FAILED"))
      fmt::print(stderr, "{}\n", note);
  return failures.empty() ? 0 : 1;
}

int run_benchmark(int argc, char** argv) {
  Options options;
  CLI::App app{"Start-up time and memory beside crun, runc and the floor, as ratios of one run"};
  app.add_option("--groups", options.groups,
                 "what is measured: run, host, lifecycle, exec, state, sequence, parallel, crowd")
      ->delimiter(',')
      ->check(CLI::IsMember({"run", "host", "lifecycle", "exec", "state", "sequence", "parallel", "crowd"}))
      ->capture_default_str();
  app.add_option("--rounds", options.rounds, "measured rounds")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  app.add_option("--warm-up", options.warm_up, "rounds before, not measured")->capture_default_str();
  app.add_option("--pause", options.pause_ms, "milliseconds between two commands")->capture_default_str();
  app.add_option(
      "--add", options.added,
      "NAME=COMMAND: one more candidate in the group run; {floor}, {rootfs}, {bundle}, {id} and {state} are "
      "replaced");
  app.add_option("--peer", options.peers, "NAME=PROGRAM: one more OCI runtime in all groups")
      ->check([](const std::string& word) {
        return word.contains('=') ? "" : "\"" + word + "\" is not NAME=PROGRAM";
      });
  app.add_option("--format", options.format)->check(CLI::IsMember({"table", "json"}))->capture_default_str();
  app.add_flag("!--no-realtime", options.realtime, "ordinary scheduling instead of SCHED_FIFO");
  CLI11_PARSE(app, argc, argv);

  options.stage.programs = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  options.stage.realtime = options.realtime;
  for (const char* name : {"runc", "crun"})
    if (options.stage.spec_writer.empty()) options.stage.spec_writer = find_program(name);
  if (options.stage.spec_writer.empty()) {
    fmt::print(stderr, "cloche_bench: neither runc nor crun is installed: nothing to compare with\n");
    return 1;
  }
  auto stage = enter_stage(options.stage);
  if (!stage) {
    fmt::print(stderr, "cloche_bench: {}\n", stage.error().message());
    return 1;
  }
  struct sigaction stop = {};
  stop.sa_handler = [](int) { interrupted = 1; };
  stop.sa_flags = SA_RESTART;
  sigaction(SIGINT, &stop, nullptr);
  sigaction(SIGTERM, &stop, nullptr);
  int status = measure_and_print(*stage, options);
  leave_stage(*stage);
  return status;
}

}  // namespace
}  // namespace cloche::bench

int main(int argc, char** argv) {
  try {
    return cloche::bench::run_benchmark(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "cloche_bench: {}\n", error.what());
    return 1;
  }
}
