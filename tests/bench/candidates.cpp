#include "candidates.h"

#include <fmt/format.h>

#include <algorithm>

namespace cloche::bench {
namespace {

// A command of an OCI runtime: `crun --root DIR delete --force ID`.
Argv command(const Runtime& runtime, const Argv& words) {
  Argv argv = {runtime.program, "--root", "{state}"};
  argv.insert(argv.end(), words.begin(), words.end());
  return argv;
}

Candidate run_candidate(const Runtime& runtime, const std::string& bundle) {
  return {.name = runtime.name,
          .before = {},
          .measured = {command(runtime, {"run", "--bundle", bundle, "{id}"})},
          .after = {}};
}

Candidate lifecycle_candidate(const Runtime& runtime, const Stage& stage) {
  return {.name = runtime.name,
          .before = {},
          .measured = {command(runtime, {"create", "--bundle", stage.bundle, "{id}"}),
                       command(runtime, {"start", "{id}"}), command(runtime, {"delete", "--force", "{id}"})},
          .after = {}};
}

// One command at a container that runs.
Candidate running_candidate(const Runtime& runtime, const Stage& stage, const Argv& words) {
  return {.name = runtime.name,
          .before = {command(runtime, {"create", "--bundle", stage.pause_bundle, "{id}"}),
                     command(runtime, {"start", "{id}"})},
          .measured = {command(runtime, words)},
          .after = {command(runtime, {"delete", "--force", "{id}"})}};
}

// COUNT starts, AT_ONCE of them at a time.
Candidate many_candidate(const Runtime& runtime, const Stage& stage, int count, int at_once) {
  Argv argv{stage.directory + "/many", std::to_string(count), std::to_string(at_once)};
  for (std::string& word : command(runtime, {"run", "--bundle", stage.bundle, "{id}-{n}"}))
    argv.push_back(std::move(word));
  return {.name = runtime.name, .before = {}, .measured = {argv}, .after = {}};
}

// A start on an empty machine, and a start beside a thousand containers of the same runtime; the floor's beside them
// too, since what grows with the number of processes grows in the kernel for everybody.
Group crowd(const Runtime& runtime, const Stage& stage, const Candidate& floor) {
  const std::string count = "1000";
  const auto all_of_them = [&](const Argv& words) {
    Argv argv{stage.directory + "/many", count, "4"};
    for (std::string& word : command(runtime, words)) argv.push_back(std::move(word));
    return argv;
  };
  Candidate alone = run_candidate(runtime, stage.bundle), among = alone;
  alone.name = "alone";
  among.name = "among " + count;
  among.begin = {all_of_them({"run", "--detach", "--bundle", stage.pause_bundle, "{id}-{n}"})};
  among.end = {all_of_them({"delete", "--force", "{id}-{n}"})};
  Candidate floor_alone = floor, floor_among = floor;
  floor_alone.name = "floor alone";
  floor_among.name = "floor among " + count;
  floor_among.begin = among.begin;
  floor_among.end = among.end;
  return {
      .name = "crowd",
      .what = fmt::format("{}: a start while a thousand containers run, and while none does", runtime.name),
      .candidates = {alone, floor_alone, among, floor_among},
      .one_after_another = true};
}

std::vector<Runtime> runtimes(const Stage& stage, const std::string& programs,
                              const std::vector<Runtime>& peers, std::vector<std::string>& missing) {
  std::vector<Runtime> all{
      {"cloche-runtime", programs + "/cloche-runtime"}, {"crun", "crun"}, {"runc", "runc"}};
  all.insert(all.end(), peers.begin(), peers.end());
  std::vector<Runtime> found;
  for (const Runtime& wanted : all) {
    if (std::string program = install(stage, wanted.name, wanted.program); !program.empty())
      found.push_back({wanted.name, program});
    else
      missing.push_back(wanted.name);
  }
  return found;
}

}  // namespace

std::vector<Group> all_groups(const Stage& stage, const std::string& programs,
                              const std::vector<Runtime>& peers, std::vector<std::string>& missing) {
  const std::vector<Runtime> all = runtimes(stage, programs, peers, missing);
  Group run{"run", "a static `true` with the default configuration: run, until the command is back", {}};
  Group host{"host", "/bin/true on the host's own root file system", {}};
  Group lifecycle{"lifecycle", "the same container by create, start and delete", {}};
  Group exec{"exec", "one more process in a running container", {}};
  Group state{"state", "the state of a running container", {}};
  Group sequence{
      .name = "sequence", .what = "100 starts, one after another", .candidates = {}, .fewer_rounds = 10};
  Group parallel{.name = "parallel", .what = "64 starts at once", .candidates = {}, .fewer_rounds = 10};

  std::string floor = stage.directory + "/floor";
  const Candidate lowest{"floor", {}, {{floor, stage.bundle + "/rootfs"}}, {}};
  run.candidates.push_back(lowest);
  for (const Runtime& runtime : all) {
    run.candidates.push_back(run_candidate(runtime, stage.bundle));
    lifecycle.candidates.push_back(lifecycle_candidate(runtime, stage));
    exec.candidates.push_back(running_candidate(runtime, stage, {"exec", "{id}", "/true"}));
    state.candidates.push_back(running_candidate(runtime, stage, {"state", "{id}"}));
    sequence.candidates.push_back(many_candidate(runtime, stage, 100, 1));
    parallel.candidates.push_back(many_candidate(runtime, stage, 64, 64));
  }
  run.candidates.push_back({"fork+exec only", {}, {{floor, "--bare", stage.bundle + "/rootfs"}}, {}});

  if (std::string cloche = install(stage, "cloche", programs + "/cloche"); !cloche.empty())
    host.candidates.push_back({"cloche", {}, {{cloche, "run", "host", "--", "/bin/true"}}, {}});
  else
    missing.emplace_back("cloche");
  for (const Runtime& runtime : all)
    if (runtime.name != "cloche-runtime")
      host.candidates.push_back(run_candidate(runtime, stage.host_bundle));
  std::vector<Group> groups{run, host, lifecycle, exec, state, sequence, parallel};
  for (const Runtime& runtime : all)
    if (!runtime.name.starts_with("runc"))
      groups.push_back(crowd(runtime, stage, lowest));  // its thousand takes long
  return groups;
}

}  // namespace cloche::bench
