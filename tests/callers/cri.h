// A containerd as Kubernetes calls it: by the container runtime interface (CRI), with what a kubelet says there.
#pragma once

#include <fmt/format.h>

#include <chrono>
#include <string>

#include "callers/containerd.h"
#include "support/place.h"

namespace cloche::test {

// Process 1 of a container that says when it is ready, and has a handler for the signal that stops it.
inline constexpr char kGoesOn[] = "trap 'exit 9' TERM; touch /tmp/up; while :; do sleep 0.1; done";

class CriTest : public ContainerdTest {
 protected:
  void TearDown() override {
    if (!pod_.empty()) end_pod();
    ContainerdTest::TearDown();
  }
  // What these lines add is this machine's: an image that is here, a snapshotter that works on any file system, no
  // cgroups where there are no controllers for them on cgroup v2, no lower score than ours where that is not allowed,
  // and a network for the pods.
  std::string configuration() override {
    write_file("/etc/cni/net.d/10-cloche.conflist",
               R"({"cniVersion": "0.4.0", "name": "cloche", "plugins": [{"type": "ptp", "ipam":
{"type": "host-local", "subnet": "10.1.2.0/24", "dataDir": ")" +
                   scratch() + R"(/addresses"}}]})");
    return fmt::format(R"({}
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{}"
  disable_cgroup = {}
  restrict_oom_score_adj = {}
[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "native"
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
)",
                       documented("/etc/containerd/config.toml"), kImage,
                       needs::cgroup2_controller("cpu").has_value(),
                       needs::capability(24, "CAP_SYS_RESOURCE").has_value());
  }
  // One image for the sandbox, whose command goes on for ever, and for the containers.
  void import_image() override {
    for (const char* name : {"curl", "protoc"}) CLOCHE_NEEDS(needs::program(name));
    const Outcome served = cri("Status");
    ASSERT_TRUE(served.ok()) << served.describe() << call("grep cri " + scratch() + "/daemon.log").out;
    const Outcome imported =
        call("ctr -n k8s.io images import --snapshotter native " + oci_archive(R"("sleep","1000000")"));
    ASSERT_TRUE(imported.ok()) << imported.describe();
    // The service hears of it behind the import.
    EXPECT_TRUE(wait_until([&] {
      return cri("ImageStatus", fmt::format("image {{ image: '{}' }}", kImage)).out.contains("id:");
    }));
  }

  // A call, with the request and the reply in protobuf's text format (cri.proto).
  [[nodiscard]] Outcome cri(const std::string& method, const std::string& request = "") {
    return run({.argv = {(source_directory() / "tests/callers/cri").string(), scratch() + "/containerd.sock",
                         method},
                .input = request,
                .limit = std::chrono::seconds(300)});
  }
  // The first field of that name in a reply, without quotes.
  static std::string field(const std::string& reply, const std::string& name) {
    const size_t at = reply.find(name + ": ");
    if (at == std::string::npos) return "";
    std::string value = reply.substr(at + name.size() + 2);
    value.resize(value.find('\n'));
    return value.starts_with('"') ? value.substr(1, value.size() - 2) : value;
  }
  static std::string quoted(const std::string& text) {
    std::string result = "\"";
    for (const char c : text) {
      if (c == '"' || c == '\\') result += '\\';
      result += c;
    }
    return result + '"';
  }

  struct Pod {
    std::string network = "NODE";  // the node's, or its own ("POD")
    bool privileged = false;  // it may have privileged containers
  };
  void run_pod(const Pod& pod) {
    // A pod with the node's network has the node's hostname.
    network_ = pod.network;
    pod_config_ = fmt::format(R"(
metadata {{ name: "pod" uid: "1" namespace: "default" }} {0} log_directory: "{1}/logs"
linux {{
  cgroup_parent: "/kubepods/pod1"
  security_context {{
    namespace_options {{ network: {2} pid: CONTAINER }} privileged: {3} seccomp {{ profile_type: RuntimeDefault }}
  }}
}})",
                              pod.network == "NODE" ? "" : R"(hostname: "pod")", scratch(), pod.network,
                              pod.privileged);
    const Outcome started =
        cri("RunPodSandbox", fmt::format("config {{ {} }} runtime_handler: 'cloche'", pod_config_));
    ASSERT_TRUE(started.ok()) << started.describe();
    pod_ = field(started.out, "pod_sandbox_id");
  }
  // A container of the pod.
  struct Container {
    std::string name = "box";
    std::string script = "";  // of a shell
    std::string program = "sh";  // another one than the shell
    std::string pid = "CONTAINER";  // the pid namespace: its own, or the pod's
    std::string seccomp = "RuntimeDefault";
    std::string security = "";  // more fields of LinuxContainerSecurityContext,
    std::string resources = "";  // LinuxContainerResources
    std::string more = "";  // and ContainerConfig
  };
  // The paths are a kubelet's.
  [[nodiscard]] Outcome create(const Container& container) {
    return cri("CreateContainer",
               fmt::format(R"(
pod_sandbox_id: "{0}"
config {{
  metadata {{ name: "{1}" }} image {{ image: "{2}" }} log_path: "{1}.log"
  command: "{3}" command: "-c" command: {4}
  {5}
  linux {{
    resources {{ {6} }}
    security_context {{
      {7}
      namespace_options {{ network: {8} pid: {9} }} seccomp {{ profile_type: {10} }}
      masked_paths: "/proc/asound" masked_paths: "/proc/acpi" masked_paths: "/proc/kcore"
      masked_paths: "/proc/keys" masked_paths: "/proc/latency_stats" masked_paths: "/proc/timer_list"
      masked_paths: "/proc/timer_stats" masked_paths: "/proc/sched_debug" masked_paths: "/proc/scsi"
      masked_paths: "/sys/firmware"
      readonly_paths: "/proc/bus" readonly_paths: "/proc/fs" readonly_paths: "/proc/irq"
      readonly_paths: "/proc/sys" readonly_paths: "/proc/sysrq-trigger"
    }}
  }}
}}
sandbox_config {{ {11} }})",
                           pod_, container.name, kImage, container.program, quoted(container.script),
                           container.more, container.resources, container.security, network_, container.pid,
                           container.seccomp, pod_config_));
  }
  // Its id.
  std::string start(const Container& container) {
    const Outcome created = create(container);
    EXPECT_TRUE(created.ok()) << created.describe();
    const std::string id = field(created.out, "container_id");
    const Outcome started = cri("StartContainer", of(id));
    EXPECT_TRUE(started.ok()) << started.describe();
    return id;
  }
  static std::string of(const std::string& container, const std::string& more = "") {
    return fmt::format("container_id: '{}' {}", container, more);
  }
  [[nodiscard]] std::string status(const std::string& container) {
    return cri("ContainerStatus", of(container)).out;
  }
  // What it is in the end.
  [[nodiscard]] std::string end_of(const std::string& container) {
    EXPECT_TRUE(wait_until([&] { return status(container).contains("CONTAINER_EXITED"); }))
        << status(container);
    return status(container);
  }
  [[nodiscard]] Outcome exec(const std::string& container, const std::string& script,
                             const std::string& more = "") {
    return cri("ExecSync",
               of(container, fmt::format("cmd: 'sh' cmd: '-c' cmd: {} {}", quoted(script), more)));
  }
  // What a script writes in the container, as text format shows it.
  [[nodiscard]] std::string output(const std::string& container, const std::string& script) {
    const Outcome done = exec(container, script);
    EXPECT_TRUE(done.ok()) << done.describe();
    return field(done.out, "stdout");
  }
  [[nodiscard]] std::string log(const std::string& name = "box") {
    return call(fmt::format("cat {}/logs/{}.log", scratch(), name)).out;
  }
  // A container that has ended.
  void remove(const std::string& container) {
    const Outcome removed = cri("RemoveContainer", of(container));
    EXPECT_TRUE(removed.ok()) << removed.describe();
  }
  // As a kubelet ends a pod, of which nothing is left then.
  void end_pod() {
    const std::string id = fmt::format("pod_sandbox_id: '{}'", pod_);
    const Outcome stopped = cri("StopPodSandbox", id);
    EXPECT_TRUE(stopped.ok()) << stopped.describe();
    const Outcome removed = cri("RemovePodSandbox", id);
    EXPECT_TRUE(removed.ok()) << removed.describe();
    pod_.clear();
    EXPECT_EQ(cri("ListPodSandbox").out, "");
    EXPECT_EQ(cri("ListContainers").out, "");
    EXPECT_EQ(line_of("ctr -n k8s.io container ls -q"), "");
  }
  [[nodiscard]] const std::string& pod() const { return pod_; }

 private:
  std::string pod_, network_, pod_config_;
};

}  // namespace cloche::test
