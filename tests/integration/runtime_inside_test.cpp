// What a container sees of itself, and what is called around it.
#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "support/bundle.h"
#include "support/needs.h"

namespace cloche::test {
namespace {

class RuntimeInside : public RuntimeTest {
 protected:
  // A hook that appends its stage, and the status and pid of the state it was given, to a file.
  spec::Hook note(const std::string& stage, const std::string& more = "") {
    return {.path = "/bin/sh",
            .args = {"sh", "-c",
                     "state=$(cat); s=${state#*'\"status\":\"'}; p=${state#*'\"pid\":'}; echo \"" + stage +
                         " ${s%%'\"'*} ${p%%,*}\" >> " + scratch() + "/hooks; " + more},
            .env = {"PATH=/usr/bin:/bin"},
            .timeout = {}};
  }
  std::string hooks_called() {
    std::ifstream file(scratch() + "/hooks");
    return {std::istreambuf_iterator<char>(file), {}};
  }
};

TEST_F(RuntimeInside, ThePolicyIsInForce) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle(
      {"sh", "-c",
       "id -u; id -g; busybox grep -E '^(CapEff|CapBnd|NoNewPrivs)' /proc/self/status; ulimit -n; umask; "
       "hostname; touch /x 2>/dev/null || echo read-only; ls /proc/self/fd | busybox wc -l"});
  box.config.process->user = {.uid = 10, .gid = 20, .umask = 0027, .additionalGids = {}, .username = {}};
  box.config.process->rlimits = {{.type = "RLIMIT_NOFILE", .hard = 512, .soft = 256}};
  box.config.hostname = "inside";
  const Outcome outcome = run(box);
  EXPECT_TRUE(outcome.ok()) << outcome.describe();
  EXPECT_EQ(
      outcome.out,
      "10\n20\nCapEff:\t0000000000000000\nCapBnd:\t0000000020000420\nNoNewPrivs:\t1\n256\n0027\ninside\n"
      "read-only\n4\n")
      << "a user other than root has capabilities in its permitted set only when they are ambient";
}

TEST_F(RuntimeInside, AUserNamespaceWithMaps) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"sh", "-c", "id -u; cat /proc/self/uid_map /proc/self/gid_map"});
  box.map_ids(700000, 65536);
  const Outcome outcome = run(box);
  EXPECT_TRUE(outcome.ok()) << outcome.describe();
  EXPECT_EQ(outcome.out, "0\n         0     700000      65536\n         0     700000      65536\n");
}

// As many lines as the kernel takes.
TEST_F(RuntimeInside, AUserNamespaceWithAMapOf340Lines) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"sh", "-c", "busybox wc -l < /proc/self/uid_map"});
  box.map_ids(1000, 64);
  auto& map = box.config.linux_->uidMappings;
  map.front().size = 1;
  for (uint32_t i = 1; i < 340; ++i) map.push_back({.containerID = i, .hostID = 1000 + 2 * i, .size = 1});
  EXPECT_EQ(run(box).out, "340\n");
}

TEST_F(RuntimeInside, JoinedNamespaces) {
  CLOCHE_NEEDS(needs::root());
  auto first = bundle({"sleep", "1000"}, "first");
  first.config.hostname = "first";
  ASSERT_TRUE(start_detached(first, "first").ok());
  const std::string pid = member(runtime({"state", "first"}).out, ".pid");
  auto second =
      bundle({"sh", "-c", "hostname; busybox readlink /proc/self/ns/net; busybox pidof sleep"}, "second");
  second.config.hostname.clear();
  for (spec::Namespace& ns : second.config.linux_->namespaces) {
    if (ns.type == "network") ns.path = "/proc/" + pid + "/ns/net";
    if (ns.type == "uts") ns.path = "/proc/" + pid + "/ns/uts";
    if (ns.type == "pid") ns.path = "/proc/" + pid + "/ns/pid";
  }
  const Outcome outcome = run(second);
  EXPECT_TRUE(outcome.ok()) << outcome.describe();
  EXPECT_EQ(outcome.out, "first\n" + shell("readlink /proc/" + pid + "/ns/net").out + "1\n");
  EXPECT_TRUE(runtime({"delete", "-f", "first"}).ok());
}

