// Podman and Buildah with a store of the test's own.
#pragma once

#include <fmt/format.h>
#include <sys/mount.h>

#include "callers/caller.h"
#include "support/needs.h"

namespace cloche::test {

class PodmanTest : public CallerTest {
 protected:
  void SetUp() override {
    CallerTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    CLOCHE_NEEDS(needs::root());
    for (const char* name : {"podman", "buildah", "conmon"}) CLOCHE_NEEDS(needs::program(name));
    write_file("/etc/containers/containers.conf", documented("/etc/containers/containers.conf"));
    write_file(
        "/etc/containers/storage.conf",
        fmt::format("[storage]\ndriver = \"overlay\"\nrunroot = \"{0}/run\"\ngraphroot = \"{0}/store\"\n",
                    scratch()));
    // Where tests run there is no journal, and mostly no systemd; a user may not raise limits; and without the pids
    // controller there must be no limit of it.
    const bool pids = !needs::cgroup2_controller("pids");
    write_file("/etc/containers/containers.conf.d/tests.conf",
               fmt::format("[containers]\nlog_driver = \"k8s-file\"\nnetns = \"none\"\npids_limit = {}\n"
                           "default_ulimits = [\"nofile=1024:1024\", \"nproc=1000:1000\"]\n"
                           "[engine]\nevents_logger = \"file\"\n{}",
                           pids ? 2048 : 0, with_systemd() ? "" : "cgroup_manager = \"cgroupfs\"\n"));
    write_file("/etc/containers/containers.conf.d/systemd.conf",
               with_systemd() ? documented("cgroup_manager") : "");
  }
  void TearDown() override {
    // A command that fails may leave the store mounted on itself, whatever the runtime.
    umount2((scratch() + "/store/overlay").c_str(), MNT_DETACH);
    CallerTest::TearDown();
  }
  void import_image() {
    const Outcome imported = call("podman import " + image_archive() + " box");
    ASSERT_TRUE(imported.ok()) << imported.describe();
  }
};

}  // namespace cloche::test
