#include "callers/caller.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "support/needs.h"
#include "support/place.h"

namespace cloche::test {
namespace fs = std::filesystem;
namespace {

// The cgroups above the containers that a caller makes and leaves.
constexpr const char* kCallersCgroups[] = {
    "libpod_parent/conmon", "libpod_parent", "podman_probe", "docker", "default", "conmon",
    "kubepods/pod1",        "kubepods"};

constexpr char kDaemonUnit[] = "daemon.service";

std::string cgroup_path(const char* name) { return fmt::format("/sys/fs/cgroup/{}", name); }

// As a subreaper we are the parent of whatever a caller leaves, such as a clean-up that goes on behind its back.
void wait_for_orphans() {
  const bool all = wait_until([] {
    pid_t ended = 0;
    while ((ended = waitpid(-1, nullptr, WNOHANG)) > 0) {
    }
    return ended < 0 && errno == ECHILD;
  });
  EXPECT_TRUE(all) << "left running:\n" << shell("ps -e -o pid,ppid,args --forest").out;
}

}  // namespace

std::string documented(const std::string& name) {
  const std::string path = source_directory() / "docs/callers.md";
  std::ifstream file(path);
  std::string line, block;
  bool found = false;
  while (!found && std::getline(file, line))
    found = line.ends_with(':') && line.contains(fmt::format("`{}`", name));
  while (found && std::getline(file, line) && !line.starts_with("```")) {
  }
  while (found && std::getline(file, line) && line != "```") block += line + "\n";
  if (block.empty()) throw std::runtime_error(fmt::format("{} has no code block for `{}`:", path, name));
  return block;
}

void CallerTest::SetUp() {
  LeaksNothing::SetUp();
  // Links and rules that a caller makes go with it. The machine's own is where tests take turns.
  machine_network_ = sys::Fd(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(machine_network_.valid());
  if (geteuid() == 0) {
    ASSERT_EQ(unshare(CLONE_NEWNET), 0);
    ASSERT_TRUE(call("ip link set lo up").ok());
  }
  for (const char* name : kCallersCgroups)
    if (fs::exists(cgroup_path(name))) inherited_.insert(name);
  if (with_systemd()) start_systemd();
}

void CallerTest::start_systemd() {
  CLOCHE_NEEDS(needs::root());
  for (const char* name : {"systemctl", "dbus-daemon"}) CLOCHE_NEEDS(needs::program(name));
  // The whole of scratch() is on both sides.
  nest_ = std::make_unique<SystemdNest>(scratch());
  ASSERT_EQ(nest_->problem(), "");
  ASSERT_EQ(nest_->start_bus(), "");
}

void CallerTest::TearDown() {
  stop_daemon();
  nest_.reset();
  wait_for_orphans();
  // What is left of a container in one of them makes this fail, and is reported.
  for (const char* name : kCallersCgroups)
    if (!inherited_.contains(name)) rmdir(cgroup_path(name).c_str());
  // Podman's own mount of its store: the process that cleans up behind a container may be the last to have it.
  umount2((scratch() + "/store/overlay").c_str(), MNT_DETACH);
  // What is kept of failures for `explain` stays by design.
  fs::remove_all("/run/cloche-runtime/@failed");
  rmdir("/run/cloche-runtime");
  if (geteuid() == 0) {
    EXPECT_EQ(setns(machine_network_.get(), CLONE_NEWNET), 0);
  }
  LeaksNothing::TearDown();
}

Command CallerTest::in_place(std::vector<std::string> argv) const {
  return {.argv = nest_ ? nest_->inside(argv, environment_) : std::move(argv),
          .set_env = environment_,
          .limit = std::chrono::seconds(300)};
}

Outcome CallerTest::call(const std::string& script) const { return run(in_place({"sh", "-c", script})); }

Outcome CallerTest::call_on_terminal(const std::string& script) const {
  return run(in_place({"script", "-qec", "stty rows 33 cols 77; " + script, "/dev/null"}));
}

std::string CallerTest::line_of(const std::string& script) const {
  std::string out = call(script).out;
  while (out.ends_with('\n')) out.pop_back();
  return out;
}

void CallerTest::write_file(const std::string& path, const std::string& text) const {
  fs::create_directories(fs::path(path).parent_path());
  std::ofstream(path, std::ios::trunc) << text;
}

std::string CallerTest::image_directory() {
  const std::string path = scratch() + "/image";
  if (fs::exists(path)) return path;
  const Outcome made = call(fmt::format(R"sh(set -e
mkdir -p {0}/bin {0}/etc {0}/tmp {0}/proc {0}/sys {0}/dev
cp "$(command -v busybox)" {0}/bin/busybox
for name in $(busybox --list); do [ $name = busybox ] || ln -s busybox {0}/bin/$name; done
echo root:x:0:0::/:/bin/sh >{0}/etc/passwd
echo app:x:1000:1000::/:/bin/sh >>{0}/etc/passwd
chmod 1777 {0}/tmp)sh",
                                        path));
  EXPECT_TRUE(made.ok()) << made.describe();
  return path;
}

std::string CallerTest::image_archive() {
  std::string path = scratch() + "/image.tar";
  EXPECT_TRUE(call(fmt::format("tar -C {} -cf {} .", image_directory(), path)).ok());
  return path;
}

// The image layout of the OCI image specification, 1.0: an index names a manifest, which names a config and a layer.
std::string CallerTest::oci_archive(const std::string& command) {
  const Outcome made = call(fmt::format(R"sh(set -e
mkdir -p {0}/layout/blobs/sha256
cd {0}/layout
put() {{ # FILE: a blob of the layout; prints its descriptor without the type
  sum=$(sha256sum <"$1" | cut -d' ' -f1)
  size=$(stat -c %s "$1")
  mv "$1" blobs/sha256/$sum
  echo "\"digest\":\"sha256:$sum\",\"size\":$size"
}}
type=application/vnd.oci.image
cp {1} layer
layer=$(put layer)
diff=$(echo "$layer" | cut -d'"' -f4)
echo '{{"architecture":"amd64","os":"linux","config":{{"Cmd":[{2}],"Env":["PATH=/bin"]}},"rootfs":{{"type":"layers","diff_ids":["'$diff'"]}}}}' >config
config=$(put config)
echo '{{"schemaVersion":2,"config":{{"mediaType":"'$type'.config.v1+json",'$config'}},"layers":[{{"mediaType":"'$type'.layer.v1.tar",'$layer'}}]}}' >manifest
manifest=$(put manifest)
echo '{{"schemaVersion":2,"manifests":[{{"mediaType":"'$type'.manifest.v1+json",'$manifest',"annotations":{{"io.containerd.image.name":"docker.io/library/box:1"}}}}]}}' >index.json
echo '{{"imageLayoutVersion":"1.0.0"}}' >oci-layout
tar -cf ../oci.tar .)sh",
                                        scratch(), image_archive(), command));
  EXPECT_TRUE(made.ok()) << made.describe();
  return scratch() + "/oci.tar";
}

