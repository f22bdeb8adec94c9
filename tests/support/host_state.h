// What a run could leave on the host, seen before and after it.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "sys/fd.h"

namespace cloche::test {

// One look at the host. Kinds: "mount" (a line of our mountinfo, with its propagation), "cgroup" (a directory
// of any cgroup2 mount we see; those of systemd's own units are not counted), "process" (descends from this
// test program, or carries its marker), "link" (a network interface of ours), "file" (in a runtime directory
// of Cloche's), "bpf" (a loaded device program), "hostname".
struct HostState {
  std::map<std::string, std::set<std::string>> things;

  static HostState take();
};

// What is there now and was not, and what was there and is gone: one line each.
std::vector<std::string> difference(const HostState& before, const HostState& after);

// Compares until nothing differs or `patience` is over: the kernel frees namespaces, mounts and programs
// after the exit that released them.
std::vector<std::string> left_behind(const HostState& before,
                                     std::chrono::milliseconds patience = std::chrono::seconds(2));

// Mount points of ours at or below `path`, in the order of their mounting.
std::vector<std::string> mounts_below(const std::string& path);

// Removes a directory with its content, detaching first what is mounted in it: a bind mount that a failing
// test left there may be the host's root. False, and nothing removed, if something stays mounted.
bool remove_tree(const std::string& path);

// The base of every integration test's fixture: takes the state at SetUp and fails at TearDown with what is
// left. A fixture that overrides these calls them: SetUp first, TearDown last. While a test runs, no other
// test program of this kind runs on the machine, since its containers would be taken for ours.
class LeaksNothing : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  // A directory for this test, gone with its content before the comparison. World-readable, since a
  // container's root is not the host's.
  const std::string& scratch();

 private:
  sys::Fd turn_;
  std::optional<HostState> before_;
  std::string scratch_;
};

}  // namespace cloche::test