TEST_F(RuntimeInside, AJoinedUserNamespace) {
  CLOCHE_NEEDS(needs::root());
  auto first = bundle({"sleep", "1000"}, "first");
  first.map_ids(700000, 65536);
  ASSERT_TRUE(start_detached(first, "first").ok());
  const std::string pid = member(runtime({"state", "first"}).out, ".pid");
  auto second =
      bundle({"sh", "-c", "id -u; busybox readlink /proc/self/ns/user; busybox readlink /proc/self/ns/net"},
             "second");
  shell("chown -Rh 700000:700000 " + second.rootfs());
  second.config.linux_->namespaces.push_back({.type = "user", .path = "/proc/" + pid + "/ns/user"});
  for (spec::Namespace& ns : second.config.linux_->namespaces)
    if (ns.type == "network") ns.path = "/proc/" + pid + "/ns/net";
  const Outcome outcome = run(second);
  EXPECT_TRUE(outcome.ok()) << outcome.describe();
  EXPECT_EQ(outcome.out, "0\n" + shell("readlink /proc/" + pid + "/ns/user /proc/" + pid + "/ns/net").out);
  EXPECT_TRUE(runtime({"delete", "-f", "first"}).ok());
}

TEST_F(RuntimeInside, HooksOfAllSixKindsInOrder) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"sleep", "1000"});
  spec::Hooks& hooks = box.config.hooks.emplace();
  hooks.prestart = {note("prestart")};
  hooks.createRuntime = {note("createRuntime"), note("createRuntime2")};
  // In the container's mount namespace, before the pivot: the host's paths are still there.
  hooks.createContainer = {note("createContainer")};
  // After it: paths are the container's.
  hooks.startContainer = {
      {.path = "/bin/sh", .args = {"sh", "-c", "cat > /tmp/state"}, .env = {"PATH=/bin"}, .timeout = {}}};
  hooks.poststart = {note("poststart")};
  hooks.poststop = {note("poststop", "exit 1"), note("poststop2")};
  box.config.root->readonly = false;
  std::filesystem::create_directories(box.rootfs() + "/tmp");
  ASSERT_TRUE(create(box).ok());
  const std::string pid = member(runtime({"state", "box"}).out, ".pid");
  EXPECT_EQ(hooks_called(), "prestart creating " + pid + "\ncreateRuntime creating " + pid +
                                "\ncreateRuntime2 creating " + pid + "\ncreateContainer creating " + pid +
                                "\n");
  EXPECT_FALSE(std::filesystem::exists(box.rootfs() + "/tmp/state"));
  std::filesystem::remove(scratch() + "/hooks");
  ASSERT_TRUE(runtime({"start", "box"}).ok());
  EXPECT_EQ(hooks_called(), "poststart running " + pid + "\n");
  std::ifstream inside(box.rootfs() + "/tmp/state");
  const std::string given(std::istreambuf_iterator<char>(inside), {});
  EXPECT_EQ(member(given, ".status"), "created") << given;
  EXPECT_EQ(member(given, ".id"), "box");
  std::filesystem::remove(scratch() + "/hooks");
  stop();
  const Outcome deleted = runtime({"delete", "box"});
  EXPECT_TRUE(deleted.ok()) << deleted.describe();
  EXPECT_NE(deleted.err.find("warning: poststop hook"), std::string::npos) << deleted.err;
  EXPECT_EQ(hooks_called(), "poststop stopped 0\npoststop2 stopped 0\n");
}

TEST_F(RuntimeInside, AFailedHookEndsTheCreation) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"true"});
  spec::Hooks& hooks = box.config.hooks.emplace();
  hooks.createRuntime = {note("createRuntime", "exit 3")};
  const Outcome outcome = create(box);
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_NE(outcome.err.find("createRuntime hook 1 of 1"), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find("status 3"), std::string::npos) << outcome.err;
  EXPECT_EQ(status(), "");
}

