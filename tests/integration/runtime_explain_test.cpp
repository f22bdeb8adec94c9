// `explain`: the plan of a bundle, of a container that is there, and of one that could not be made.
#include <algorithm>
#include <filesystem>
#include <fstream>

#include "support/bundle.h"
#include "support/needs.h"

namespace cloche::test {
namespace {

class RuntimeExplain : public RuntimeTest {
 protected:
  static void expect_words(const std::string& text, const std::vector<std::string>& words) {
    for (const std::string& word : words)
      EXPECT_NE(text.find(word), std::string::npos) << "no \"" << word << "\" in:\n" << text;
  }
  std::string explained() {
    const Outcome outcome = runtime({"explain", "box"});
    EXPECT_TRUE(outcome.ok()) << outcome.describe();
    return outcome.out;
  }
  [[nodiscard]] size_t kept() {
    const std::filesystem::path directory = state_root() + "/@failed";
    if (!std::filesystem::exists(directory)) return 0;
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(directory), {}));
  }
};

TEST_F(RuntimeExplain, ABundleWithoutDoingAnything) {
  auto box = bundle({"true"});
  box.write();
  const Outcome text = runtime({"explain", "--bundle", box.path(), "box"});
  ASSERT_TRUE(text.ok()) << text.describe();
  expect_words(text.out, {"container box", "pivot-root", "wait for start", "linux.namespaces"});
  const Outcome json = runtime({"explain", "--bundle", box.path(), "--format", "json", "box"});
  EXPECT_EQ(member(json.out, ".schema"), "cloche.plan/1");
  EXPECT_EQ(member(json.out, "[.steps[].id] | index(\"pivot-root\") != null"), "true");
  const Outcome script = runtime({"explain", "--bundle", box.path(), "--format", "script", "box"});
  EXPECT_TRUE(script.out.starts_with("#!/bin/sh\n")) << script.out.substr(0, 80);
  EXPECT_FALSE(std::filesystem::exists(state_root()));
}

TEST_F(RuntimeExplain, AFailedCreation) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"true"});
  box.config.mounts.push_back(
      {.destination = "/data", .type = "bind", .source = "/no/such", .options = {"bind"}});
  box.write();
  const std::string log = scratch() + "/log";
  const Outcome failed =
      runtime({"--log", log, "--log-format", "json", "create", "--bundle", box.path(), "box"});
  EXPECT_EQ(failed.exit_code, 1);
  std::ifstream file(log);
  const std::string line(std::istreambuf_iterator<char>(file), {});
  EXPECT_EQ(std::ranges::count(line, '\n'), 1) << line;
  // Callers take away what they made, whatever the runtime said.
  ASSERT_TRUE(runtime({"delete", "--force", "box"}).ok());
  expect_words(explained(),
               {"could not create container \"box\"", "mount:/data: show the host's /no/such on /data",
                "config.json: mounts[", "open_tree(AT_FDCWD, \"/no/such\"", "-ENOENT", "mkdir -p /no/such",
                "not run", "1 failed", "undone\n  the container's process "});
  EXPECT_EQ(runtime({"list", "-q"}).out, "");
}

TEST_F(RuntimeExplain, AContainerAndItsLastFailedExec) {
  CLOCHE_NEEDS(needs::root());
  ASSERT_TRUE(start_detached(bundle({"sleep", "1000"})).ok());
  const std::string before = explained();
  expect_words(before, {"box is running", "container box, ", "sleep"});
  EXPECT_EQ(before.find("the last failure"), std::string::npos);
  EXPECT_EQ(runtime({"exec", "box", "no-such-command"}).exit_code, 255);
  expect_words(explained(), {"box is running", "the last failure", "could not exec in container \"box\"",
                             "no-such-command"});
  stop();
  EXPECT_TRUE(runtime({"delete", "box"}).ok());
}

TEST_F(RuntimeExplain, WhatIsKeptIsBounded) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"no-such-command"});
  constexpr int kTries = 40;
  for (int i = 0; i < kTries; ++i) EXPECT_EQ(run(box, "box" + std::to_string(i)).exit_code, 1);
  EXPECT_EQ(kept(), 32u);
  EXPECT_FALSE(runtime({"explain", "box0"}).ok());
  EXPECT_TRUE(runtime({"explain", "box39"}).ok());
  // One file for each id.
  EXPECT_EQ(run(box, "box39").exit_code, 1);
  EXPECT_EQ(kept(), 32u);
}

TEST_F(RuntimeExplain, WhatCannotBeExplained) {
  const auto expect_refusal = [&](std::vector<std::string> words, const std::string& text) {
    words.insert(words.begin(), "explain");
    const Outcome outcome = runtime(words);
    EXPECT_EQ(outcome.exit_code, 1) << outcome.describe();
    EXPECT_EQ(outcome.out, "");
    EXPECT_NE(outcome.err.find(text), std::string::npos) << outcome.err;
    EXPECT_EQ(std::ranges::count(outcome.err, '\n'), 1) << outcome.err;
  };
  expect_refusal({"box"}, "container does not exist, and no failure of one with this id is kept");
  expect_refusal({"../box"}, "invalid container id");
  expect_refusal({"--format", "yaml", "box"}, "--format: \"yaml\" is none of text, json and script");
  expect_refusal({"--bundle", scratch() + "/none", "box"}, "No such file or directory");
}

}  // namespace
}  // namespace cloche::test
