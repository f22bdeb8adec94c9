// What cloche-runtime says when it cannot: one sentence, status 1, and nothing left.
#include <algorithm>
#include <filesystem>
#include <fstream>

#include "spec/default_spec.h"
#include "support/bundle.h"
#include "support/needs.h"
#include "support/test_user.h"

namespace cloche::test {
namespace {

class RuntimeErrors : public RuntimeTest {
 protected:
  // And no container is left.
  void expect_refusal(const Outcome& outcome, const std::string& text) {
    RuntimeTest::expect_refusal(outcome, text);
    EXPECT_FALSE(std::filesystem::exists(state_root() + "/box"));
  }
  Outcome run_raw(const Bundle& box, const std::string& config) {
    box.write_raw(config);
    return runtime({"run", "--bundle", box.path(), "box"});
  }
};

TEST_F(RuntimeErrors, CommandsThatCannotBeRun) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"no-such-command"});
  expect_refusal(run(box), "executable file not found in $PATH");
  expect_refusal(create(box), "executable file not found in $PATH");
  box.config.process->args = {"/no/such/command"};
  expect_refusal(run(box), "No such file or directory");
  std::ofstream(box.rootfs() + "/bin/plain") << "text";
  box.config.process->args = {"/bin/plain"};
  expect_refusal(run(box), "ermission denied");
  std::filesystem::permissions(box.rootfs() + "/bin/plain", std::filesystem::perms(0755));
  expect_refusal(run(box), "neither an ELF program nor a script");
  std::ofstream(box.rootfs() + "/bin/script") << "#!/no/such/interpreter\n";
  std::filesystem::permissions(box.rootfs() + "/bin/script", std::filesystem::perms(0755));
  box.config.process->args = {"script"};
  expect_refusal(run(box), "is a script for /no/such/interpreter");
}

// Engines show any ENOENT of a runtime as a runtime that is not there: so the message says what is not.
TEST_F(RuntimeErrors, WhatIsMissingIsNamedByItsPath) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"no-such-command"});
  expect_refusal(run(box), R"("no-such-command" is in no directory of PATH)");
  box.config.process->args = {"/no/such/command"};
  expect_refusal(run(box), "/no/such/command: /no is not in the container");
  box.config.process->args = {"true"};
  const std::string source = scratch() + "/no-such-source";
  box.config.mounts.push_back(
      {.destination = "/mnt", .type = "bind", .source = source, .options = {"bind", "ro"}});
  expect_refusal(run(box), "there is no " + source + " on this host");
  box.config.mounts.pop_back();
  EXPECT_TRUE(run(box).ok());
  std::filesystem::rename(box.rootfs(), box.path() + "/elsewhere");
  expect_refusal(run(box), box.rootfs());
  std::filesystem::remove(box.path() + "/config.json");
  expect_refusal(runtime({"run", "--bundle", box.path(), "box"}), box.path() + "/config.json");
}

TEST_F(RuntimeErrors, AFailedExecIsReportedByStart) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"/bin/odd"});
  std::ofstream(box.rootfs() + "/bin/odd") << "text";
  std::filesystem::permissions(box.rootfs() + "/bin/odd", std::filesystem::perms(0755));
  ASSERT_TRUE(create(box).ok());
  const Outcome outcome = runtime({"start", "box"});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_NE(outcome.err.find("neither an ELF program nor a script"), std::string::npos) << outcome.err;
  EXPECT_TRUE(reaches("stopped"));
  EXPECT_TRUE(runtime({"delete", "box"}).ok());
}