void CallerTest::start_daemon(const std::string& command, const std::string& is_ready) {
  // Its output goes to a file: nobody would empty a pipe.
  const std::string script = fmt::format("exec {} >{}/daemon.log 2>&1", command, scratch());
  if (nest_) {
    // As the packages' units have it, so that a container outlives its engine.
    const Outcome started =
        nest_->run({"systemd-run", fmt::format("--unit={}", kDaemonUnit), "-p", "DefaultDependencies=no",
                    "-p", "Delegate=yes", "-p", "KillMode=process", "sh", "-c", script});
    ASSERT_TRUE(started.ok()) << started.describe();
  } else {
    daemon_ = std::make_unique<Running>(
        Command{.argv = {"sh", "-c", script}, .set_env = environment_, .limit = std::chrono::seconds(900)});
  }
  if (!wait_until([&] { return call(is_ready).ok(); }))
    FAIL() << command << ":\n" << call("tail -n 30 " + scratch() + "/daemon.log").out;
}

void CallerTest::stop_daemon() {
  if (nest_ && nest_->property(kDaemonUnit, "LoadState") == "loaded") {
    EXPECT_TRUE(nest_->run({"systemctl", "stop", kDaemonUnit}).ok());
    // One that ended well is forgotten.
    EXPECT_EQ(nest_->property(kDaemonUnit, "LoadState"), "not-found")
        << call("tail -n 30 " + scratch() + "/daemon.log").out;
  }
  if (!daemon_) return;
  daemon_->signal(SIGTERM);
  const Outcome ended = daemon_->finish();
  EXPECT_TRUE(ended.ok()) << ended.describe() << call("tail -n 30 " + scratch() + "/daemon.log").out;
  daemon_.reset();
}

}  // namespace cloche::test
