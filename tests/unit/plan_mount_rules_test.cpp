// The planner's rules of mounts that carry more than a place: what a tmpfs begins with, what label a mount has.
#include "plan/catalog.h"
#include "plan_requests.h"

namespace cloche::plan {
namespace {

using test::basic;
using test::find;
using test::os;
using test::refusal;
using test::says;

HostFacts selinux_host() {
  HostFacts host = test::root_host();
  host.apparmor = false;
  host.selinux = true;
  return host;
}

TEST(PlanCopyUp, ATmpfsBeginsWithWhatItCovers) {
  auto request = basic();
  request.spec.mounts = {{"/run", "tmpfs", "tmpfs", {"rw", "tmpcopyup", "size=1m", "nodev"}, {}, {}},
                         {"/tmp", "tmpfs", "tmpfs", {}, {}, {}}};
  const auto plan = make_plan(request, test::root_host());
  ASSERT_TRUE(plan) << plan.error().sentence;
  const auto* run = find<MountFs>(*plan, "mount:/run");
  EXPECT_EQ(run->contents, "copied");
  EXPECT_EQ(run->options, Strings{"size=1m"}) << "the kernel's tmpfs knows no tmpcopyup";
  EXPECT_EQ(find<MountFs>(*plan, "mount:/tmp")->contents, std::nullopt);
  EXPECT_EQ(describe(plan->steps[plan->find("mount:/run")]),
            "mount a new tmpfs on /run (nodev, size=1m), with a copy of what is there");
}

TEST(PlanCopyUp, IsForATmpfsAlone) {
  for (const auto& [type, option] : {std::pair("ramfs", "ro"), {"bind", "ro"}, {"tmpfs", "bind"}}) {
    auto request = basic();
    request.spec.mounts = {{"/a", type, "/x", {option, "tmpcopyup"}, {}, {}}};
    EXPECT_TRUE(says(refusal(request), {"mounts[0].options", "tmpcopyup", "tmpfs"})) << type;
  }
}

// What one mount of it sets is the whole tree's: cgroup-v2.rst, "Mounting".
TEST(PlanCgroupMount, TakesNothingFromTheHostsTree) {
  auto request = basic();
  request.spec.mounts = {
      {"/sys/fs/cgroup", "cgroup", "cgroup", {"ro", "memory_localevents", "name=x"}, {}, {}}};
  auto host = test::root_host();
  host.cgroup.options = {"rw", "seclabel", "nsdelegate", "memory_recursiveprot"};
  const auto options = [&] {
    const auto plan = make_plan(request, host);
    return plan ? find<MountFs>(*plan, "mount:/sys/fs/cgroup")->options : Strings{"refused"};
  };
  std::erase_if(os(request).namespaces, [](const auto& entry) { return entry.type == "cgroup"; });
  EXPECT_EQ(options(), (Strings{"memory_localevents", "nsdelegate", "memory_recursiveprot"}));
  os(request).namespaces.push_back({.type = "cgroup", .path = {}});
  EXPECT_EQ(options(), Strings{"memory_localevents"}) << "in a namespace of its own it sets none";
}

TEST(PlanMountLabel, GoesToWhatIsMadeForTheContainer) {
  const std::string label = "system_u:object_r:container_file_t:s0:c1,c2";
  auto request = basic();
  os(request).mountLabel = label;
  os(request).maskedPaths = {"/proc/kcore"};
  request.spec.mounts = {{"/proc", "proc", "proc", {}, {}, {}},
                         {"/sys", "sysfs", "sysfs", {}, {}, {}},
                         {"/sys/fs/cgroup", "cgroup", "cgroup", {}, {}, {}},
                         {"/dev/pts", "devpts", "devpts", {}, {}, {}},
                         {"/dev/mqueue", "mqueue", "mqueue", {}, {}, {}},
                         {"/tmp", "tmpfs", "tmpfs", {}, {}, {}},
                         {"/own", "tmpfs", "tmpfs", {"context=its_own"}, {}, {}}};
  const auto plan = make_plan(request, selinux_host());
  ASSERT_TRUE(plan) << plan.error().sentence;
  for (const char* id : {"mount:/dev", "mount:/dev/pts", "mount:/dev/mqueue", "mount:/tmp"})
    EXPECT_EQ(find<MountFs>(*plan, id)->label, label) << id;
  for (const char* id : {"mount:/proc", "mount:/sys", "mount:/sys/fs/cgroup", "mount:/own"})
    EXPECT_EQ(find<MountFs>(*plan, id)->label, std::nullopt) << id;
  EXPECT_EQ(find<MaskPath>(*plan, "mask:/proc/kcore")->label, label);
}

TEST(PlanMountLabel, WithoutSelinuxIsRefused) {
  auto request = basic();
  os(request).mountLabel = "system_u:object_r:container_file_t:s0";
  EXPECT_TRUE(says(refusal(request), {"linux.mountLabel", "container_file_t", "SELinux is not enabled"}));
}

}  // namespace
}  // namespace cloche::plan