TEST_F(RuntimeErrors, ConfigsThatAreNone) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"true"});
  expect_refusal(runtime({"run", "--bundle", scratch() + "/none", "box"}), "No such file or directory");
  expect_refusal(runtime({"run", "--bundle", box.path(), "box"}), "config.json");
  expect_refusal(run_raw(box, ""), "config.json");
  expect_refusal(run_raw(box, "{\"ociVersion\": \"1.2.0\", \"proc"), "config.json");
  expect_refusal(run_raw(box, R"({"ociVersion":"1.2.0","process":{"user":{"uid":"zero"}}})"),
                 "process.user.uid: expected a number, found a string");
  expect_refusal(run_raw(box, std::string(100'000, '[')), "config.json");
  expect_refusal(run_raw(box, "{\"annotations\":{\"a\":\"" + std::string(64 << 20, 'x') + "\"}}"),
                 "config.json");
  expect_refusal(run_raw(box, "{}"), "");
  std::filesystem::remove(box.path() + "/config.json");
  std::filesystem::create_directory(box.path() + "/config.json");
  expect_refusal(runtime({"run", "--bundle", box.path(), "box"}), "config.json");
}

TEST_F(RuntimeErrors, UnknownKeysAreWarnings) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"true"});
  box.write();
  ASSERT_TRUE(
      shell("cd " + box.path() + " && jq '.linux.resourcess = {}' config.json > new && mv new config.json")
          .ok());
  const Outcome outcome = runtime({"run", "--bundle", box.path(), "box"});
  EXPECT_TRUE(outcome.ok());
  EXPECT_NE(outcome.err.find("warning: config.json: linux.resourcess"), std::string::npos) << outcome.err;
}

TEST_F(RuntimeErrors, TheJsonLogHoldsExactlyOneObject) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"no-such-command"});
  box.write();
  ASSERT_TRUE(
      shell("cd " + box.path() + " && jq '.unknown = 1' config.json > new && mv new config.json").ok());
  const std::string log = scratch() + "/log";
  const Outcome outcome =
      runtime({"--log", log, "--log-format=json", "create", "--bundle", box.path(), "box"});
  EXPECT_EQ(outcome.exit_code, 1);
  std::ifstream file(log);
  const std::string text(std::istreambuf_iterator<char>(file), {});
  EXPECT_EQ(std::ranges::count(text, '\n'), 1) << text;
  EXPECT_EQ(member(text, ".level"), "error");
  EXPECT_NE(member(text, ".msg").find("executable file not found in $PATH"), std::string::npos) << text;
  EXPECT_EQ(member(text, "keys | join(\" \")"), "level msg time");
}

TEST_F(RuntimeErrors, ThePartsOfTheCommandLine) {
  expect_refusal(runtime({"bogus"}), "there is no command \"bogus\"");
  expect_refusal(runtime({"run", "--bogus", "box"}), "flag provided but not defined: -bogus");
  expect_refusal(runtime({"run", "--bundle"}), "flag needs an argument: -bundle");
  expect_refusal(runtime({"kill"}), "usage");
  expect_refusal(runtime({"run", "--preserve-fds", "x", "box"}), "--preserve-fds");
  EXPECT_TRUE(runtime({"--help"}).ok());
  for (const char* name : {"create", "start", "state", "kill", "delete", "run", "exec", "list", "ps", "pause",
                           "resume", "spec", "features"}) {
    const Outcome help = runtime({name, "--help"});
    EXPECT_TRUE(help.ok());
    EXPECT_NE(help.out.find(name), std::string::npos);
  }
  // Single dashes, values after "=", switches with values.
  EXPECT_EQ(runtime({"-log-format=json", "-debug=false", "--rootless=true", "list", "-format", "json"}).out,
            "[]\n");
  for (const char* help : {"-h", "-?", "--usage"})
    EXPECT_EQ(runtime({"kill", help}).out, runtime({"kill", "--help"}).out);
  EXPECT_EQ(runtime({"-V"}).out, runtime({"--version"}).out);
  const Outcome version = runtime({"--version"});
  EXPECT_TRUE(version.out.starts_with("cloche-runtime version ")) << version.out;
  EXPECT_NE(version.out.find("\ncommit: "), std::string::npos);
  EXPECT_NE(version.out.find("\nspec: 1.3.0\n"), std::string::npos);
}

