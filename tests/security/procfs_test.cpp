// Class 5: what the runtime writes to procfs led to another file (CVE-2019-16884, CVE-2019-19921, CVE-2023-27561,
// CVE-2025-52881).
//
// Seen to fail: Debian 11's runc 1.0.0~rc93 before +deb11u5 has CVE-2023-27561, and is caught by
//   --gtest_filter='Procfs.WhateverTheI*' (see security.h)
// +deb11u5, Debian 12's runc and crun 1.8.1 pass. Cloche failed with sysctls and oom score written by /proc of the
// root, and without the look at /proc itself. CVE-2025-52881 of runc 1.1.5 is not caught: without a security module no
// label is written.
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "security/security.h"

namespace cloche::test {
namespace {
namespace fs = std::filesystem;

// Every file of procfs that the runtime writes for a container with all of it, as it is named below /proc.
const char* const kWritten[] = {"self/oom_score_adj",
                                "self/timens_offsets",
                                "self/uid_map",
                                "self/gid_map",
                                "self/setgroups",
                                "self/attr/exec",
                                "self/attr/apparmor/exec",
                                "self/attr/keycreate",
                                "sys/net/ipv4/ip_forward",
                                "sys/kernel/msgmax"};

class Procfs : public SecurityTest {
 protected:
  void SetUp() override {
    SecurityTest::SetUp();
    if (IsSkipped()) return;
    decoy_ = scratch() + "/decoy";
    for (const char* name : kWritten) {
      fs::create_directories(fs::path(decoy_ + "/" + name).parent_path());
      std::ofstream(decoy_ + "/" + name) << "decoy\n";
    }
    ::mkfifo((decoy_ + "/fifo").c_str(), 0666);
  }
  // All that is written, in a container with a user namespace and clocks of its own.
  Bundle writer(const std::string& name) {
    auto box = image({"sleep", "1000"}, name);
    box.config.process->oomScoreAdj = 321;
    box.config.linux_->sysctl = {{"net.ipv4.ip_forward", "1"}, {"kernel.msgmax", "12345"}};
    if (!peer()) {
      box.map_ids(700000, 65536);
      box.config.linux_->namespaces.push_back({.type = "time", .path = {}});
      box.config.linux_->timeOffsets["boottime"] = {.secs = 86400, .nanosecs = 0};
    }
    box.config.root->readonly = false;
    return box;
  }
  std::string decoys() const {
    return shell("cd " + decoy_ + " && find . -type f | sort | xargs grep -H ''").out;
  }
  // What the kernel says of the created container, on the host's own /proc.
  std::string truth(const std::string& id) {
    const std::string pid = pid_of(id);
    return shell(fmt::format(
                     "cat /proc/{0}/oom_score_adj; nsenter -t {0} -n cat /proc/sys/net/ipv4/ip_forward; "
                     "nsenter -t {0} -i cat /proc/sys/kernel/msgmax",
                     pid))
        .out;
  }
  // True if it was started; then all values are where they should be.
  bool judge(const Bundle& box, const std::string& label, bool start = true) {
    const std::string before = decoys();
    const Outcome made = create(box);
    EXPECT_FALSE(made.timed_out) << label;
    EXPECT_EQ(decoys(), before) << label;
    if (!made.ok()) {
      EXPECT_FALSE(made.err.empty()) << label;
      EXPECT_EQ(status(), "") << label;
      return false;
    }
    EXPECT_EQ(truth("box"), "321\n1\n12345\n") << label;
    if (start) {
      EXPECT_TRUE(runtime({"start", "box"}).ok()) << label;
      // A process that joins has its own value to write.
      EXPECT_FALSE(runtime({"exec", "box", "true"}).timed_out) << label;
      EXPECT_EQ(decoys(), before) << label;
    }
    EXPECT_TRUE(runtime({"delete", "--force", "box"}).ok()) << label;
    return true;
  }
  std::string decoy_;
};

TEST_F(Procfs, WhateverIsMountedOverIt) {
  const Canary canary(scratch() + "/canary");
  int started = 0, refused = 0, cases = 0;
  const std::string places[] = {"/proc",
                                "/proc/self",
                                "/proc/self/attr",
                                "/proc/thread-self/attr",
                                "/proc/1",
                                "/proc/self/attr/exec",
                                "/proc/self/oom_score_adj",
                                "/proc/sys",
                                "/proc/sys/net",
                                "/proc/sys/kernel/msgmax",
                                "/proc/self/ns"};
  for (const std::string& place : places)
    for (const std::string kind : {"tmpfs", "bind", "file", "FIFO", "proc", "magic"})
      for (const bool after : {true, false}) {
        // Without CLOCHE_SECURITY_MORE a fourth of them: of each place and each kind some, before and after.
        const int turn = cases + cases / 12;
        if (++cases; !more() && turn % 4 != 0) continue;
        auto box = writer("box-mounted");
        const size_t sub = place.size() > 5 ? 6 : 5;
        const std::string same = decoy_ + (place.size() > 5 ? "/" + place.substr(sub) : "");
        spec::Mount made = mount(place, "tmpfs", "tmpfs", {});
        if (kind == "bind") {
          if (!fs::exists(same)) continue;
          made = mount(place, "bind", same, {"bind", "rw"});
        }
        if (kind == "file") made = mount(place, "bind", canary.path() + "/file", {"bind", "rw"});
        if (kind == "FIFO") made = mount(place, "bind", decoy_ + "/fifo", {"bind", "rw"});
        if (kind == "proc") made = mount(place, "proc", "proc", {});
        if (kind == "magic") made = mount(place, "bind", "/proc/self/fd", {"bind", "rw"});
        auto& mounts = box.config.mounts;
        mounts.insert(after ? mounts.end() : mounts.begin(), std::move(made));
        judge(box, fmt::format("{} over {}, {} the config's own\n", kind, place, after ? "after" : "before"),
              more() || cases % 8 == 0)
            ? ++started
            : ++refused;
        EXPECT_EQ(canary.changes(), "") << kind << place;
        fs::remove_all(box.path());
      }
  EXPECT_GT(started, 0);
  tried(
      "{} of {} mounts (11 places, 6 kinds, before or after the config's /proc): {} started with every value "
      "in its place, {} refused, no decoy written",
      started + refused, std::size(places) * 12, started, refused);
}

TEST_F(Procfs, WhateverTheImageHasThere) {
  const Canary canary(scratch() + "/canary");
  int started = 0, refused = 0;
  for (const std::string kind :
       {"absolute", "relative", "magic", "descriptor", "FIFO", "file", "directory", "self"})
    for (const bool mounted : {true, false}) {
      auto box = writer("box-image");
      const std::string proc = box.rootfs() + "/proc";
      if (kind == "absolute") fs::create_symlink(decoy_, proc);
      if (kind == "relative") fs::create_symlink("../../../../../../../.." + decoy_, proc);
      if (kind == "magic") fs::create_symlink("/proc/self/root" + decoy_, proc);
      if (kind == "descriptor") fs::create_symlink("/proc/self/fd/5", proc);
      if (kind == "FIFO") ::mkfifo(proc.c_str(), 0666);
      if (kind == "file") std::ofstream(proc) << "file\n";
      if (kind == "directory") shell("cp -a " + decoy_ + " " + proc);
      if (kind == "self") {
        fs::create_directories(box.rootfs() + "/other");
        fs::create_symlink("/other", proc);
      }
      if (!mounted)
        std::erase_if(box.config.mounts, [](const spec::Mount& m) { return m.destination == "/proc"; });
      if (kind == "directory") shell("chown -R 700000:700000 " + box.path());
      const std::string label = fmt::format("/proc of the image: {}, mounted {}\n", kind, mounted);
      const bool ran = judge(box, label);
      ran ? ++started : ++refused;
      // A /proc somewhere else would leave what is masked uncovered.
      EXPECT_FALSE(ran && mounted && kind != "directory") << label;
      EXPECT_EQ(canary.changes(), "") << label;
      fs::remove_all(box.path());
    }
  EXPECT_GT(started, 0);
  tried("8 kinds of /proc in the image, covered or not: {} started with every value in its place, {} refused",
        started, refused);
}

// Another container exchanges /proc for a link while this one starts, in the root or in a volume that both have.
TEST_F(Procfs, WhateverIsExchangedMeanwhile) {
  for (const bool shared : {false, true}) {
    auto box = writer(shared ? "box-volume" : "box-root");
    const std::string volume = scratch() + "/volume";
    std::string top = box.rootfs();
    if (shared) {
      fs::create_directories(volume);
      top = volume;
      box.config.mounts.push_back(mount("/volume", "bind", volume, {"rbind"}));
      box.config.mounts.push_back(mount("/volume/proc", "proc", "proc", {}));
      box.config.mounts.push_back(mount("/volume/proc/self/attr", "tmpfs", "tmpfs", {}));
      box.config.mounts.push_back(mount("/proc/self/attr", "bind", volume + "/attr", {"bind", "rw"}));
      fs::create_directories(volume + "/attr");
      box.config.linux_->readonlyPaths.emplace_back("/volume/proc/sys");
    }
    shell("cp -a " + decoy_ + " " + top + "/proc");
    fs::create_symlink(decoy_, top + "/link");
    shell(fmt::format("chown -Rh 700000:700000 {}", top));
    Running swapper(
        {.argv = {program("cloche_security_probe"), "swap", top + "/proc", top + "/link", "10000"}});
    ASSERT_TRUE(swapper.wait_for_output("ready"));
    int started = 0, refused = 0;
    // Most starts are refused; one is what the test is about.
    for (int i = 0; i < (more() ? 100 : 12) || (started == 0 && i < 200); ++i)
      judge(box, fmt::format("exchange {} shared {}\n", i, shared), i % 10 == 0) ? ++started : ++refused;
    const Outcome swapped = swapper.finish();
    EXPECT_GT(started, 0);
    EXPECT_GE(number(swapped.out, "rounds"), 10000) << swapped.describe();
    tried("{} exchanges of /proc in {}: {} started with every value in its place, {} refused",
          number(swapped.out, "rounds"), shared ? "a shared volume" : "the root", started, refused);
  }
}

// The calls: every file of procfs that is opened to be written is one of the /proc that was opened before the clone, or
// is written by the caller on the host.
TEST_F(Procfs, EveryWriteGoesByTheHostsOwn) {
  CLOCHE_NEEDS(needs::program("strace"));
  if (peer()) GTEST_SKIP() << "needs Cloche: of its calls";
  // No security module is here: one is claimed, so that the step that writes the label is done, and fails.
  const std::string enabled = scratch() + "/enabled";
  std::ofstream(enabled) << "Y\n";
  const bool module = fs::exists("/sys/module/apparmor/parameters/enabled");
  std::set<std::string> seen;
  int opened = 0;
  for (const bool label : {false, true}) {
    auto box = writer(label ? "box-label" : "box-trace");
    box.config.process->args = {"true"};
    if (label) {
      box.config.process->apparmorProfile = "attack";
      // In a user namespace the kernel gives no new sysfs where a part of the host's is covered, as it is below.
      std::erase_if(box.config.linux_->namespaces, [](const auto& ns) { return ns.type == "user"; });
      box.config.linux_->uidMappings = box.config.linux_->gidMappings = {};
    }
    box.config.mounts.push_back(mount("/proc/self/attr", "bind", decoy_ + "/self/attr", {"bind", "rw"}));
    box.config.mounts.push_back(mount("/proc/sys", "bind", decoy_ + "/sys", {"bind", "rw"}));
    box.write();
    const std::string trace = scratch() + "/trace";
    const std::string line = module || !label
                                 ? ""
                                 : "mkdir -p " + scratch() + "/mod/apparmor/parameters && cp " + enabled +
                                       " " + scratch() + "/mod/apparmor/parameters/enabled && mount --bind " +
                                       scratch() + "/mod /sys/module && ";
    std::vector<std::string> argv{
        "unshare", "-m",     "sh",  "-c",  line + "exec \"$@\"",
        "sh",      "strace", "-f",  "-qq", "-s",
        "4096",    "-o",     trace, "-e",  "trace=openat,openat2,clone3,clone,pivot_root,write"};
    for (std::string& word : command({"run", "--bundle", box.path(), "box"})) argv.push_back(std::move(word));
    const std::string before = decoys();
    const Outcome outcome = test::run({.argv = argv});
    EXPECT_EQ(outcome.ok(), !label) << outcome.describe();
    EXPECT_TRUE(!label || outcome.err.contains("label")) << outcome.describe();
    EXPECT_EQ(decoys(), before);
    std::ifstream lines(trace);
    std::string proc;  // the descriptor of the host's /proc
    for (std::string call; std::getline(lines, call);) {
      if (call.contains("openat(AT_FDCWD, \"/proc\", ")) {
        EXPECT_FALSE(seen.contains("pivot_root"));
        proc = "openat(" + call.substr(call.rfind(' ') + 1) + ", \"";
      }
      if (!call.contains("openat") || !(call.contains("O_WRONLY") || call.contains("O_RDWR"))) continue;
      const size_t quote = call.find('"');
      const std::string path = call.substr(quote + 1, call.find('"', quote + 1) - quote - 1);
      const bool hosts = path.starts_with("/proc/");
      if (!hosts && !path.starts_with("self/") && !path.starts_with("sys/") &&
          !path.starts_with("thread-self/")) {
        for (const char* name : {"attr", "oom_score_adj", "uid_map", "timens", "setgroups"})
          EXPECT_FALSE(path.contains(name)) << call;
        continue;
      }
      ++opened;
      if (hosts) {  // /proc/PID/uid_map: the caller's, which never leaves the host
        EXPECT_TRUE(path.ends_with("_map") || path.ends_with("setgroups")) << call;
      } else {
        EXPECT_TRUE(!proc.empty() && call.contains(proc)) << call;
      }
      seen.insert(path.substr(path.rfind('/') + 1));
    }
  }
  const std::set<std::string> all{"exec",          "gid_map",        "ip_forward", "msgmax",
                                  "oom_score_adj", "timens_offsets", "uid_map"};
  EXPECT_EQ(seen, all);
  tried("{} files of procfs opened to write them, as a trace has them: by the host's /proc", opened);
}

}  // namespace
}  // namespace cloche::test
