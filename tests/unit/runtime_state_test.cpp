// What is written down of a container, and what is read back.
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "runtime/json_text.h"
#include "runtime/lifecycle.h"
#include "runtime/process_mark.h"
#include "runtime/state.h"

namespace cloche::runtime {
namespace {

TEST(ProcessMark, ReadsTheStartBehindAnyName) {
  const std::string rest = " S 7 8 9 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 123456 18446744073709551615 0";
  for (const std::string name : {"sleep", "a b", ") R 1", "((", "x) Z"}) {
    const auto stat = parse_stat("42 (" + name + ")" + rest);
    ASSERT_TRUE(stat) << name;
    EXPECT_EQ(stat->state, 'S');
    EXPECT_EQ(stat->parent, 7);
    EXPECT_EQ(stat->flags, 4194304U);
    EXPECT_EQ(stat->start, 123456U);
  }
  for (const char* broken : {"", "42", "42 (x)", "42 (x) S", "42 (x) S 1 2 3", "42 (x) S a b c"})
    EXPECT_FALSE(parse_stat(broken)) << broken;
}

TEST(ProcessMark, ALineAndBack) {
  const ProcessMark mark{.pid = 17, .start = 99};
  EXPECT_EQ(parse_mark(to_line(mark)), mark);
  for (const char* broken : {"", "17", "x 1", "0 1", "-3 1"}) EXPECT_FALSE(parse_mark(broken)) << broken;
}

TEST(ProcessMark, TheSameNumberWithAnotherBirthIsNotAlive) {
  auto mark = mark_of(::getpid());
  ASSERT_TRUE(mark);
  EXPECT_TRUE(is_alive(*mark));
  mark->start += 1;
  EXPECT_FALSE(is_alive(*mark));
  EXPECT_EQ(open_marked(*mark).error().code, ESRCH);
}

// Its descriptors are closed before it is a zombie; a zombie is the end of it that can be held still.
TEST(ProcessMark, AProcessInItsExitIsEnding) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) ::pause(), ::_exit(0);
  const auto mark = mark_of(child);
  ASSERT_TRUE(mark);
  EXPECT_FALSE(is_ending(*mark));
  ::kill(child, SIGKILL);
  siginfo_t ended{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOWAIT), 0);
  EXPECT_TRUE(is_ending(*mark));
  EXPECT_FALSE(is_alive(*mark));
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_FALSE(is_ending(*mark)) << "nobody is";
}

TEST(SavedState, JsonAndBack) {
  SavedState state{
      .id = "box", .ociVersion = "1.2.0", .bundle = "/b \"x\"", .rootfs = "/b/\n", .created = timestamp()};
  state.annotations = {{"k", "v"}, {"\x01", "\xff"}};
  state.cgroup = "/sys/fs/cgroup/box";
  state.streams = {"file[1f:4]", "", "pipe:[7]"};
  state.undo = {{.kind = "kill-cgroup", .path = "/a", .text = "t"},
                {.kind = "remove-cgroup", .path = "/a", .text = "u"}};
  state.creator = {.pid = 5, .start = 6};
  const auto back = parse_state(to_json(state));
  ASSERT_TRUE(back) << back.error().message();
  EXPECT_EQ(back->bundle, state.bundle);
  EXPECT_EQ(back->rootfs, state.rootfs);
  EXPECT_EQ(back->annotations.at("\x01"), "\xef\xbf\xbd") << "what is no UTF-8 becomes U+FFFD";
  EXPECT_EQ(back->creator, state.creator);
  EXPECT_EQ(back->streams, state.streams);
  ASSERT_EQ(undo_actions(*back).size(), 2U);
  EXPECT_EQ(undo_actions(*back)[0].kind, plan::UndoAction::Kind::kill_cgroup);
  EXPECT_EQ(undo_actions(*back)[1].kind, plan::UndoAction::Kind::remove_cgroup);
  state.version = 2;
  EXPECT_FALSE(parse_state(to_json(state))) << "a later version's state is not guessed at";
  EXPECT_FALSE(parse_state("{\"id\": "));
}

TEST(SavedState, OfAnotherRuntimeIsRefused) {
  const auto runcs =
      parse_state(R"({"id": "box", "init_process_pid": 1, "config": {"rootfs": "/b/rootfs"}})");
  ASSERT_FALSE(runcs);
  EXPECT_EQ(runcs.error().message(), "it names no id or no bundle: another runtime's, or damaged");
}

