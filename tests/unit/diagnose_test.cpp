// The same errno, different hosts: what is said, with facts made by hand.
#include "runtime/diagnose.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/command_faults.h"

namespace cloche::runtime {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

plan::Step step(plan::Action action) {
  return {.id = "x", .action = std::move(action), .why = {}, .side = plan::Side::container};
}

plan::Diagnosis of(plan::Action action, sys::Error error, const plan::HostFacts& facts = {},
                   const Circumstances& around = {}) {
  plan::Plan plan;
  plan.steps = {step(std::move(action))};
  return diagnose(plan, {.step = 0, .error = std::move(error)}, facts, around);
}
plan::Diagnosis of(plan::Action action, int code, const plan::HostFacts& facts = {},
                   const Circumstances& around = {}) {
  return of(std::move(action), sys::Error{.code = code, .call = {}, .context = {}}, facts, around);
}

const plan::CloneProcess kClone{.namespaces = {"user", "mount", "pid"}, .cgroup = "/c", .from_joined = false};

TEST(Diagnose, UserNamespacesAreForbiddenInManyWays) {
  const auto cause = [](const Circumstances& around) { return of(kClone, EPERM, {}, around).cause; };
  Circumstances none, debian, ubuntu, filtered, chrooted;
  debian.unprivileged_userns = false;
  ubuntu.apparmor_restricts_userns = true;
  filtered.filtered = true;
  chrooted.chrooted = true;
  EXPECT_THAT(cause(debian), HasSubstr("kernel.unprivileged_userns_clone is 0"));
  EXPECT_THAT(cause(ubuntu), HasSubstr("AppArmor"));
  EXPECT_THAT(cause(filtered), HasSubstr("seccomp filter"));
  EXPECT_THAT(cause(chrooted), HasSubstr("is in a chroot"));
  EXPECT_THAT(cause(none), HasSubstr("a chroot, or a security module"));
  EXPECT_THAT(of(kClone, ENOSYS).cause, HasSubstr("seccomp filter"));
}

TEST(Diagnose, ALimitOfZeroIsNamed) {
  Circumstances around;
  around.namespace_limits = {{"user", 100}, {"mount", 0}};
  EXPECT_THAT(of(kClone, ENOSPC, {}, around).cause,
              HasSubstr("no mount namespaces may be made here (user.max_mnt_namespaces is 0)"));
  around.namespace_limits["mount"] = 5;
  EXPECT_THAT(of(kClone, ENOSPC, {}, around).cause, HasSubstr("a limit on the number or the depth"));
  EXPECT_THAT(of(kClone, EUSERS, {}, around).cause, HasSubstr("depth"));
}

TEST(Diagnose, OtherClones) {
  const plan::CloneProcess no_user{.namespaces = {"mount"}, .cgroup = "", .from_joined = false};
  EXPECT_THAT(of(no_user, EPERM).cause, HasSubstr("need root"));
  EXPECT_THAT(of(kClone, EAGAIN).cause, HasSubstr("limit on processes"));
  EXPECT_THAT(of(kClone, EBUSY).cause, HasSubstr("/c"));
  EXPECT_THAT(of(kClone, EINVAL, {.kernel = {5, 15}}).cause, HasSubstr("5.15"));
}

TEST(Diagnose, IdMaps) {
  plan::WriteIdMap map{"uid", "direct", {{.containerID = 0, .hostID = 0, .size = 1}}};
  Circumstances without;
  without.may_map_root = false;
  EXPECT_THAT(of(map, EPERM, {}, without).cause, HasSubstr("CAP_SETFCAP"));
  EXPECT_THAT(of(map, EPERM).cause, HasSubstr("not yours to map"));
  EXPECT_THAT(of(map, EINVAL).cause, HasSubstr("overlaps"));
  map.writer = "newuidmap";
  plan::HostFacts ann;
  ann.user = "ann";
  EXPECT_THAT(of(map, 0, ann).remedy, HasSubstr("usermod --add-subuids 100000-165535 ann"));
  EXPECT_THAT(of(map, ENOENT, ann).cause, HasSubstr("newuidmap is not installed"));
}

TEST(Diagnose, AnIdThatIsNotMappedIsNamed) {
  plan::Plan plan;
  plan.steps = {step(plan::WriteIdMap{"uid", "direct", {{.containerID = 0, .hostID = 1000, .size = 10}}}),
                step(plan::WriteIdMap{"gid", "direct", {{.containerID = 0, .hostID = 1000, .size = 10}}}),
                step(plan::SetUser{.uid = 10, .gid = 9, .groups = {}, .umask = {}, .set_groups = true})};
  const auto cause = [&] {
    return diagnose(plan, {.step = 2, .error = {.code = EINVAL, .call = {}, .context = {}}}, {}, {}).cause;
  };
  EXPECT_THAT(cause(), HasSubstr("the user id 10 is not mapped"));
  std::get<plan::SetUser>(plan.steps[2].action) = {
      .uid = 9, .gid = 9, .groups = {3, 4294967294U}, .umask = {}, .set_groups = true};
  EXPECT_THAT(cause(), HasSubstr("the group id 4294967294 is not mapped"));
}

TEST(Diagnose, ProcIsCovered) {
  const plan::MountFs proc{.type = "proc",
                           .source = "proc",
                           .target = "/proc",
                           .attributes = {},
                           .options = {},
                           .propagation = {},
                           .fallback = {}};
  plan::HostFacts facts;
  facts.mounts = {{"/proc", "proc"},
                  {"/proc/sys/fs/binfmt_misc", "autofs"},
                  {"/proc/acpi", "tmpfs"},
                  {"/processes", "tmpfs"}};
  const auto known = of(proc, EPERM, facts);
  EXPECT_THAT(known.cause, HasSubstr("/proc/acpi is mounted over"));
  EXPECT_THAT(known.remedy, HasSubstr("umount /proc/acpi"));
  facts.mounts.erase(facts.mounts.begin() + 2);
  EXPECT_THAT(of(proc, EPERM, facts).cause, Not(HasSubstr("is mounted over")));
  EXPECT_THAT(of(proc, ENODEV).cause, HasSubstr("no proc file system"));
}

TEST(Diagnose, AFileSystemWithoutIdMappedMounts) {
  plan::Plan plan;
  plan.steps = {step(plan::OpenTree{"/nowhere/data", "s", true, false}),
                step(plan::IdmapTree{.slot = "s", .recursive = false, .uids = {}, .gids = {}})};
  plan::HostFacts facts;
  facts.kernel = {6, 1};
  Circumstances around;
  around.mounts = {{"/", "ext4"}, {"/nowhere", "tmpfs"}, {"/nowhere/data/below", "9p"}, {"/nowheres", "xfs"}};
  const auto said = [&](int code) {
    return diagnose(plan, {.step = 1, .error = {.code = code, .call = {}, .context = {}}}, facts, around);
  };
  EXPECT_THAT(said(EINVAL).cause, HasSubstr("(6.1) makes no id-mapped mount of the file system tmpfs, which "
                                            "/nowhere/data is on"));
  EXPECT_THAT(said(EINVAL).remedy, HasSubstr("use Linux 6.3 or newer, or name a directory on another"));
  EXPECT_THAT(said(EPERM).cause, IsEmpty());
  facts.kernel = {6, 3};
  EXPECT_THAT(said(EINVAL).cause, IsEmpty()) << "it is not the file system";
  std::get<plan::IdmapTree>(plan.steps[1].action).recursive = true;
  EXPECT_THAT(said(EINVAL).cause, HasSubstr("9p, which /nowhere/data/below is on"));
  EXPECT_THAT(said(EINVAL).remedy, Not(HasSubstr("Linux")));
}

TEST(Diagnose, ATargetIsHeldAgainstTheMountAboveIt) {
  const auto bind = [](const char* source, const char* target) {
    return step(plan::BindMount{.source = source,
                                .slot = {},
                                .target = target,
                                .recursive = true,
                                .attributes = {},
                                .cleared = {},
                                .recursive_attributes = {},
                                .propagation = {},
                                .recursive_cleared = {}});
  };
  const auto tmpfs = step(plan::MountFs{.type = "tmpfs",
                                        .source = "tmpfs",
                                        .target = "/a/b",
                                        .attributes = {},
                                        .options = {"size=1k"},
                                        .propagation = {},
                                        .fallback = {}});
  plan::Plan plan;
  plan.steps = {bind("/host/a", "/a"), bind("/host/ab", "/ab"), tmpfs,
                bind("/x", "/a/c/d"),  bind("/x", "/a/b/c"),    bind("/x", "/other")};
  const auto said = [&](size_t at, int code) {
    return diagnose(plan, {.step = at, .error = {.code = code, .call = "mkdirat()", .context = {}}}, {}, {});
  };
  EXPECT_THAT(said(3, EROFS).cause,
              AllOf(HasSubstr("/a is read-only inside"), HasSubstr("/host/a of the host")));
  EXPECT_THAT(said(3, EROFS).remedy, HasSubstr("make /host/a/c/d on the host"));
  EXPECT_THAT(said(4, ENOSPC).cause, HasSubstr("the tmpfs on /a/b has no room left (size=1k)"));
  EXPECT_THAT(said(4, EROFS).cause, HasSubstr("/a/b is read-only"));
  EXPECT_THAT(said(5, EROFS).cause, HasSubstr("the root file system is read-only"));
  EXPECT_THAT(said(5, ENOSPC).cause, HasSubstr("no space is left"));
}

TEST(Diagnose, ASourceIsNotATarget) {
  const plan::OpenTree open{.path = "/no/such", .slot = "s", .recursive = true};
  const auto said = [&](int code) {
    return of(open, sys::Error{.code = code, .call = "open_tree(AT_FDCWD, \"/no/such\")", .context = {}})
        .cause;
  };
  EXPECT_THAT(said(ENOENT), HasSubstr("there is no /no/such on this host"));
  EXPECT_THAT(said(EACCES), HasSubstr("may not reach /no/such"));
  EXPECT_THAT(said(EINVAL), HasSubstr("cannot be bound"));
}

TEST(Diagnose, Cgroups) {
  plan::HostFacts facts;
  EXPECT_THAT(of(plan::CreateCgroup{"/c/x"}, EACCES).cause, HasSubstr("/c/x is not this user's to change"));
  EXPECT_THAT(of(plan::EnableControllers{"/c", "/c/x", {"memory"}}, ENOENT, facts).cause,
              HasSubstr("available: none"));
  facts.cgroup.controllers = {"cpu", "pids"};
  EXPECT_THAT(of(plan::EnableControllers{"/c", "/c/x", {"memory"}}, ENOENT, facts).cause,
              HasSubstr("available: cpu pids"));
  EXPECT_THAT(of(plan::CreateCgroup{"/c/x"}, EBUSY).cause, HasSubstr("holds processes"));
  EXPECT_THAT(of(plan::WriteCgroup{"/c/x", "io.weight", "8:0 100"}, EOPNOTSUPP).cause,
              HasSubstr("no weights for the disk 8:0"));
  EXPECT_THAT(of(plan::WriteCgroup{"/c/x", "cpu.weight", "0"}, ERANGE).cause,
              HasSubstr("takes no 0 for cpu.weight"));
}

TEST(Diagnose, CommandsAreReadByTheirWords) {
  for (const CommandFault& fault : kCommandFaults) {
    const std::string line = "/t/x " + std::string(fault.says) + " more";
    const auto known = of(plan::FindCommand{"x", "/bin"},
                          sys::Error{.code = ENOENT, .call = "c", .context = {line, "exec: \"x\": words"}});
    EXPECT_EQ(known.cause, line);
    EXPECT_EQ(known.remedy, fault.remedy);
  }
  EXPECT_THAT(of(plan::Execute{.args = {"x"}, .env = {}, .init = false}, E2BIG).cause,
              HasSubstr("larger than the kernel takes"));
}

TEST(Diagnose, WhatIsNotKnownIsNotMadeUp) {
  EXPECT_THAT(of(plan::PivotRoot{}, EINVAL).cause, IsEmpty());
  EXPECT_THAT(of(plan::PivotRoot{}, 0).cause, IsEmpty());
  EXPECT_THAT(diagnose(plan::Plan{}, {.step = 7, .error = {}}, {}, {}).cause, IsEmpty());
  EXPECT_THAT(of(plan::PivotRoot{}, ENOMEM).cause, HasSubstr("no memory"));
}

}  // namespace
}  // namespace cloche::runtime
