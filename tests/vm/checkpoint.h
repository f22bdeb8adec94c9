// Containers that count, for tests of `cloche-runtime checkpoint` and `restore` with the real criu(8), which needs a
// kernel that it knows: the guest's.
#pragma once

#include <poll.h>

#include <cstdlib>
#include <filesystem>
#include <optional>

#include "support/bundle.h"
#include "support/needs.h"
#include "vm/counters.h"

namespace cloche::test {

// Counts in memory; the file only shows it.
inline const std::string kCount =
    "i=0; while :; do i=$((i+1)); echo $i >/count.new; mv /count.new /count; sleep 0.1; done";
// The shell has the stream that it was given under another number for as long as that runs.
inline const std::string kCountElsewhere = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done >/count";

// Answers what is typed at its terminal, until it is interrupted.
inline const std::string kAnswer =
    "trap 'echo interrupted; exit 5' INT; while :; do read line && echo \"got $line\"; done";

class VmCheckpoint : public RuntimeTest {
 protected:
  Bundle counting(const std::string& script = kCount) {
    auto box = bundle({"sh", "-c", script});
    box.config.root->readonly = false;
    box.config.linux_->cgroupsPath = "/vm-checkpoint";
    box.config.linux_->resources.emplace();
    box.config.linux_->resources->pids = {.limit = 50};
    if (!std::filesystem::exists(box.rootfs() + "/bin/mv"))
      std::filesystem::create_symlink("busybox", box.rootfs() + "/bin/mv");
    return box;
  }
  static int64_t count(const Bundle& box) {
    std::string text = text_of(box.rootfs() + "/count");
    text.erase(text.rfind('\n') == std::string::npos ? 0 : text.rfind('\n'));
    const size_t line = text.rfind('\n');
    return std::strtoll(text.c_str() + (line == std::string::npos ? 0 : line + 1), nullptr, 10);
  }
  static bool counts_beyond(const Bundle& box, int64_t number) {
    for (int tries = 0; tries < 300; ++tries) {
      if (count(box) > number) return true;
      poll(nullptr, 0, 100);
    }
    return false;
  }
  [[nodiscard]] std::string images(const std::string& name = "images") { return scratch() + "/" + name; }
  Outcome checkpoint(std::vector<std::string> flags = {}) {
    std::vector<std::string> words{"checkpoint", "--image-path", images()};
    words.insert(words.end(), flags.begin(), flags.end());
    words.emplace_back("box");
    return runtime(std::move(words));
  }
  Outcome restore(const Bundle& box, const std::string& id = "box", std::vector<std::string> flags = {}) {
    box.write();
    std::vector<std::string> words{"restore",  "--detach",     "-no-subreaper", "--bundle",
                                   box.path(), "--image-path", images()};
    words.insert(words.end(), flags.begin(), flags.end());
    words.push_back(id);
    // Files, as its own streams were: criu gives back nothing else.
    std::vector<std::string> argv{
        "sh", "-c", "dir=$1; shift; exec \"$@\" </dev/null >\"$dir/out2\" 2>\"$dir/err2\"", "sh", scratch()};
    for (std::string& word : command(std::move(words))) argv.push_back(std::move(word));
    Outcome outcome = test::run({.argv = argv});
    outcome.err = text_of(scratch() + "/err2");
    return outcome;
  }
  Outcome restore_elsewhere(Bundle& box, std::vector<std::string> flags = {}) {
    box.config.linux_->cgroupsPath = "/vm-checkpoint-2";
    return restore(box, "other", std::move(flags));
  }
  void end(const std::string& id) {
    stop(id);
    EXPECT_TRUE(runtime({"delete", id}).ok());
    EXPECT_EQ(status(id), "");
  }
  // A box that answers, dumped in the foreground and restored there.
  void bring_over(const Bundle& box, std::optional<Running>& restored) {
    Running first({.argv = command({"run", "--bundle", box.path(), "box"})});
    first.send_input("one\n");
    ASSERT_TRUE(first.wait_for_output("got one")) << first.so_far().describe();
    const Outcome dumped = checkpoint();
    ASSERT_TRUE(dumped.ok()) << dumped.describe();
    EXPECT_EQ(first.finish().exit_code, 137);
    restored.emplace(
        Command{.argv = command({"restore", "--bundle", box.path(), "--image-path", images(), "box"})});
    restored->send_input("two\n");
    ASSERT_TRUE(restored->wait_for_output("got two")) << restored->so_far().describe();
  }
  static void interrupt(Running& answering) {
    answering.send_input("\x03");
    EXPECT_TRUE(answering.wait_for_output("interrupted"));
    EXPECT_EQ(answering.finish().exit_code, 5);
  }
  // Nothing of it: no state, no cgroup.
  void expect_gone() {
    EXPECT_EQ(status(), "");
    EXPECT_FALSE(std::filesystem::exists("/sys/fs/cgroup/vm-checkpoint"));
  }
};

}  // namespace cloche::test
