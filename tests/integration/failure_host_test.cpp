// What this host forbids or lacks: docs/errors.md, "Namespaces and ids", "Files", "Limits", "The engine's own".
#include <sys/stat.h>
#include <unistd.h>

#include "failure_support.h"

namespace cloche::test {
namespace {

class HostFailure : public Failure {};

// ---- namespaces and ids --------------------------------------------------------------------------------------------

TEST_F(HostFailure, NoUserNamespacesAllowed) {
  CLOCHE_NEEDS(needs::test_user());
  // The limit of an outer user namespace: its root sets it without touching the host's.
  const Outcome outcome = user_shell(fmt::format(
      "exec unshare -Ur sh -c 'echo 0 > /proc/sys/user/max_user_namespaces; exec {} run host -- true'",
      cloche()));
  expect(outcome, {125, "no user namespaces may be made here (user.max_user_namespaces is 0)", "clone",
                   "CLONE_NEWUSER", "-ENOSPC", "sysctl user.max_user_namespaces="});
}

TEST_F(HostFailure, NoPidNamespacesAllowed) {
  CLOCHE_NEEDS(needs::test_user());
  const Outcome outcome = user_shell(fmt::format(
      "exec unshare -Ur sh -c 'echo 0 > /proc/sys/user/max_pid_namespaces; exec {} run host -- true'",
      cloche()));
  expect(outcome, {125, "no pid namespaces may be made here (user.max_pid_namespaces is 0)", "clone",
                   "CLONE_NEWPID", "-ENOSPC", "sysctl user.max_pid_namespaces="});
}

TEST_F(HostFailure, AFilterForbidsUserNamespaces) {
  CLOCHE_NEEDS(needs::root());
  (void)cloche();
  expect(cloche_run({"-v", scratch() + ":/c", "host", "--", "/c/cloche", "run", "host", "--", "true"}),
         {125, "a seccomp filter around this process forbids making user namespaces", "clone",
          "CLONE_NEWUSER", "-ENOSYS", "--seccomp FILE"});
}

TEST_F(HostFailure, AChrootForbidsUserNamespaces) {
  CLOCHE_NEEDS(needs::root());
  std::filesystem::create_directory(scratch() + "/root");
  const Outcome outcome = shell(fmt::format(
      "exec unshare -m sh -c 'mount --rbind / {0}/root; exec chroot {0}/root {1} run host -- true'",
      scratch(), cloche()));
  expect(outcome, {125, "chroot", "clone", "CLONE_NEWUSER", "-EPERM", "run outside"});
}

TEST_F(HostFailure, RootOfAContainerWithoutSetfcap) {
  CLOCHE_NEEDS(needs::root());
  (void)cloche();
  expect(cloche_run({"--seccomp", "unconfined", "-v", scratch() + ":/c", "host", "--", "/c/cloche", "run",
                     "host", "--", "true"}),
         {125, "only by a process with CAP_SETFCAP", "uid-map", "uid_map\", \"0 0 1", "-EPERM",
          "--cap-add SETFCAP"});
}

TEST_F(HostFailure, ProcIsCoveredInPart) {
  CLOCHE_NEEDS(needs::test_user());
  const Outcome outcome =
      user_shell(fmt::format("exec unshare -Urmpf sh -c 'mount -t proc proc /proc; mount -t tmpfs none "
                             "/proc/sys; {} run host -- true'",
                             cloche()));
  expect(outcome,
         {125, "/proc/sys is mounted over", "mount:/proc", "fsmount(proc", "-EPERM", "umount /proc/sys"});
}

TEST_F(HostFailure, ProcIsNotThere) {
  CLOCHE_NEEDS(needs::test_user());
  const Outcome outcome = user_shell(
      fmt::format("exec unshare -Urm sh -c 'mount -t tmpfs none /proc; exec {} run host -- true'", cloche()));
  expect_refused(outcome, {"/proc is no proc file system here", "ENOENT"});
}

TEST_F(HostFailure, AnIdThatIsNotMapped) {
  CLOCHE_NEEDS(needs::root());
  expect_refused(cloche_run({"--user", "70000", "host", "--", "true"}),
                 {"--user 70000", "uid 70000 has no place in the id map", "0-65535"});
  expect_refused(cloche_run({"--group-add", "70000", "host", "--", "true"}),
                 {"--group-add 70000", "gid 70000 has no place in the id map"});
  // Files of ids that are not mapped are nobody's inside; to show them is no failure.
  const Outcome shown = cloche_run({"-v", scratch() + ":/t", "host", "--", "stat", "-c", "%u", "/t"});
  EXPECT_EQ(shown.out, "65534\n") << shown.describe();
}

TEST_F(HostFailure, AUserWithoutSubordinateIdsHasOneId) {
  CLOCHE_NEEDS(needs::test_user());
  const Outcome runs = user_shell(cloche() + " run host -- id -u");
  EXPECT_EQ(runs.out, "0\n") << runs.describe();
  expect_refused(user_shell(cloche() + " run --user 5 host -- true"), {"--user 5", "0-0"});
  expect_refused(user_shell(cloche() + " run --uidmap 0:100000:10 host -- true"),
                 {"--uidmap", "/etc/subuid"});
}

TEST_F(HostFailure, ANamespaceThatCannotBeJoined) {
  CLOCHE_NEEDS(needs::root());
  expect(cloche_run({"--pid", "path:/no/such", "host", "--", "true"}),
         {125, "there is no /no/such", "join:pid", "openat(AT_FDCWD, \"/no/such\"", "-ENOENT", "lsns"});
  expect(cloche_run({"--pid", "path:/etc/passwd", "host", "--", "true"}),
         {125, "/etc/passwd is no pid namespace", "join:pid", "setns(\"/etc/passwd\", CLONE_NEWPID)",
          "-EINVAL", "/proc/PID/ns/pid"});
}

// ---- files ---------------------------------------------------------------------------------------------------------

TEST_F(HostFailure, ATargetOnAReadOnlyMount) {
  CLOCHE_NEEDS(needs::root());
  expect(cloche_run({"-v", scratch() + ":/t:ro", "-v", "/etc:/t/new/etc", "host", "--", "true"}),
         {125, "/t/new/etc has to be made first, but /t is read-only inside", "mount:/t/new/etc", "mkdirat(",
          "-EROFS", fmt::format("make {}/new/etc on the host", scratch())});
  EXPECT_FALSE(std::filesystem::exists(scratch() + "/new"));
}

TEST_F(HostFailure, ATargetOnAFullTmpfs) {
  CLOCHE_NEEDS(needs::root());
  expect(cloche_run({"--tmpfs", "/x:nr_inodes=1", "-v", "/etc:/x/etc", "host", "--", "true"}),
         {125, "the tmpfs on /x has no room left (nr_inodes=1)", "mount:/x/etc", "mkdirat(", "-ENOSPC",
          "nr_inodes="});
}

TEST_F(HostFailure, ATargetBelowAFile) {
  CLOCHE_NEEDS(needs::root());
  expect(cloche_run({"-v", "/etc:/etc/passwd/x", "host", "--", "true"}),
         {125, "a part of /etc/passwd/x is a file", "mount:/etc/passwd/x", "openat2(", "-ENOTDIR",
          "a file on a file"});
}

TEST_F(HostFailure, ASourceThatIsNotThere) {
  CLOCHE_NEEDS(needs::root());
  expect(cloche_run({"-v", "/no/such:/x", "host", "--", "true"}),
         {125, "there is no /no/such on this host", "open-tree:/x", "open_tree(AT_FDCWD, \"/no/such\"",
          "-ENOENT", "mkdir -p /no/such"});
  EXPECT_FALSE(std::filesystem::exists("/no"));
}

TEST_F(HostFailure, AnOptionTheKernelRefuses) {
  CLOCHE_NEEDS(needs::root());
  expect(cloche_run({"--tmpfs", "/x:size=nonsense", "host", "--", "true"}),
         {125, "the kernel refuses an option of this tmpfs", "mount:/x",
          "fsconfig(tmpfs, SET_STRING, size, \"nonsense\")", "-EINVAL", "tmpfs(5)"});
}

TEST_F(HostFailure, ADeviceThatIsNotThere) {
  CLOCHE_NEEDS(needs::root());
  expect_refused(cloche_run({"--device", "/dev/no-such", "host", "--", "true"}),
                 {"/dev/no-such is no device of this host"});
  expect_refused(cloche_run({"--device", "/etc/passwd", "host", "--", "true"}),
                 {"/etc/passwd is no device of this host"});
}

TEST_F(HostFailure, AWorkingDirectoryThatIsAFile) {
  CLOCHE_NEEDS(needs::root());
  expect(cloche_run({"-w", "/etc/passwd", "host", "--", "true"}),
         {125, "/etc/passwd is a file inside the container", "cwd", "chdir(\"/etc/passwd\")", "-ENOTDIR",
          "name a directory"});
}

// ---- limits --------------------------------------------------------------------------------------------------------

TEST_F(HostFailure, AControllerThatIsOnV1) {
  CLOCHE_NEEDS(needs::root());
  if (!std::filesystem::exists("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
    GTEST_SKIP() << "needs memory on cgroup v1";
  expect_refused(cloche_run({"--memory", "64m", "host", "--", "true"}),
                 {"--memory 64m", "memory controller", "/sys/fs/cgroup/memory", "cgroup_no_v1=memory"});
}

TEST_F(HostFailure, AHardLimitAboveTheOwn) {
  CLOCHE_NEEDS(needs::test_user());
  expect(user_shell("ulimit -n 512; exec " + cloche() + " run --ulimit nofile=100:1024 host -- true"),
         {125, "the hard limit 1024 is above this process's own", "rlimit:RLIMIT_NOFILE",
          "prlimit64(0, RLIMIT_NOFILE", "-EPERM", "ulimit -H"});
}

TEST_F(HostFailure, ASparedProcess) {
  CLOCHE_NEEDS(needs::test_user());
  expect(user_shell(cloche() + " run --oom-score-adj -500 host -- true"),
         {125, "only CAP_SYS_RESOURCE on the host", "oom-score", "oom_score_adj\", \"-500\"", "-EACCES",
          "/proc/self/oom_score_adj"});
}

TEST_F(HostFailure, ASysctlThatIsNotThereOrTakesNoSuchValue) {
  CLOCHE_NEEDS(needs::root());
  expect(cloche_run({"--sysctl", "net.no.such=1", "host", "--", "true"}),
         {125, "this kernel has no net.no.such", "sysctl:net.no.such", "openat(", "-ENOENT", "spelling"});
  expect(cloche_run({"--sysctl", "net.ipv4.ip_forward=x", "host", "--", "true"}),
         {125, "the kernel takes no \"x\" for net.ipv4.ip_forward", "sysctl:net.ipv4.ip_forward", "write(",
          "-EINVAL", "correct the value"});
}

TEST_F(HostFailure, ACapabilityThatDoesNotExist) {
  CLOCHE_NEEDS(needs::root());
  expect_refused(cloche_run({"--cap-drop", "NET_RAWW", "host", "--", "true"}),
                 {"--cap-drop NET_RAWW", "no such capability"});
}

// ---- the engine's own ----------------------------------------------------------------------------------------------

TEST_F(HostFailure, ARuntimeDirectoryOfSomebodyElse) {
  CLOCHE_NEEDS(needs::test_user());
  const TestUser& user = TestUser::get(TestUser::SubordinateIds::kNone);
  const std::string path = fmt::format("/tmp/cloche-{}", user.uid());
  const std::string command = fmt::format("exec env -u XDG_RUNTIME_DIR {} run host -- true", cloche());
  ASSERT_EQ(mkdir(path.c_str(), 0755), 0);
  expect_refused(user_shell(command), {path, "it belongs to the user 0, not to", "XDG_RUNTIME_DIR"});
  ASSERT_EQ(chown(path.c_str(), user.uid(), user.gid()), 0);
  ASSERT_EQ(chmod(path.c_str(), 0777), 0);
  expect_refused(user_shell(command), {path, "others may write in it (its mode is 0777)"});
  ASSERT_EQ(rmdir(path.c_str()), 0);
  ASSERT_EQ(symlink("/var", path.c_str()), 0);
  expect_refused(user_shell(command), {path, "it is a symbolic link"});
  ASSERT_EQ(unlink(path.c_str()), 0);
}

TEST_F(HostFailure, ARuntimeDirectoryThatCannotBeMade) {
  CLOCHE_NEEDS(needs::test_user());
  expect_refused(user_shell("XDG_RUNTIME_DIR=/no/such exec " + cloche() + " run host -- true"),
                 {"the runtime directory /no/such/cloche cannot be used", "-EACCES", "set XDG_RUNTIME_DIR"});
}

TEST_F(HostFailure, ANameThatIsTaken) {
  CLOCHE_NEEDS(needs::root());
  Running first(
      {.argv = {cloche(), "run", "-i", "--name", "taken", "host", "--", "sh", "-c", "echo up; cat"}});
  ASSERT_TRUE(first.wait_for_output("up")) << first.so_far().describe();
  expect_refused(cloche_run({"--name", "taken", "host", "--", "true"}),
                 {"a container named taken is running", "--name"});
  EXPECT_EQ(first.finish().exit_code, 0);
}

TEST_F(HostFailure, SubordinateIdsThatNewuidmapRefuses) {
  CLOCHE_NEEDS(needs::test_user());
  CLOCHE_NEEDS(needs::id_map_helpers());
  const TestUser& user = TestUser::get(TestUser::SubordinateIds::kOneRange);
  // Another /etc/subuid in front of Cloche's planner than in front of newuidmap: the helper has the last word.
  const std::string lie = file("subuid", fmt::format("{}:4000000:65536\n", user.name()), 0644);
  const Outcome outcome = user.shell(fmt::format(
      "exec unshare -Urm --map-user={0} sh -c 'mount --bind {1} /etc/subuid; exec {2} run host -- true'",
      user.uid(), lie, cloche()));
  EXPECT_EQ(outcome.exit_code, 125) << outcome.describe();
  EXPECT_THAT(flat(outcome.err), HasSubstr("uid-map: "));
  EXPECT_THAT(flat(outcome.err), HasSubstr("/etc/subuid"));
}

}  // namespace
}  // namespace cloche::test