TEST_F(RuntimeErrors, FeaturesAndSpecAreJson) {
  const Outcome features = runtime({"features"});
  EXPECT_TRUE(features.ok());
  EXPECT_EQ(features.err, "");
  EXPECT_EQ(member(features.out, ".linux.mountExtensions.idmap.enabled"), "true");
  EXPECT_EQ(member(features.out, ".linux.cgroup | [.v1, .v2, .systemd] | map(tostring) | join(\" \")"),
            "false true true");
  EXPECT_EQ(member(features.out, ".hooks | length"), "6");
  EXPECT_EQ(member(features.out, ".ociVersionMax"), "1.3.0");
  EXPECT_EQ(
      member(features.out, ".linux.memoryPolicy | [(.modes | length), (.flags | length)] | join(\" \")"),
      "7 3");
  EXPECT_EQ(member(features.out, ".linux.intelRdt | [.enabled, .schemata, .monitoring] | all"), "true");
  // Every member that the specification's features.md knows, and what is in those that are lists.
  EXPECT_EQ(
      member(features.out, "keys | join(\" \")"),
      "annotations hooks linux mountOptions ociVersionMax ociVersionMin potentiallyUnsafeConfigAnnotations");
  EXPECT_EQ(member(features.out, ".linux | keys | join(\" \")"),
            "apparmor capabilities cgroup intelRdt memoryPolicy mountExtensions namespaces netDevices "
            "seccomp selinux");
  EXPECT_EQ(member(features.out, ".linux.seccomp | keys | join(\" \")"),
            "actions archs enabled knownFlags operators supportedFlags");
  EXPECT_EQ(member(features.out, ".linux.namespaces | length"), "8");
  EXPECT_EQ(member(features.out, ".potentiallyUnsafeConfigAnnotations | join(\" \")"),
            "org.systemd.property.");
  const std::string directory = scratch();
  EXPECT_TRUE(runtime({"spec", "--bundle", directory}).ok());
  std::ifstream file(directory + "/config.json");
  EXPECT_EQ(member(std::string(std::istreambuf_iterator<char>(file), {}), ".ociVersion"), "1.2.0");
  expect_refusal(runtime({"spec", "--bundle", directory}), "is there already");
}

// The cgroup of a failed creation must not be another container's.
TEST_F(RuntimeErrors, ACgroupInUseIsRefusedAndLeftAlone) {
  CLOCHE_NEEDS(needs::root());
  CLOCHE_NEEDS(needs::cgroup2());
  auto first = bundle({"sleep", "1000"});
  first.config.linux_->cgroupsPath = "/cloche-test-shared";
  ASSERT_TRUE(start_detached(first, "first").ok());
  expect_refusal(run(first), "holds 1 process");
  EXPECT_EQ(status("first"), "running");
  EXPECT_TRUE(runtime({"delete", "-f", "first"}).ok());
}

// For an ordinary user newuidmap has the last word, and its own error is "write to uid_map failed".
TEST_F(RuntimeErrors, AnIdMapThatIsNotTheUsersNamesTheFileAndTheRange) {
  CLOCHE_NEEDS(needs::root());
  CLOCHE_NEEDS(needs::test_user());
  CLOCHE_NEEDS(needs::id_map_helpers());
  const TestUser& user = TestUser::get();
  auto box = bundle({"true"});
  box.config = spec::default_rootless_spec(user.uid(), user.gid());
  auto& system = *box.config.linux_;
  const std::string state = user.home() + "/state";
  const auto run_by_user = [&] {
    box.write();
    return user.run(
        {.argv = {program("cloche-runtime"), "--root", state, "run", "--bundle", box.path(), "box"}});
  };
  const spec::IDMapping foreign{.containerID = 0, .hostID = 4200000000, .size = 1000};
  system.uidMappings = {foreign};
  system.gidMappings = {{.containerID = 0, .hostID = user.gid(), .size = 1}};
  expect_refusal(run_by_user(),
                 "linux.uidMappings: host uids 4200000000-4200000999 are not the caller's to map: "
                 "/etc/subuid does not give them to " +
                     user.name());
  system.uidMappings = {{.containerID = 0, .hostID = user.uid(), .size = 1}};
  system.gidMappings = {foreign};
  expect_refusal(run_by_user(),
                 "linux.gidMappings: host gids 4200000000-4200000999 are not the caller's to map: "
                 "/etc/subgid does not give them to " +
                     user.name());
  EXPECT_FALSE(std::filesystem::exists(state + "/box"));
  std::filesystem::remove_all(state);
}

