// Limits that bite, asked for through the callers. They need controllers on cgroup v2: tests/vm/guest has them.
#include "callers/limits.h"

#include "callers/containerd.h"
#include "callers/cri.h"
#include "callers/docker.h"
#include "callers/podman.h"

namespace cloche::test {
namespace {

class PodmanLimits : public PodmanTest {
 protected:
  void SetUp() override {
    PodmanTest::SetUp();
    if (IsSkipped()) return;
    for (const char* name : {"memory", "pids", "cpu"}) CLOCHE_NEEDS(needs::cgroup2_controller(name));
    import_image();
  }
};

TEST_F(PodmanLimits, MemoryAndPids) {
  EXPECT_EQ(call(fmt::format("podman run --name box --memory 32m box {}", kEatsMemory)).exit_code, 137);
  // Not .State.OOMKilled: in the guest Debian 12's Podman says false of crun's containers too.
  EXPECT_TRUE(call("podman rm box").ok());
  const Outcome forks = call(fmt::format("podman run --rm --pids-limit 8 box {}", kForks));
  EXPECT_TRUE(forks.out.contains("can't fork: Resource temporarily unavailable")) << forks.describe();
}

TEST_F(PodmanLimits, UpdateAndStats) {
  ASSERT_TRUE(call("podman run -d --name box --memory 64m --memory-swap 64m box sleep 1000").ok());
  const Outcome updated =
      call("podman update --memory 32m --memory-swap 32m --cpu-quota 20000 --cpu-period 100000 box");
  EXPECT_TRUE(updated.ok()) << updated.describe();
  EXPECT_EQ(line_of("podman exec box cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max"),
            "33554432\n20000 100000");
  EXPECT_EQ(call(fmt::format("podman exec box {}", kEatsMemory)).exit_code, 137);
  const Outcome stats = call("podman stats --no-stream --format '{{.MemUsage}} {{.PIDs}}' box");
  // The limit it was made with, by Podman's own book: so with crun.
  EXPECT_TRUE(stats.out.contains("/ 67.11MB 1")) << stats.describe();
  EXPECT_TRUE(call("podman rm -f -t 0 box").ok());
}

class ContainerdLimits : public ContainerdTest {};

TEST_F(ContainerdLimits, MemoryAndMetrics) {
  for (const char* name : {"memory", "pids", "cpu"}) CLOCHE_NEEDS(needs::cgroup2_controller(name));
  EXPECT_EQ(
      call(ctr_run(fmt::format("--rm --memory-limit 33554432 {} box {}", kImage, kEatsMemory))).exit_code,
      137);
  ASSERT_TRUE(call(ctr_run(fmt::format("-d --memory-limit 67108864 {} box sleep 1000", kImage))).ok());
  const Outcome metrics = call("ctr task metrics box");
  const auto value = [&](const std::string& name) {
    return line_of(fmt::format("ctr task metrics box | awk '$1 == \"{}\" {{print $2}}'", name));
  };
  EXPECT_EQ(value("memory.usage_limit"), "67108864") << metrics.describe();
  EXPECT_EQ(value("pids.current"), "1") << metrics.describe();
  EXPECT_NE(value("memory.usage"), "0") << metrics.describe();
  EXPECT_NE(value("cpu.usage_usec"), "0") << metrics.describe();
  end("box");
}

class CriLimits : public CriTest {
 protected:
  void SetUp() override {
    CriTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    for (const char* name : {"memory", "pids", "cpu"}) CLOCHE_NEEDS(needs::cgroup2_controller(name));
    run_pod({.privileged = true});
  }
};

// One pod for all of it, as the guest takes a minute to make one.
TEST_F(CriLimits, MemoryPidsUpdateStatsAndPrivileged) {
  const std::string box = start({.script = kGoesOn, .resources = "memory_limit_in_bytes: 67108864"});
  const Outcome updated =
      cri("UpdateContainerResources",
          of(box, "linux { memory_limit_in_bytes: 33554432 cpu_period: 100000 cpu_quota: 20000 }"));
  EXPECT_TRUE(updated.ok()) << updated.describe();
  EXPECT_EQ(output(box, "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max"),
            "33554432\\n20000 100000\\n");
  EXPECT_EQ(field(exec(box, kEatsMemory).out, "exit_code"), "137");
  // The container goes on, so that the event is not lost with the cgroup.
  EXPECT_TRUE(wait_until([&] { return field(status(box), "reason") == "OOMKilled"; })) << status(box);
  EXPECT_EQ(field(status(box), "state"), "CONTAINER_RUNNING");
  const std::string stats = cri("ContainerStats", of(box)).out;
  EXPECT_EQ(field(stats, "id"), box) << stats;
  for (const char* name : {"usage_core_nano_seconds", "working_set_bytes"}) {
    ASSERT_TRUE(stats.contains(name)) << stats;
    EXPECT_GT(std::stoll("0" + field(stats.substr(stats.find(name)), "value")), 0) << stats;
  }

  const std::string eats = start({.name = "eats",
                                  .script = fmt::format("exec {}", kEatsMemory),
                                  .resources = "memory_limit_in_bytes: 33554432"});
  EXPECT_EQ(field(end_of(eats), "exit_code"), "137");
  const std::string forks =
      start({.name = "forks",
             .script = "for i in 1 2 3 4 5 6 7 8 9; do sleep 1000 >/dev/null 2>&1 & done",
             .resources = "unified { key: 'pids.max' value: '6' }"});
  (void)end_of(forks);
  EXPECT_TRUE(log("forks").contains("fork: Resource temporarily unavailable")) << log("forks");
  // A kubelet limits a pod's processes by the pod's cgroup, which its containers are below.
  EXPECT_TRUE(call("echo 6 >/sys/fs/cgroup/kubepods/pod1/pids.max").ok());
  const Outcome children = exec(box, "for i in 1 2 3 4 5 6 7 8 9; do sleep 1000 >/dev/null 2>&1 & done");
  EXPECT_TRUE(field(children.out, "stderr").contains("fork: Resource temporarily unavailable"))
      << children.describe();
  EXPECT_TRUE(call("echo max >/sys/fs/cgroup/kubepods/pod1/pids.max").ok());

  const std::string privileged =
      start({.name = "root", .script = kGoesOn, .seccomp = "Unconfined", .security = "privileged: true"});
  EXPECT_EQ(output(privileged, "mount -t tmpfs none /tmp && echo mounted"), "mounted\\n");
}

class DockerLimits : public DockerTest {};

TEST_F(DockerLimits, MemoryPidsAndUpdate) {
  for (const char* name : {"memory", "pids", "cpu"}) CLOCHE_NEEDS(needs::cgroup2_controller(name));
  EXPECT_EQ(call(fmt::format("docker run --name box --memory 32m box {}", kEatsMemory)).exit_code, 137);
  EXPECT_TRUE(call("docker rm box").ok());
  // Docker hears of it beside the container's end, and passes over what comes after that: so the container outlives it.
  (void)call(fmt::format("docker run --name box --memory 32m box sh -c '{}; sleep 5'", kEatsMemory));
  EXPECT_EQ(line_of("docker inspect -f '{{.State.OOMKilled}}' box"), "true");
  EXPECT_TRUE(call("docker rm box").ok());
  const Outcome forks = call(fmt::format("docker run --rm --pids-limit 8 box {}", kForks));
  EXPECT_TRUE(forks.out.contains("can't fork: Resource temporarily unavailable")) << forks.describe();
  ASSERT_TRUE(call("docker run -d --name box --memory 64m --memory-swap 64m box sleep 1000").ok());
  const Outcome updated = call("docker update --memory 32m --memory-swap 32m --cpus 0.2 box");
  EXPECT_TRUE(updated.ok()) << updated.describe();
  EXPECT_EQ(line_of("docker exec box cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max"),
            "33554432\n20000 100000");
  EXPECT_EQ(call(fmt::format("docker exec box {}", kEatsMemory)).exit_code, 137);
  const Outcome stats = call("docker stats --no-stream --format '{{.MemUsage}} {{.PIDs}}' box");
  EXPECT_TRUE(stats.out.contains("32MiB 1")) << stats.describe();
  EXPECT_TRUE(call("docker rm -f box").ok());
}

TEST_F(DockerLimits, Privileged) {
  CLOCHE_NEEDS(needs::capability(24, "CAP_SYS_RESOURCE"));
  EXPECT_EQ(line_of("docker run --rm --privileged box sh -c 'mount -t tmpfs none /tmp && echo mounted'"),
            "mounted");
}

}  // namespace
}  // namespace cloche::test
