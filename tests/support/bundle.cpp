#include "support/bundle.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "spec/default_spec.h"
#include "spec/write.h"

namespace cloche::test {
namespace fs = std::filesystem;

Bundle::Bundle(std::string directory, std::vector<std::string> args)
    : config(spec::default_spec()), path_(std::move(directory)) {
  fs::create_directories(rootfs() + "/bin");
  fs::create_directories(rootfs() + "/etc");
  const std::string busybox = shell("command -v busybox").out;
  fs::copy_file(busybox.substr(0, busybox.find('\n')), rootfs() + "/bin/busybox",
                fs::copy_options::skip_existing);
  for (const char* name :
       {"sh", "true", "cat", "sleep", "id", "ls", "echo", "kill", "hostname", "tty", "stty", "touch"})
    if (!fs::exists(fs::symlink_status(rootfs() + "/bin/" + name)))
      fs::create_symlink("busybox", rootfs() + "/bin/" + name);
  config.process->terminal = false;
  config.process->args = std::move(args);
}

void Bundle::write() const { write_raw(spec::to_json(config)); }

void Bundle::write_raw(const std::string& text) const {
  std::ofstream(path_ + "/config.json", std::ios::binary | std::ios::trunc) << text;
}

void Bundle::map_ids(uint32_t first, uint32_t count) {
  config.linux_->namespaces.push_back({.type = "user", .path = {}});
  config.linux_->uidMappings =
      config.linux_->gidMappings = {{.containerID = 0, .hostID = first, .size = count}};
  // Mount points are made by the container's root.
  shell(fmt::format("chown -Rh {0}:{0} {1}", first, rootfs()));
}

void RuntimeTest::SetUp() { LeaksNothing::SetUp(); }

void RuntimeTest::TearDown() {
  // What a failing test left: the comparison afterwards is about what cannot be deleted.
  if (fs::exists(state_root())) {
    std::istringstream ids(runtime({"list", "-q"}).out);
    for (std::string id; std::getline(ids, id);) runtime({"delete", "--force", id});
  }
  LeaksNothing::TearDown();
}

Bundle RuntimeTest::bundle(std::vector<std::string> args, const std::string& name) {
  return {scratch() + "/" + name, std::move(args)};
}

std::vector<std::string> RuntimeTest::runtime_program() const { return {program("cloche-runtime")}; }

std::vector<std::string> RuntimeTest::command(std::vector<std::string> words) const {
  std::vector<std::string> argv = runtime_program();
  argv.insert(argv.end(), {"--root", const_cast<RuntimeTest*>(this)->state_root()});
  argv.insert(argv.end(), words.begin(), words.end());
  return argv;
}

Outcome RuntimeTest::runtime(std::vector<std::string> words) {
  return test::run({.argv = command(std::move(words))});
}

Outcome RuntimeTest::run(const Bundle& bundle, const std::string& id) {
  bundle.write();
  return runtime({"run", "--bundle", bundle.path(), id});
}

Outcome RuntimeTest::quietly(std::vector<std::string> words) {
  std::vector<std::string> argv{"sh",
                                "-c",
                                "out=$1; err=$2; shift 2; exec \"$@\" </dev/null >\"$out\" 2>\"$err\"",
                                "sh",
                                scratch() + "/out",
                                scratch() + "/err"};
  for (std::string& word : command(std::move(words))) argv.push_back(std::move(word));
  Outcome outcome = test::run({.argv = argv});
  std::ifstream file(scratch() + "/err");
  outcome.err.assign(std::istreambuf_iterator<char>(file), {});
  return outcome;
}

Outcome RuntimeTest::create(const Bundle& bundle, const std::string& id, std::vector<std::string> flags) {
  bundle.write();
  std::vector<std::string> words{"create", "--bundle", bundle.path()};
  words.insert(words.end(), flags.begin(), flags.end());
  words.push_back(id);
  return quietly(std::move(words));
}

Outcome RuntimeTest::start_detached(const Bundle& bundle, const std::string& id) {
  bundle.write();
  return quietly({"run", "--detach", "--bundle", bundle.path(), id});
}

std::string RuntimeTest::output() {
  std::ifstream file(scratch() + "/out");
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string RuntimeTest::member(const std::string& json, const std::string& jq_path) {
  const Outcome outcome = test::run({.argv = {"jq", "-r", jq_path}, .input = json});
  return outcome.ok() ? outcome.out.substr(0, outcome.out.find_last_not_of('\n') + 1) : "not JSON: " + json;
}

std::string RuntimeTest::status(const std::string& id) {
  const Outcome outcome = runtime({"state", id});
  return outcome.ok() ? member(outcome.out, ".status") : "";
}

void RuntimeTest::expect_refusal(const Outcome& outcome, const std::string& text) {
  EXPECT_EQ(outcome.exit_code, 1) << outcome.describe();
  EXPECT_TRUE(outcome.err.starts_with("cloche-runtime: ")) << outcome.err;
  EXPECT_EQ(std::ranges::count(outcome.err, '\n'), 1) << outcome.err;
  EXPECT_NE(outcome.err.find(text), std::string::npos) << outcome.err;
}

bool RuntimeTest::says(const std::string& text) {
  for (int tries = 0; tries < 1000; ++tries) {
    if (output().find(text) != std::string::npos) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

bool RuntimeTest::reaches(const std::string& wanted, const std::string& id) {
  for (int tries = 0; tries < 1000; ++tries) {
    if (status(id) == wanted) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

void RuntimeTest::stop(const std::string& id) {
  EXPECT_TRUE(runtime({"kill", id, "KILL"}).ok());
  EXPECT_TRUE(reaches("stopped", id));
}

}  // namespace cloche::test
