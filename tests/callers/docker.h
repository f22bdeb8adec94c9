// A Docker daemon of the test's own. It makes no bridge and no rules of a firewall.
#pragma once

#include <fmt/format.h>

#include "callers/caller.h"
#include "support/needs.h"

namespace cloche::test {

class DockerTest : public CallerTest {
 protected:
  void SetUp() override {
    CallerTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    CLOCHE_NEEDS(needs::root());
    for (const char* name : {"dockerd", "docker", "containerd"}) CLOCHE_NEEDS(needs::program(name));
    start("dockerd", "--bridge none");
    if (HasFatalFailure()) return;
    const Outcome imported = call("docker import " + image_archive() + " box");
    ASSERT_TRUE(imported.ok()) << imported.describe();
  }
  void start(const std::string& program, const std::string& flags) {
    set_env(fmt::format("DOCKER_HOST=unix://{}/docker.sock", scratch()));
    write_file("/etc/docker/daemon.json",
               documented(with_systemd() ? "native.cgroupdriver=systemd" : "/etc/docker/daemon.json"));
    start_daemon(
        fmt::format("{1} -H unix://{0}/docker.sock --data-root {0}/data --exec-root {0}/exec "
                    "--pidfile {0}/docker.pid --iptables=false --ip6tables=false --ip-forward=false {2}",
                    scratch(), program, flags),
        "docker version");
  }
};

}  // namespace cloche::test