struct Failure {
  std::string name;
  std::vector<std::string> words;  // with "BUNDLE" for one that is right but for its command
  std::string reason;
  int exit_code = 1;
};

void PrintTo(const Failure& failure, std::ostream* out) { *out << failure.name; }

class RuntimeLogOfFailures : public RuntimeErrors, public ::testing::WithParamInterface<Failure> {};

TEST_P(RuntimeLogOfFailures, IsOneObjectWithTheReason) {
  CLOCHE_NEEDS(needs::root());
  const Failure& failure = GetParam();
  auto box = bundle({"no-such-command"});
  box.write();
  const std::string log = scratch() + "/log";
  std::vector<std::string> words{"--log", log, "--log-format", "json"};
  for (const std::string& word : failure.words) words.push_back(word == "BUNDLE" ? box.path() : word);
  const Outcome outcome = runtime(words);
  EXPECT_EQ(outcome.exit_code, failure.exit_code) << outcome.describe();
  std::ifstream file(log);
  const std::string text(std::istreambuf_iterator<char>(file), {});
  EXPECT_EQ(std::ranges::count(text, '\n'), 1) << text;
  EXPECT_EQ(member(text, ".level"), "error");
  EXPECT_EQ(member(text, "keys | join(\" \")"), "level msg time");
  const std::string message = member(text, ".msg");
  EXPECT_TRUE(message.contains(failure.reason)) << message;
  EXPECT_EQ(outcome.err, "cloche-runtime: " + message + "\n");
  EXPECT_FALSE(std::filesystem::exists(state_root() + "/box"));
}

INSTANTIATE_TEST_SUITE_P(
    Verbs, RuntimeLogOfFailures,
    ::testing::Values(
        Failure{"create", {"create", "-b", "BUNDLE", "box"}, "executable file not found in $PATH"},
        Failure{"create_without_bundle", {"create", "-b", "/no/such", "box"}, "/no/such"},
        Failure{"run", {"run", "-b", "BUNDLE", "box"}, "executable file not found in $PATH"},
        Failure{"run_descriptors", {"run", "--preserve-fds", "x", "-b", "BUNDLE", "box"}, "--preserve-fds"},
        Failure{"start", {"start", "box"}, "container does not exist"},
        Failure{"exec", {"exec", "box", "true"}, "container does not exist", 255},
        Failure{"exec_without_command", {"exec", "box"}, "which command?", 255},
        Failure{"kill", {"kill", "box"}, "container does not exist"},
        Failure{"kill_signal", {"kill", "box", "NO\"\\\n\tSUCH"}, "unknown signal"},
        Failure{"delete_", {"delete", "box"}, "container does not exist"},
        Failure{"delete_pattern", {"delete", "--regex", "("}, "is no regular expression"},
        Failure{"state", {"state", "box"}, "container does not exist"},
        Failure{"state_id", {"state", "../box"}, "invalid container id"},
        Failure{"pause", {"pause", "box"}, "container does not exist"},
        Failure{"update", {"update", "--pids-limit", "5", "box"}, "container does not exist"},
        Failure{"update_limit", {"update", "--memory", "much", "box"}, "\"much\" is not a size"},
        Failure{"restore", {"restore", "-b", "BUNDLE", "--image-path", "/no/such", "box"}, "/no/such"}),
    [](const auto& of) { return of.param.name; });

}  // namespace
}  // namespace cloche::test
