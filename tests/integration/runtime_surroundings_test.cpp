// Fields of what is around a container's process: its root, names, namespaces, clocks, cgroup, devices and paths.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "support/bundle.h"
#include "support/files.h"
#include "support/needs.h"

namespace cloche::test {
namespace {

namespace fs = std::filesystem;

class RuntimeSurroundings : public RuntimeTest {
 protected:
  Bundle shell_box(const std::string& script) { return bundle({"sh", "-c", script}); }
};

// Of the bundle where it is a relative one.
TEST_F(RuntimeSurroundings, TheRootIsTheDirectoryNamed) {
  CLOCHE_NEEDS(needs::root());
  auto box = shell_box("cat /which; echo written 2>/dev/null >/new && echo writable");
  const std::string elsewhere = scratch() + "/elsewhere";
  for (const std::string& path : {std::string("rootfs"), box.rootfs(), elsewhere}) {
    if (path == elsewhere) fs::rename(box.rootfs(), elsewhere);
    const std::string at = path == "rootfs" ? box.rootfs() : path;
    std::ofstream(at + "/which") << path << "\n";
    box.config.root = {.path = path, .readonly = true};
    EXPECT_EQ(run(box).out, path + "\n");
    EXPECT_FALSE(fs::exists(at + "/new"));
    box.config.root->readonly = false;
    EXPECT_EQ(run(box).out, path + "\nwritable\n");
    EXPECT_EQ(text_of(at + "/new"), "written\n");
    fs::remove(at + "/new");
  }
}

TEST_F(RuntimeSurroundings, TheNamesOfTheMachine) {
  CLOCHE_NEEDS(needs::root());
  const std::string names = "cat /proc/sys/kernel/hostname /proc/sys/kernel/domainname",
                    before = shell(names).out;
  auto box = shell_box(names);
  box.config.hostname = "of-the-box";
  box.config.domainname = "example.org";
  EXPECT_EQ(run(box).out, "of-the-box\nexample.org\n");
  EXPECT_EQ(shell(names).out, before);
}

TEST_F(RuntimeSurroundings, SysctlsAreTheContainers) {
  CLOCHE_NEEDS(needs::root());
  const std::string values = "cat /proc/sys/net/ipv4/ip_default_ttl /proc/sys/kernel/msgmax",
                    before = shell(values).out;
  auto box = shell_box(values);
  box.config.linux_->sysctl = {{"net.ipv4.ip_default_ttl", "71"}, {"kernel.msgmax", "12345"}};
  EXPECT_EQ(run(box).out, "71\n12345\n");
  EXPECT_EQ(shell(values).out, before);
}

// Either spelling of sysctl(8). A device with a dot comes from a hook, which is before sysctls are written.
TEST_F(RuntimeSurroundings, ASysctlOfADeviceWithADotInItsName) {
  CLOCHE_NEEDS(needs::root());
  for (const char* key : {"net.ipv4.conf.d0/5.forwarding", "net/ipv4/conf/d0.5/forwarding"}) {
    auto box = shell_box("cat /proc/sys/net/ipv4/conf/d0.5/forwarding");
    box.config.hooks.emplace().createRuntime = {
        {.path = "/bin/sh",
         .args = {"sh", "-c", R"x(nsenter -t "$(jq .pid)" -n ip link add d0.5 type veth)x"},
         .env = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"},
         .timeout = {}}};
    box.config.linux_->sysctl = {{key, "1"}};
    const Outcome outcome = run(box);
    EXPECT_EQ(outcome.out, "1\n") << key << ": " << outcome.describe();
  }
}

// Where Cloche is run in a container, that one's /proc/sys is mostly mounted so.
class ReadOnlySysctls : public RuntimeSurroundings {
 protected:
  Outcome run_below(Bundle& box, std::vector<std::string> global = {}) {
    box.write();
    global.insert(global.end(), {"run", "--bundle", box.path(), "box"});
    std::vector<std::string> argv{
        "unshare",
        "--mount",
        "sh",
        "-c",
        "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && exec \"$@\"",
        "sh"};
    std::ranges::copy(command(global), std::back_inserter(argv));
    return test::run({.argv = argv});
  }
};

TEST_F(ReadOnlySysctls, AreWrittenByAProcfsOfTheContainersOwn) {
  CLOCHE_NEEDS(needs::root());
  auto box = shell_box("cat /proc/sys/net/ipv4/ip_default_ttl /proc/sys/kernel/msgmax");
  box.config.linux_->sysctl = {{"net.ipv4.ip_default_ttl", "71"}, {"kernel.msgmax", "12345"}};
  const Outcome outcome = run_below(box, {"--debug"});
  EXPECT_EQ(outcome.out, "71\n12345\n") << outcome.describe();
  EXPECT_TRUE(outcome.err.contains("by a new procfs: /proc/sys is read-only")) << outcome.err;
}

TEST_F(ReadOnlySysctls, AreARefusalInAUserNamespace) {
  CLOCHE_NEEDS(needs::root());
  auto box = shell_box("true");
  box.config.linux_->namespaces.push_back({.type = "user", .path = {}});
  box.config.linux_->uidMappings =
      box.config.linux_->gidMappings = {{.containerID = 0, .hostID = 0, .size = 65536}};
  box.config.linux_->sysctl = {{"net.ipv4.ip_default_ttl", "71"}};
  std::erase_if(box.config.mounts, [](const auto& mount) { return mount.destination == "/proc"; });
  const Outcome outcome = run_below(box);
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_TRUE(outcome.err.contains("/proc/sys is read-only here")) << outcome.err;
  EXPECT_TRUE(outcome.err.contains("-EROFS")) << outcome.err;
}

TEST_F(RuntimeSurroundings, NamespacesThatAreNotNamedAreTheHosts) {
  CLOCHE_NEEDS(needs::root());
  const std::string files = "uts ipc pid net cgroup time user mnt";
  const auto lines = [](const std::string& text) {
    std::istringstream stream(text);
    std::vector<std::string> all;
    for (std::string line; std::getline(stream, line);) all.push_back(line);
    return all;
  };
  const auto links = [&](const char* busybox) {
    return std::string("for ns in ") + files + "; do " + busybox + " readlink /proc/self/ns/$ns; done";
  };
  const auto host = lines(shell(links("")).out);
  ASSERT_EQ(host.size(), 8U);
  auto box = shell_box(links("busybox"));
  box.config.hostname.clear();
  box.config.linux_->namespaces = {{.type = "mount", .path = {}}};
  auto inside = lines(run(box).out);
  ASSERT_EQ(inside.size(), host.size());
  EXPECT_NE(inside.back(), host.back());
  inside.back() = host.back();
  EXPECT_EQ(inside, host);
  for (const char* type : {"uts", "ipc", "pid", "network", "cgroup", "time"})
    box.config.linux_->namespaces.push_back({.type = type, .path = {}});
  box.map_ids(700000, 65536);
  inside = lines(run(box).out);
  ASSERT_EQ(inside.size(), host.size());
  for (size_t i = 0; i < host.size(); ++i) EXPECT_NE(inside[i], host[i]);
}

TEST_F(RuntimeSurroundings, ClocksOfItsOwn) {
  CLOCHE_NEEDS(needs::root());
  auto box = shell_box("busybox awk '{ print $1, $2, $3 }' /proc/self/timens_offsets; cat /proc/uptime");
  box.config.linux_->namespaces.push_back({.type = "time", .path = {}});
  box.config.linux_->timeOffsets = {{"monotonic", {.secs = 1000, .nanosecs = 250}},
                                    {"boottime", {.secs = 1'000'000, .nanosecs = 999'999'999}}};
  const double before = std::stod(shell("cat /proc/uptime").out);
  const Outcome outcome = run(box);
  const std::string offsets = "monotonic 1000 250\nboottime 1000000 999999999\n";
  ASSERT_TRUE(outcome.out.starts_with(offsets)) << outcome.describe();
  EXPECT_GE(std::stod(outcome.out.substr(offsets.size())), before + 1'000'000);
}

TEST_F(RuntimeSurroundings, ItsCgroupIsTheOneNamed) {
  CLOCHE_NEEDS(needs::root());
  CLOCHE_NEEDS(needs::cgroup2());
  auto box = bundle({"sleep", "1000"});
  box.config.linux_->cgroupsPath = "/cloche-test-named";
  ASSERT_TRUE(start_detached(box).ok());
  const std::string pid = member(runtime({"state", "box"}).out, ".pid");
  EXPECT_EQ(shell("sed -n s/^0:://p /proc/" + pid + "/cgroup").out, "/cloche-test-named\n");
  stop();
  EXPECT_TRUE(runtime({"delete", "box"}).ok());
}

// A node that is there for everybody to open, so that only the policy can refuse it: that of the kernel's log, which
// the kernel lets be read by whoever has CAP_SYSLOG.
TEST_F(RuntimeSurroundings, TheLastDeviceRuleThatFitsDecides) {
  CLOCHE_NEEDS(needs::root());
  CLOCHE_NEEDS(needs::cgroup2());
  auto box = shell_box(
      "(exec 3</dev/log-of-kernel) 2>/dev/null && echo r; (exec 3>>/dev/log-of-kernel) 2>/dev/null && echo "
      "w; :");
  box.config.linux_->devices = {
      {.path = "/dev/log-of-kernel", .type = "c", .major = 1, .minor = 11, .fileMode = 0666}};
  for (auto* set : {&box.config.process->capabilities->bounding, &box.config.process->capabilities->effective,
                    &box.config.process->capabilities->permitted})
    set->emplace_back("CAP_SYSLOG");
  const auto opened = [&](std::vector<spec::DeviceCgroup> rules) {
    box.config.linux_->resources.emplace().devices = std::move(rules);
    return run(box).out;
  };
  const spec::DeviceCgroup nothing{.allow = false, .access = "rwm"};
  EXPECT_EQ(opened({}), "");
  EXPECT_EQ(opened({nothing}), "");
  EXPECT_EQ(opened({nothing, {.allow = true, .type = "c", .major = 1, .minor = 11, .access = "rw"}}),
            "r\nw\n");
  EXPECT_EQ(opened({nothing, {.allow = true, .type = "c", .major = 1, .minor = 11, .access = "w"}}), "w\n");
  EXPECT_EQ(opened({nothing, {.allow = true, .type = "c", .major = 1, .access = "r"}}), "r\n") << "any minor";
  EXPECT_EQ(opened({nothing, {.allow = true, .type = "c", .access = "rw"}}), "r\nw\n") << "any major";
  EXPECT_EQ(opened({nothing, {.allow = true, .type = "b", .major = 1, .minor = 11, .access = "rw"}}), "");
  EXPECT_EQ(opened({nothing, {.allow = true, .type = "c", .major = 1, .minor = 12, .access = "rw"}}), "");
  EXPECT_EQ(opened({nothing, {.allow = true, .type = "c", .major = 2, .minor = 11, .access = "rw"}}), "");
  EXPECT_EQ(opened({{.allow = true, .access = "rwm"},
                    {.allow = false, .type = "c", .major = 1, .minor = 11, .access = "r"}}),
            "w\n");
}

TEST_F(RuntimeSurroundings, MaskedAndReadonlyPaths) {
  CLOCHE_NEEDS(needs::root());
  auto box = shell_box(
      "cat /secret; ls -A /hidden; touch /hidden/new || echo masked; "
      "touch /fixed/new || echo fixed; cat /fixed/file; touch /free/new && echo free");
  for (const char* name : {"/hidden", "/fixed", "/free"}) {
    fs::create_directory(box.rootfs() + name);
    std::ofstream(box.rootfs() + name + "/file") << "of " << name << "\n";
  }
  std::ofstream(box.rootfs() + "/secret") << "secret\n";
  box.config.root->readonly = false;
  box.config.linux_->maskedPaths = {"/secret", "/hidden", "/is/not/there"};
  box.config.linux_->readonlyPaths = {"/fixed", "/is/not/there"};
  EXPECT_EQ(run(box).out, "masked\nfixed\nof /fixed\nfree\n");
}

// The optional fields of the root's line: proc_pid_mountinfo(5).
TEST_F(RuntimeSurroundings, HowMountsOfTheRootSpread) {
  CLOCHE_NEEDS(needs::root());
  auto box = shell_box("busybox awk '$5 == \"/\" { sub(/:.*/, \"\", $7); print $7 }' /proc/self/mountinfo");
  for (const auto& [propagation, fields] :
       {std::pair{"private", "-\n"}, {"shared", "shared\n"}, {"unbindable", "unbindable\n"}}) {
    box.config.linux_->rootfsPropagation = propagation;
    EXPECT_EQ(run(box).out, fields) << propagation;
  }
}

}  // namespace
}  // namespace cloche::test
