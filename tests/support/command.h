// Runs a program the way a person or an engine would, and says what came of it.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "sys/fd.h"

namespace cloche::test {

// Every command carries this variable in its environment, with a value that is this test program's own, so
// that what it leaves running is found even if it detached.
inline constexpr char kMarkerVariable[] = "CLOCHE_TEST_RUN";
std::string marker();

struct Identity {
  uid_t uid = 0;
  gid_t gid = 0;
};

struct Command {
  std::vector<std::string> argv;       // argv[0] is looked up in PATH unless it has a slash
  std::vector<std::string> set_env{};  // "NAME=value", in addition to or instead of what is inherited
  bool clear_env = false;              // start from set_env alone (and the marker)
  std::string cwd{};                   // empty: inherited
  std::string input{};                 // what standard input holds before its end
  std::optional<Identity> as{};        // needs root; supplementary groups are dropped
  std::vector<int> ignore{};  // signals that it starts with ignored, by the kernel's numbers: 32 too
  // In a private mount namespace whose /sys/fs/cgroup is one cgroup2 mount, as on a machine without cgroup
  // v1. Needs root. Controllers that the machine keeps on v1 stay absent there.
  bool pure_cgroup2 = false;
  // A safety net, no part of any test: the process group is killed then, and the outcome says so.
  std::chrono::seconds limit{60};
};

// What the machine's cgroup2 is mounted with ("nsdelegate,memory_recursiveprot"). A mount of it in the host's cgroup
// namespace sets that anew for the whole tree (cgroup-v2.rst, "Mounting"): it has to ask for the same.
std::string cgroup2_options();

struct Outcome {
  int exit_code = -1;  // -1 if a signal ended it
  int signal = 0;
  bool timed_out = false;
  std::string out;
  std::string err;

  [[nodiscard]] bool ok() const { return exit_code == 0; }
  // For a failing assertion: EXPECT_TRUE(outcome.ok()) << outcome.describe().
  [[nodiscard]] std::string describe() const;
};

// A command under way. What is neither finished nor killed is killed with its process group by the
// destructor.
class Running {
 public:
  explicit Running(const Command& command);
  Running(Running&&) noexcept;
  Running& operator=(Running&&) = delete;
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  ~Running();

  [[nodiscard]] pid_t pid() const { return pid_; }
  // Both outputs so far.
  [[nodiscard]] const Outcome& so_far() const { return outcome_; }
  // Reads until standard output (or standard error) holds `text`; false if it ended, or the limit passed,
  // before.
  bool wait_for_output(const std::string& text);
  bool wait_for_error(const std::string& text);
  void send_input(const std::string& data);
  void close_input() { stdin_.reset(); }
  void signal(int number) const;
  // Closes standard input and waits for the end.
  Outcome finish();

 private:
  bool pump();  // one read of what is ready; false at the end of both outputs or at the limit
  void reap();

  pid_t pid_ = -1;
  bool reaped_ = false;
  std::string pending_input_;
  sys::Fd stdin_, stdout_, stderr_, pidfd_;
  std::chrono::steady_clock::time_point deadline_;
  Outcome outcome_;
};

Outcome run(const Command& command);
// run({.argv = {"sh", "-c", script}}).
Outcome shell(const std::string& script);
// The path of one of our programs in this build.
std::string program(const std::string& name);

}  // namespace cloche::test
