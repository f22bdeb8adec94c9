// What a test needs of the machine. A test says it first; where it is not there, the test is skipped with the
// reason.
//   TEST_F(Limits, TheAllocationFails) {
//     CLOCHE_NEEDS(needs::root());
//     CLOCHE_NEEDS(needs::cgroup2_controller("memory"));
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <string>

namespace cloche::test::needs {

// Nothing where the need is met, else the reason: "root".
using Missing = std::optional<std::string>;

Missing root();
// An ordinary user: either we are one, or we can make one.
Missing test_user();
// newuidmap and newgidmap.
Missing id_map_helpers();
Missing user_namespaces();
Missing kernel(int major, int minor);
// A cgroup2 mount that we may make directories in.
Missing cgroup2();
// The controller is available on the root of a cgroup2 mount; the reason names where it is instead.
Missing cgroup2_controller(const std::string& name);
// An executable of that name in PATH.
Missing program(const std::string& name);
// One of our programs is part of this build.
Missing built(const std::string& name);
// The capability is in our bounding set ("CAP_SYS_RESOURCE", number 24: see capabilities(7)).
Missing capability(int number, const std::string& name);
// A kernel that keeps pressure stall information (CONFIG_PSI).
Missing pressure();
// A kernel with memory policies (CONFIG_NUMA); one node will do.
Missing numa();
// Disks that may be overwritten: the guest of the VM tests names them in CLOCHE_VM_DISKS.
Missing disks();

}  // namespace cloche::test::needs

#define CLOCHE_NEEDS(need) \
  if (const auto cloche_missing_ = (need)) GTEST_SKIP() << "needs " << *cloche_missing_
