// An OCI bundle for a test: a root file system with busybox in it, and a config to change.
#pragma once

#include <string>
#include <vector>

#include "spec/runtime.h"
#include "support/command.h"
#include "support/host_state.h"

namespace cloche::test {

class Bundle {
 public:
  // Makes DIRECTORY/rootfs; the config is the default one, without a terminal, running `args`.
  Bundle(std::string directory, std::vector<std::string> args);

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string rootfs() const { return path_ + "/rootfs"; }
  spec::Spec config;
  // Writes config.json. Called by RuntimeTest before each use.
  void write() const;
  // Something else in its place.
  void write_raw(const std::string& text) const;
  // A new user namespace in which container ids 0... are host ids `first`...
  void map_ids(uint32_t first, uint32_t count);

 private:
  std::string path_;
};

// Tests of cloche-runtime: containers live in a state directory of the test's own.
class RuntimeTest : public LeaksNothing {
 protected:
  void SetUp() override;
  void TearDown() override;

  Bundle bundle(std::vector<std::string> args, const std::string& name = "bundle");
  // The program and its global flags: cloche-runtime of this build.
  [[nodiscard]] virtual std::vector<std::string> runtime_program() const;
  // cloche-runtime --root ... WORDS...
  Outcome runtime(std::vector<std::string> words);
  [[nodiscard]] std::vector<std::string> command(std::vector<std::string> words) const;
  Outcome run(const Bundle& bundle, const std::string& id = "box");
  // The container keeps none of the test's pipes; what it writes is in `output()`.
  Outcome create(const Bundle& bundle, const std::string& id = "box", std::vector<std::string> flags = {});
  Outcome start_detached(const Bundle& bundle, const std::string& id = "box");
  std::string output();
  // Status 1 and one sentence on standard error, holding `text`.
  static void expect_refusal(const Outcome& outcome, const std::string& text);
  // Waits until that is in the output; false after the safety net.
  bool says(const std::string& text);
  // "running", or "" where `state` fails.
  std::string status(const std::string& id = "box");
  // Waits until the container has that status; false after the safety net.
  bool reaches(const std::string& status, const std::string& id = "box");
  // Kills the container and waits for its end.
  void stop(const std::string& id = "box");
  std::string state_root() { return scratch() + "/state"; }
  std::string member(const std::string& json, const std::string& jq_path);

 private:
  Outcome quietly(std::vector<std::string> words);
};

}  // namespace cloche::test
