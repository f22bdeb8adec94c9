#include "kernel/capabilities.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/rlimits.h"

namespace cloche::kernel {
namespace {

TEST(Capabilities, NamesAndNumbers) {
  EXPECT_EQ(capability_name(Capability{0}), "CAP_CHOWN");
  EXPECT_EQ(capability_name(Capability{21}), "CAP_SYS_ADMIN");
  EXPECT_EQ(capability_name(Capability{40}), "CAP_CHECKPOINT_RESTORE");
  EXPECT_EQ(capability_name(Capability{41}), "CAP_41");
  for (int i = 0; i <= kLastNamedCapability; ++i)
    EXPECT_EQ(find_capability(capability_name(static_cast<Capability>(i))), static_cast<Capability>(i));
  EXPECT_EQ(find_capability("sys_admin"), Capability{21});
  EXPECT_EQ(find_capability("cap_Net_Raw"), Capability{13});
  EXPECT_EQ(find_capability(""), std::nullopt);
  EXPECT_EQ(find_capability("CAP_"), std::nullopt);
}

TEST(Capabilities, ListsAreSets) {
  const ParsedCapabilities parsed = parse_capabilities({"chown", "CAP_KILL", "CAP_NEWER"});
  EXPECT_EQ(parsed.set, (CapabilitySet{0, 5}));
  EXPECT_EQ(parsed.unknown, std::vector<std::string>{"CAP_NEWER"});
  EXPECT_EQ(parse_capabilities({"all"}).set, CapabilitySet::all_named());
  EXPECT_EQ(describe(parsed.set), "CAP_CHOWN,CAP_KILL");
  EXPECT_EQ(describe({}), "none");
  EXPECT_TRUE((CapabilitySet{0, 5}).contains(CapabilitySet{5}));
  EXPECT_EQ((CapabilitySet{0, 5}) - CapabilitySet{5}, CapabilitySet{0});
}

TEST(Capabilities, TheKernelIsAsked) {
  const auto last = last_capability();
  ASSERT_TRUE(last);
  EXPECT_GE(*last, 40) << "Linux 5.15 knows CAP_CHECKPOINT_RESTORE";
  ASSERT_TRUE(get_capabilities());
  ASSERT_TRUE(get_bounding());
}

// Runs `body` in a child, since what it gives away is gone; true if it returned true.
template <class Body>
bool in_child(const Body& body) {
  const pid_t child = fork();
  if (child == 0) _exit(body() ? 0 : 1);
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST(Capabilities, GivingAllAwayNeedsNoPrivilege) {
  EXPECT_TRUE(in_child([] {
    if (!set_ambient({}) || !set_capabilities({}, {}, {})) return false;
    const auto now = get_capabilities();
    const auto again = set_capabilities({0}, {0}, {});
    return now && now->permitted.empty() && now->effective.empty() && !again && again.error().code == EPERM &&
           again.error().call.contains("permitted=CAP_CHOWN");
  }));
}

TEST(Capabilities, BoundingAndAmbientAsAsked) {
  if (geteuid() != 0 || !get_capabilities()->effective.has(Capability{8}))
    GTEST_SKIP() << "needs CAP_SETPCAP";
  EXPECT_TRUE(in_child([] {
    const CapabilitySet keep{0, 5};
    const CapabilitySet before = *get_bounding();
    if (!drop_bounding(keep) || *get_bounding() != (before & keep)) return false;
    if (!set_capabilities(keep, keep, keep) || !set_ambient({5})) return false;
    const auto wrong = set_ambient({1});
    return get_capabilities()->permitted == keep && !wrong && wrong.error().code == EPERM;
  }));
}

TEST(Rlimits, NamesAndNumbers) {
  EXPECT_EQ(find_rlimit("RLIMIT_NOFILE"), 7);
  EXPECT_EQ(find_rlimit("nofile"), 7);
  EXPECT_EQ(find_rlimit("RLIMIT_COFFEE"), std::nullopt);
  EXPECT_EQ(rlimit_name(7), "RLIMIT_NOFILE");
  for (int i = 0; i < 16; ++i) EXPECT_EQ(find_rlimit(rlimit_name(i)), i);
}

TEST(Rlimits, ALoweredLimitBites) {
  EXPECT_TRUE(in_child([] {
    if (!set_rlimit(7, {.soft = 5, .hard = 5}) || get_rlimit(7) != ResourceLimit{.soft = 5, .hard = 5})
      return false;
    for (int i = 0; i < 16; ++i)
      if (dup(0) < 0) return errno == EMFILE;
    return false;
  }));
  const auto wrong = set_rlimit(7, {.soft = 6, .hard = 5});
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().call, "prlimit64(0, RLIMIT_NOFILE, {rlim_cur=6, rlim_max=5}, NULL)");
}

}  // namespace
}  // namespace cloche::kernel
