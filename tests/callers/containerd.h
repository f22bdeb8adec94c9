// A containerd of the test's own, with its client ctr.
#pragma once

#include <fmt/format.h>

#include "callers/caller.h"
#include "support/needs.h"

namespace cloche::test {

class ContainerdTest : public CallerTest {
 protected:
  void SetUp() override {
    CallerTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    CLOCHE_NEEDS(needs::root());
    for (const char* name : {"containerd", "ctr"}) CLOCHE_NEEDS(needs::program(name));
    set_env(fmt::format("CONTAINERD_ADDRESS={}/containerd.sock", scratch()));
    write_file("/etc/containerd/config.toml", configuration());
    start_daemon(
        fmt::format("containerd --address {0}/containerd.sock --root {0}/root --state {0}/state", scratch()),
        "ctr version");
    if (HasFatalFailure()) return;
    import_image();
  }
  virtual std::string configuration() { return documented("/etc/containerd/config.toml"); }
  virtual void import_image() {
    const Outcome imported = call("ctr images import --snapshotter native " + oci_archive());
    ASSERT_TRUE(imported.ok()) << imported.describe();
  }
  // ctr run FLAGS, as documented; without shares of the cpu where that controller is not there, since ctr's default
  // asks for some.
  [[nodiscard]] std::string ctr_run(const std::string& words) const {
    std::string line = documented(with_systemd() ? "ctr run --runc-systemd-cgroup" : "ctr run");
    line.resize(line.find(" docker.io/"));
    const bool cpu = !needs::cgroup2_controller("cpu");
    return fmt::format("{} --snapshotter native {} {}", line, cpu ? "" : "--cpu-shares 0", words);
  }
  // Ends a container that runs, of which nothing is left then.
  void end(const std::string& name) const {
    EXPECT_TRUE(call("ctr task kill -s KILL " + name).ok());
    EXPECT_TRUE(wait_until([&] { return call("ctr task ls").out.contains("STOPPED"); }));
    call("ctr task rm " + name);  // it ends with the container's status
    EXPECT_TRUE(call("ctr container rm " + name).ok());
    EXPECT_EQ(line_of("ctr container ls -q"), "");
  }
  static constexpr char kImage[] = "docker.io/library/box:1";
};

}  // namespace cloche::test
