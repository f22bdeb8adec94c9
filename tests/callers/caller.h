// Programs that call the runtime, configured by the very lines of docs/callers.md.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "support/command.h"
#include "support/host_state.h"
#include "support/systemd_nest.h"

namespace cloche::test {

// The content of the code block in docs/callers.md that follows a line with `name` in back quotes and a colon at its
// end. Throws std::runtime_error if there is none.
std::string documented(const std::string& name);

// Puts this program where the callers can be configured as a user does it: in a mount namespace of its own with
// cgroup v2 alone, an /etc whose changes are nobody else's, an empty /run and an empty /usr/local. Then runs the
// lines that install the runtime.
void enter_world();

// Waits until `holds` returns true; false after two minutes.
template <class Condition>
bool wait_until(Condition holds) {
  for (int tries = 0; tries < 1200; ++tries) {
    if (holds()) return true;
    shell("sleep 0.1");
  }
  return false;
}

// What every caller's tests share. Each test has a network namespace of its own, with lo alone. An image "box" is a busybox with the users root and app (1000).
class CallerTest : public LeaksNothing {
 protected:
  void SetUp() override;
  void TearDown() override;
  // With a systemd and its bus of the test's own: what is called runs beside it, what stays is a service of it.
  [[nodiscard]] virtual bool with_systemd() const { return false; }
  [[nodiscard]] const SystemdNest& systemd() const { return *nest_; }

  // A shell's command line.
  Outcome call(const std::string& script) const;
  // The same on a terminal of 33 rows and 77 columns; standard error is part of the output.
  Outcome call_on_terminal(const std::string& script) const;
  // Without the line's end.
  [[nodiscard]] std::string line_of(const std::string& script) const;

  // The image's files as an archive, as a directory, and as an OCI image, whose command is a list in JSON without its
  // brackets.
  std::string image_directory();
  std::string image_archive();
  std::string oci_archive(const std::string& command = "\"sh\"");

  void write_file(const std::string& path, const std::string& text) const;
  // A program that runs until the test's end; `is_ready` is a command that succeeds when it can be used. What it
  // writes is in scratch()/daemon.log.
  void start_daemon(const std::string& command, const std::string& is_ready);
  // For every command that follows.
  void set_env(const std::string& entry) { environment_.push_back(entry); }

 private:
  [[nodiscard]] Command in_place(std::vector<std::string> argv) const;
  void start_systemd();
  void stop_daemon();

  std::vector<std::string> environment_;
  sys::Fd machine_network_;
  std::set<std::string> inherited_;  // cgroups that were there before us
  std::unique_ptr<Running> daemon_;
  std::unique_ptr<SystemdNest> nest_;
};

}  // namespace cloche::test
