// Callers with systemd's cgroup driver: a container is the scope that its caller names, and nothing of it stays.
#include "callers/systemd.h"

namespace cloche::test {
namespace {

// Ends as systemd asks it to.
constexpr char kObedient[] = "sh -c 'trap \"exit 3\" TERM; touch /tmp/up; while :; do sleep 0.1; done'";

class PodmanSystemd : public PodmanSystemdTest {
 protected:
  // A podman that is a service of systemd's, as the units that it generates are.
  Outcome run_in_service(const std::string& words) const {
    return call(
        "systemd-run --quiet --collect -p DefaultDependencies=no -p Type=forking -p Delegate=yes "
        "--unit=box.service podman run -d --name box " +
        words);
  }
};

TEST_F(PodmanSystemd, AContainerIsTheScopeOfItsName) {
  EXPECT_EQ(line_of("podman info -f '{{.Host.CgroupManager}}'"), "systemd");
  const std::string id = line_of("podman run -d --name box box sleep 1000");
  const std::string unit = "libpod-" + id + ".scope";
  EXPECT_EQ(property(unit, "ActiveState") + " " + property(unit, "Delegate"), "active yes");
  EXPECT_EQ(property("libpod-conmon-" + id + ".scope", "ActiveState"), "active");
  EXPECT_EQ(cgroup_of(of_box("State.Pid")), "/machine.slice/" + unit);
  EXPECT_EQ(of_box("State.CgroupPath"), "/machine.slice/" + unit);
  // What is executed is in it too: at the root of the container's view.
  EXPECT_EQ(line_of("podman exec box sed -n s/^0:://p /proc/self/cgroup"), "/");
  EXPECT_TRUE(call("podman pause box").ok());
  EXPECT_EQ(property(unit, "FreezerState") + " " + of_box("State.Status"), "running paused");
  EXPECT_TRUE(call("podman unpause box").ok());

  EXPECT_TRUE(call("podman stop -t 0 box").ok());
  expect_no_unit("libpod*.scope");
  EXPECT_TRUE(call("podman start box").ok());
  EXPECT_EQ(property(unit, "ActiveState"), "active");
  EXPECT_TRUE(call("podman rm -f -t 0 box").ok());
  EXPECT_EQ(line_of("podman run --rm box echo hello"), "hello");
  EXPECT_EQ(call("podman run --rm box missing").exit_code, 127);
  expect_no_unit("libpod*.scope");
}

TEST_F(PodmanSystemd, ItIsInTheSliceOfItsPodOrTheOneAskedFor) {
  std::string id = line_of("podman run -d --name box --cgroup-parent of-mine.slice box sleep 1000");
  EXPECT_EQ(cgroup_of(of_box("State.Pid")), "/of.slice/of-mine.slice/libpod-" + id + ".scope");
  EXPECT_TRUE(call("podman rm -f -t 0 box").ok());

  const std::string pod =
      line_of("podman pod create --name pod --infra-image box --infra-command 'sleep 1000'");
  id = line_of("podman run -d --name box --pod pod box sleep 1000");
  EXPECT_EQ(cgroup_of(of_box("State.Pid")),
            "/machine.slice/machine-libpod_pod_" + pod + ".slice/libpod-" + id + ".scope");
  const Outcome removed = call("podman pod rm -f -t 0 pod");
  EXPECT_TRUE(removed.ok()) << removed.describe();
  expect_no_unit("*libpod*");
}

TEST_F(PodmanSystemd, WhatSystemdStopsHasEnded) {
  const std::string id = line_of(fmt::format("podman run -d --name box box {}", kObedient));
  EXPECT_TRUE(wait_until([&] { return call("podman exec box test -e /tmp/up").ok(); }));
  ASSERT_TRUE(call("systemctl stop libpod-" + id + ".scope").ok());
  EXPECT_EQ(line_of("podman wait box"), "3");
  EXPECT_TRUE(call("podman rm box").ok());
  expect_no_unit("libpod*.scope");
}

TEST_F(PodmanSystemd, AServiceHoldsItsConmonOrAllOfIt) {
  const Outcome outside = run_in_service("--cgroups no-conmon box sleep 1000");
  ASSERT_TRUE(outside.ok()) << outside.describe();
  EXPECT_EQ(cgroup_of(of_box("State.Pid")), "/machine.slice/libpod-" + of_box("Id") + ".scope");
  EXPECT_EQ(cgroup_of(of_box("State.ConmonPid")), "/system.slice/box.service");
  EXPECT_TRUE(call("podman rm -f -t 0 box").ok());
  expect_no_unit("libpod*.scope");
  expect_no_unit("box.service");

  const Outcome inside = run_in_service("--cgroups split box sleep 1000");
  ASSERT_TRUE(inside.ok()) << inside.describe();
  EXPECT_EQ(cgroup_of(of_box("State.Pid")), "/system.slice/box.service/libpod-payload-" + of_box("Id"));
  EXPECT_EQ(call("podman exec box sh -c 'exit 5'").exit_code, 5);
  EXPECT_TRUE(call("podman rm -f -t 0 box").ok());
  expect_no_unit("box.service");
}

class ContainerdSystemd : public ContainerdSystemdTest {};

TEST_F(ContainerdSystemd, AContainerIsTheScopeOfItsName) {
  ASSERT_TRUE(call(ctr_run(fmt::format("-d {} box sleep 1000", kImage))).ok());
  EXPECT_EQ(property(kUnit, "ActiveState") + " " + property(kUnit, "Delegate"), "active yes");
  const std::string pid = line_of("ctr task ls | awk '$1 == \"box\" {print $2}'");
  EXPECT_EQ(cgroup_of(pid), "/system.slice/ctr-box.scope");
  // ctr gives it no cgroup namespace.
  EXPECT_EQ(line_of("ctr task exec --exec-id one box sed -n s/^0:://p /proc/self/cgroup"),
            "/system.slice/ctr-box.scope");
  EXPECT_TRUE(call("ctr task pause box && ctr task resume box").ok());
  EXPECT_EQ(line_of("ctr task ps box | awk 'NR > 1 {print $1}'"), pid);
  end("box");
  expect_no_unit(kUnit);
  EXPECT_EQ(call(ctr_run(fmt::format("--rm {} box sh -c 'exit 7'", kImage))).exit_code, 7);
  expect_no_unit(kUnit);
}

TEST_F(ContainerdSystemd, TheServiceForKubernetesTakesTheOption) {
  write_file(scratch() + "/config.toml",
             documented("/etc/containerd/config.toml") + documented("SystemdCgroup"));
  const Outcome known = call("containerd --config " + scratch() + "/config.toml config dump");
  const size_t at = known.out.find("BinaryName = \"/usr/local/bin/cloche-runtime\"");
  ASSERT_NE(at, std::string::npos) << known.describe();
  // In the same table.
  const size_t option = known.out.find("SystemdCgroup = true", at);
  EXPECT_LT(option, known.out.find('[', at)) << known.out;
}

class DockerSystemd : public DockerSystemdTest {};

TEST_F(DockerSystemd, AContainerIsTheScopeOfItsName) {
  EXPECT_EQ(line_of("docker info -f '{{.CgroupDriver}} {{.DefaultRuntime}}'"), "systemd cloche");
  ASSERT_TRUE(call("docker run -d --name box box sleep 1000").ok());
  const std::string unit = "docker-" + of_box("Id") + ".scope";
  EXPECT_EQ(property(unit, "ActiveState") + " " + property(unit, "Delegate"), "active yes");
  EXPECT_EQ(cgroup_of(of_box("State.Pid")), "/system.slice/" + unit);
  EXPECT_EQ(line_of("docker exec box sed -n s/^0:://p /proc/self/cgroup"), "/");
  EXPECT_TRUE(call("docker pause box && docker unpause box").ok());
  EXPECT_TRUE(call("docker stop -t 0 box").ok());
  expect_no_unit("docker-*.scope");
  EXPECT_TRUE(call("docker start box").ok());
  EXPECT_EQ(property(unit, "ActiveState"), "active");
  EXPECT_TRUE(call("docker rm -f box").ok());
  EXPECT_EQ(call("docker run --rm box sh -c 'exit 7'").exit_code, 7);
  EXPECT_EQ(call("docker run --rm box missing").exit_code, 127);
  expect_no_unit("docker-*.scope");
}

TEST_F(DockerSystemd, WhatSystemdStopsHasEndedInTheSliceAskedFor) {
  ASSERT_TRUE(
      call(fmt::format("docker run -d --name box --cgroup-parent of-mine.slice box {}", kObedient)).ok());
  const std::string unit = "docker-" + of_box("Id") + ".scope";
  EXPECT_EQ(cgroup_of(of_box("State.Pid")), "/of.slice/of-mine.slice/" + unit);
  EXPECT_TRUE(wait_until([&] { return call("docker exec box test -e /tmp/up").ok(); }));
  ASSERT_TRUE(call("systemctl stop " + unit).ok());
  EXPECT_EQ(line_of("docker wait box"), "3");
  EXPECT_TRUE(call("docker rm box").ok());
  expect_no_unit("docker-*.scope");
}

}  // namespace
}  // namespace cloche::test
