// Hooks: what each is given, and what comes of one that fails.
#include <filesystem>

#include "support/bundle.h"
#include "support/files.h"
#include "support/needs.h"

namespace cloche::test {
namespace {

class RuntimeHooks : public RuntimeTest {
 protected:
  static spec::Hook script(const std::string& text) {
    return {.path = "/bin/sh", .args = {"sh", "-c", text}, .env = {"PATH=/usr/bin:/bin"}, .timeout = {}};
  }
  spec::Hook note(const std::string& word) { return script("echo " + word + " >> " + scratch() + "/notes"); }
};

TEST_F(RuntimeHooks, PoststopTakesDownWhatAFailedCreationHadSetUp) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"nosuch"});
  box.config.hooks.emplace();
  box.config.hooks->createRuntime = {note("up")};
  box.config.hooks->poststop = {note("down")};
  EXPECT_EQ(create(box).exit_code, 1);
  EXPECT_EQ(text_of(scratch() + "/notes"), "up\ndown\n");
  std::filesystem::remove(scratch() + "/notes");
  EXPECT_EQ(run(box).exit_code, 1);
  EXPECT_EQ(text_of(scratch() + "/notes"), "up\ndown\n");
  std::filesystem::remove(scratch() + "/notes");
  box.config.process->args = {"true"};
  std::filesystem::create_directory(scratch() + "/pid");
  EXPECT_EQ(create(box, "box", {"--pid-file", scratch() + "/pid"}).exit_code, 1) << "a directory is there";
  EXPECT_EQ(text_of(scratch() + "/notes"), "up\ndown\n");
  EXPECT_FALSE(std::filesystem::exists(scratch() + "/pid.new"));
  EXPECT_EQ(status(), "");
}

TEST_F(RuntimeHooks, PoststopDoesNotRunWhereNoHookBegan) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"nosuch"});
  box.config.hooks.emplace();
  box.config.hooks->poststop = {note("down")};
  EXPECT_EQ(create(box).exit_code, 1);
  EXPECT_EQ(text_of(scratch() + "/notes"), "");
}

TEST_F(RuntimeHooks, TheErrorSaysWhyOneFailed) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"true"});
  box.config.hooks.emplace();
  box.config.hooks->createRuntime = {script("echo first >&2; printf 'why it\\033 failed\\n' >&2; exit 1")};
  const Outcome failed = create(box);
  EXPECT_EQ(failed.exit_code, 1);
  EXPECT_NE(failed.err.find("it ended with status 1 (stderr: why it? failed)"), std::string::npos)
      << failed.err;
  EXPECT_EQ(failed.err.find("first"), std::string::npos) << failed.err;
  box.config.hooks->createRuntime = {{.path = "/nosuch", .args = {}, .env = {}, .timeout = {}}};
  const Outcome missing = create(box);
  EXPECT_EQ(missing.exit_code, 1);
  EXPECT_NE(missing.err.find("createRuntime hook 1 of 1, /nosuch: "
                             "execve(\"/nosuch\") = -ENOENT (No such file or directory)"),
            std::string::npos)
      << missing.err;
  EXPECT_TRUE(missing.err.starts_with("cloche-runtime: ")) << missing.err;
}

TEST_F(RuntimeHooks, WhatOneSaysIsHandedOn) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"true"});
  box.config.hooks.emplace();
  box.config.hooks->createRuntime = {script("echo said >&2")};
  box.config.hooks->createRuntime[0].timeout = 2147483647;
  const Outcome outcome = run(box);
  EXPECT_TRUE(outcome.ok()) << outcome.describe();
  EXPECT_EQ(outcome.err, "said\n");
}

struct Stage {
  const char* name;
  std::vector<spec::Hook> spec::Hooks::* hooks;
};
constexpr Stage kStages[] = {
    {"prestart", &spec::Hooks::prestart},
    {"createRuntime", &spec::Hooks::createRuntime},
    {"createContainer", &spec::Hooks::createContainer},
    {"startContainer", &spec::Hooks::startContainer},
    {"poststart", &spec::Hooks::poststart},
    {"poststop", &spec::Hooks::poststop},
};

TEST_F(RuntimeHooks, EachHasItsArgumentsAndEnvironment) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"true"});
  // A place that has the same path on both sides.
  const std::string place = scratch() + "/place";
  std::filesystem::create_directory(place);
  box.config.mounts.push_back({.destination = place,
                               .type = "bind",
                               .source = place,
                               .options = {"bind"},
                               .uidMappings = {},
                               .gidMappings = {}});
  box.config.hooks.emplace();
  for (const auto& [name, hooks] : kStages)
    ((*box.config.hooks).*hooks) = {
        {.path = "/bin/sh",
         .args = {"sh", "-c", "echo \"$0|$1|$WORD|${HOME-unset}\" >>" + place + "/notes", name, "two  words"},
         .env = {std::string("WORD=of ") + name},
         .timeout = {}}};
  const Outcome outcome = run(box);
  EXPECT_TRUE(outcome.ok()) << outcome.describe();
  std::string expected;
  for (const Stage& stage : kStages)
    expected += stage.name + std::string("|two  words|of ") + stage.name + "|unset\n";
  EXPECT_EQ(text_of(place + "/notes"), expected);
}

TEST_F(RuntimeHooks, OnePastItsTimeoutIsKilled) {
  CLOCHE_NEEDS(needs::root());
  for (const auto& [name, hooks] : kStages) {
    auto box = bundle({"sleep", "1000"});
    auto& list = box.config.hooks.emplace().*hooks;
    list = {script("echo waiting >&2; exec sleep 1000")};
    list[0].timeout = 1;
    const Outcome created = create(box);
    std::string said = created.err;
    if (created.ok()) {
      const Outcome started = runtime({"start", "box"});
      said += started.err;
      if (started.ok()) stop();
      EXPECT_TRUE(reaches("stopped")) << name;
      said += runtime({"delete", "box"}).err;
    }
    EXPECT_TRUE(said.contains("killed after its timeout of 1 s (stderr: waiting)")) << name << ": " << said;
    EXPECT_TRUE(said.contains(std::string(name) + " hook")) << said;
    EXPECT_EQ(status(), "") << name;
  }
}

}  // namespace
}  // namespace cloche::test
