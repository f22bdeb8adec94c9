// An ordinary user for rootless tests, made when root runs them and removed when the program ends.
#pragma once

#include <string>

#include "support/command.h"

namespace cloche::test {

class TestUser {
 public:
  enum class SubordinateIds { kNone, kOneRange };

  // One of each sort per program, made at first use. Throws std::runtime_error with the tool's own words
  // where the machine cannot make one; see needs::test_user() for asking first.
  static TestUser& get(SubordinateIds ids = SubordinateIds::kOneRange);

  TestUser(const TestUser&) = delete;
  TestUser& operator=(const TestUser&) = delete;
  ~TestUser();

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] uid_t uid() const { return identity_.uid; }
  [[nodiscard]] gid_t gid() const { return identity_.gid; }
  [[nodiscard]] const std::string& home() const { return home_; }
  [[nodiscard]] const std::string& runtime_directory() const { return runtime_; }

  // `command` as this user: its ids, HOME, USER, XDG_RUNTIME_DIR, and its home as the working directory
  // unless the command names another.
  [[nodiscard]] Command command(Command command) const;
  [[nodiscard]] Outcome run(Command command) const { return test::run(this->command(std::move(command))); }
  [[nodiscard]] Outcome shell(const std::string& script) const { return run({.argv = {"sh", "-c", script}}); }

 private:
  explicit TestUser(SubordinateIds ids);

  std::string name_, home_, runtime_;
  Identity identity_;
  bool made_run_user_ = false;  // /run/user was not there before us
};

}  // namespace cloche::test