// The same config, seen from inside: what differs is in docs/runtime.md, and here.
TEST_F(RuntimeInside, TheViewIsThatOfOthers) {
  CLOCHE_NEEDS(needs::root());
  CLOCHE_NEEDS(needs::program("runc"));
  CLOCHE_NEEDS(needs::program("crun"));
  auto box = bundle(
      {"sh", "-c",
       "busybox grep -E '^(Cap|NoNewPrivs|Seccomp:|Groups|Uid|Gid)' /proc/self/status; ulimit -a; "
       "busybox awk '{ t=\"\"; for (i = 7; i <= NF; i++) if ($i == \"-\") t = $(i+1); "
       "print $5, $6, t }' /proc/self/mountinfo | busybox sort; pwd; hostname; busybox env | busybox sort; "
       "ls -l /dev | busybox awk '{print $1, $3, $4, $NF}'; cat /proc/self/oom_score_adj; umask"});
  box.config.ociVersion = "1.0.2";  // Debian 12's crun knows no newer one
  box.write();
  // In the same view of the cgroup tree, so that what is mounted for it can be compared.
  const Outcome ours =
      test::run({.argv = command({"run", "--bundle", box.path(), "box"}), .pure_cgroup2 = true});
  ASSERT_TRUE(ours.ok()) << ours.describe();
  const std::string roots = scratch() + "/other";
  const std::vector<std::vector<std::string>> others{
      {"runc", "--root", roots, "run", "--bundle", box.path(), "box"},
      // It would raise RLIMIT_MEMLOCK for its device program, which needs CAP_SYS_RESOURCE.
      {"crun", "--root", roots, "--cgroup-manager=disabled", "run", "--bundle", box.path(), "box"}};
  for (const auto& argv : others) {
    const Outcome theirs = test::run({.argv = argv, .pure_cgroup2 = true});
    ASSERT_TRUE(theirs.ok()) << argv[0] << theirs.describe();
    std::ofstream(scratch() + "/ours") << ours.out;
    std::ofstream(scratch() + "/theirs") << theirs.out;
    // Ours cover masked directories with nosuid,nodev,noexec too, and masked files with the host's own /dev/null; runc
    // has no /dev/core.
    const std::string known =
        "s,^(/proc/(acpi|interrupts|keys|timer_list|kcore|sched_debug|scsi|asound)|/sys/firmware|"
        "/sys/devices/virtual/powercap) .*,\\1,; /proc.kcore$/d";
    EXPECT_EQ(shell("cd " + scratch() + " && for f in ours theirs; do sed -Ei '" + known +
                    "' $f; done; diff theirs ours")
                  .out,
              "")
        << argv[0];
  }
}

// In a mount namespace of the test's own whose mounts are shared, as systemd makes them.
TEST_F(RuntimeInside, ASharedMountReachesTheHostAndNothingElseDoes) {
  CLOCHE_NEEDS(needs::root());
  const std::string shared = scratch() + "/shared";
  std::filesystem::create_directory(shared);
  auto box = bundle({"busybox", "mount", "-t", "tmpfs", "inside", "/shared"});
  box.config.mounts.push_back({.destination = "/shared",
                               .type = "bind",
                               .source = shared,
                               .options = {"rbind", "rshared"},
                               .uidMappings = {},
                               .gidMappings = {}});
  box.config.linux_->rootfsPropagation = "shared";
  for (auto* set : {&box.config.process->capabilities->bounding, &box.config.process->capabilities->effective,
                    &box.config.process->capabilities->permitted})
    set->emplace_back("CAP_SYS_ADMIN");
  box.write();
  std::string line;
  for (const std::string& word : command({"run", "--bundle", box.path(), "box"})) line += word + " ";
  const Outcome outcome = test::run(
      {.argv = {"unshare", "--mount", "--propagation", "private", "sh", "-c",
                "mount --make-rshared / && mount -t tmpfs outside " + shared + " && mount --make-shared " +
                    shared + " && findmnt -rno TARGET | sort >" + scratch() + "/before && " + line +
                    " && findmnt -rno TARGET | sort | diff " + scratch() + "/before -"}});
  // The container's mounts have ended with it; what it mounted on the shared one is there all the same.
  EXPECT_TRUE(outcome.out.contains("> " + shared)) << outcome.describe();
  EXPECT_FALSE(outcome.out.contains("> /proc")) << outcome.describe();
  EXPECT_FALSE(outcome.out.contains("> /\n")) << outcome.describe();
}

}  // namespace
}  // namespace cloche::test