class StateDirectory : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_NE(::mkdtemp(place_), nullptr); }
  void TearDown() override { std::filesystem::remove_all(place_); }
  [[nodiscard]] StateRoot root() const { return StateRoot(place_); }

 private:
  char place_[32] = "/tmp/cloche-state-XXXXXX";
};

TEST_F(StateDirectory, WhatCanBeWrittenCanBeRead) {
  const auto directory = root().make("box");
  ASSERT_TRUE(directory) << directory.error().message();
  SavedState state{.id = "box", .bundle = "/b"};
  state.annotations["k"] = std::string(1 << 20, '\x7f');  // 6 MiB as JSON
  ASSERT_TRUE(directory->write_state(state));
  const auto back = directory->read_state();
  ASSERT_TRUE(back) << back.error().message();
  EXPECT_TRUE(back->annotations == state.annotations);
}

TEST_F(StateDirectory, OneHoldsTheLock) {
  const auto one = root().make("box");
  const auto other = root().find("box");
  ASSERT_TRUE(one && other);
  {
    const auto lock = one->lock();
    ASSERT_TRUE(lock) << lock.error().message();
    EXPECT_EQ(other->lock(0).error().code, ETIMEDOUT);
  }
  EXPECT_TRUE(other->lock(0));
}

TEST_F(StateDirectory, TheLockIsOnTheDirectoryNotOnItsName) {
  const auto old = root().make("box");
  ASSERT_TRUE(old);
  ASSERT_TRUE(old->remove());
  EXPECT_EQ(old->lock().error().code, ENOENT);
  const auto next = root().make("box");
  ASSERT_TRUE(next);
  EXPECT_EQ(old->lock().error().code, ENOENT) << "it belongs to another container now";
  EXPECT_TRUE(next->lock());
}

TEST(ContainerId, IsOneNameOfAFile) {
  for (const std::string& id :
       {std::string("a"), std::string("A-9_+.x"), std::string("..a"), std::string(255, 'x')})
    EXPECT_FALSE(id_problem(id)) << id;
  for (const std::string& id :
       {std::string(), std::string("."), std::string(".."), std::string("a/b"), std::string("a b"),
        std::string("a\0b", 3), std::string("\xc3\xa4"), std::string(256, 'x')})
    EXPECT_TRUE(id_problem(id)) << id;
}

TEST(StateRoot, DefaultPlaces) {
  EXPECT_EQ(StateRoot::default_path(0, false, "/run/user/0"), "/run/cloche-runtime");
  EXPECT_EQ(StateRoot::default_path(5, false, "/run/user/5"), "/run/user/5/cloche-runtime");
  EXPECT_EQ(StateRoot::default_path(5, false, nullptr), "/tmp/cloche-runtime-5");
  EXPECT_EQ(StateRoot::default_path(5, false, "relative"), "/tmp/cloche-runtime-5");
  // A rootless engine's runtime.
  EXPECT_EQ(StateRoot::default_path(0, true, "/run/user/5"), "/run/user/5/cloche-runtime");
  EXPECT_EQ(StateRoot::default_path(0, true, nullptr), "/run/cloche-runtime");
}

TEST(Signals, NamesAndNumbers) {
  EXPECT_EQ(*parse_signal("9"), SIGKILL);
  EXPECT_EQ(*parse_signal("KILL"), SIGKILL);
  EXPECT_EQ(*parse_signal("SIGKILL"), SIGKILL);
  EXPECT_EQ(*parse_signal("sigterm"), SIGTERM);
  EXPECT_EQ(*parse_signal("RTMIN"), SIGRTMIN);
  EXPECT_EQ(*parse_signal("RTMIN+3"), SIGRTMIN + 3);
  EXPECT_EQ(*parse_signal("SIGRTMAX-1"), SIGRTMAX - 1);
  for (const char* wrong : {"", "SIG", "NOPE", "-1", "65", "9x", "RTMIN-1", "RTMIN+", "RTMIN+99"})
    EXPECT_FALSE(parse_signal(wrong)) << wrong;
}

TEST(JsonText, EscapesWhatMustBe) {
  EXPECT_EQ(json_string("a\"b\\c\n\t\x7f"), "\"a\\\"b\\\\c\\n\\u0009\\u007f\"");
  EXPECT_EQ(json_string("\xc3\xa4\xf0\x9f\x94\x94"), "\"\xc3\xa4\xf0\x9f\x94\x94\"");
  EXPECT_EQ(json_string("\xc0\x80\xed\xa0\x80"), "\"\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\"");
}

}  // namespace
}  // namespace cloche::runtime
