// What the tests of failures share: programs that cannot be run, and the parts of a failure's text.
#pragma once

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "support/command.h"
#include "support/host_state.h"
#include "support/needs.h"
#include "support/test_user.h"

namespace cloche::test {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// A failure as a person reads it, one space for every run of white space.
struct Said {
  int exit_code;
  std::string cause;   // of the first line
  std::string step;    // the step's id
  std::string call;    // a part of the call with its arguments
  std::string error;   // errno by name
  std::string remedy;  // a part of it
};

class Failure : public LeaksNothing {
 protected:
  // A copy that an ordinary user and a container can reach, wherever the build is.
  std::string cloche() {
    const std::string copy = scratch() + "/cloche";
    if (!std::filesystem::exists(copy)) std::filesystem::copy_file(program("cloche"), copy);
    return copy;
  }

  Outcome cloche_run(std::vector<std::string> words) {
    words.insert(words.begin(), {cloche(), "run"});
    return run({.argv = std::move(words)});
  }
  // As a user without subordinate ids: the container's root is the user itself.
  Outcome user_shell(const std::string& script) {
    return TestUser::get(TestUser::SubordinateIds::kNone).shell(script);
  }

  std::string file(const std::string& name, const std::string& content, int mode) {
    const std::string path = scratch() + "/" + name;
    std::ofstream(path, std::ios::binary) << content;
    std::filesystem::permissions(path, static_cast<std::filesystem::perms>(mode));
    return path;
  }

  static std::string flat(const std::string& text) {
    std::string one;
    for (const char c : text) {
      const char d = c == '\n' ? ' ' : c;
      if (d != ' ' || (!one.empty() && one.back() != ' ')) one += d;
    }
    return one;
  }

  static void expect(const Outcome& outcome, const Said& said) {
    const std::string text = flat(outcome.err);
    EXPECT_EQ(outcome.exit_code, said.exit_code) << outcome.describe();
    EXPECT_EQ(outcome.out, "");
    EXPECT_THAT(text, StartsWith("cloche: "));
    const size_t details = text.find(" step ");
    ASSERT_NE(details, std::string::npos) << text;
    EXPECT_THAT(text.substr(0, details), HasSubstr(said.cause));
    EXPECT_THAT(text, ::testing::ContainsRegex(fmt::format(" step [0-9]+ of [0-9]+, {}: ", said.step)));
    EXPECT_THAT(text, HasSubstr(" for "));
    const size_t call = text.find(" call "), remedy = text.find(" remedy ");
    ASSERT_LT(call, remedy) << text;
    ASSERT_NE(remedy, std::string::npos) << text;
    EXPECT_THAT(text.substr(call, remedy - call), HasSubstr(said.call));
    EXPECT_THAT(text.substr(call, remedy - call), HasSubstr(said.error));
    EXPECT_THAT(text.substr(remedy), HasSubstr(said.remedy));
  }

  // What is refused before anything is done: one sentence.
  static void expect_refused(const Outcome& outcome, const std::vector<std::string>& parts) {
    EXPECT_EQ(outcome.exit_code, 125) << outcome.describe();
    EXPECT_THAT(outcome.err, StartsWith("cloche: "));
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
    for (const std::string& part : parts) EXPECT_THAT(outcome.err, HasSubstr(part));
  }
};

}  // namespace cloche::test
