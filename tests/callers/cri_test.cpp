// A pod's life by the Kubernetes runtime interface, as a kubelet makes and ends it.
#include "callers/cri.h"

namespace cloche::test {
namespace {

class Cri : public CriTest {
 protected:
  void SetUp() override {
    CriTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    run_pod({});
  }
};

TEST_F(Cri, APodsLife) {
  const std::string status = cri("Status").out;
  EXPECT_TRUE(status.contains("type: \"RuntimeReady\"\n    status: true")) << status;
  const std::string pods = cri("ListPodSandbox").out;
  EXPECT_FALSE(pods.contains("SANDBOX_NOTREADY")) << pods;
  EXPECT_EQ(field(pods, "runtime_handler"), "cloche");
  const std::string goes = start({.name = "goes", .script = kGoesOn});
  EXPECT_EQ(field(cri("ListContainers").out, "id"), goes);
  EXPECT_EQ(field(cri("ListContainers").out, "pod_sandbox_id"), pod());
  EXPECT_EQ(field(this->status(goes), "state"), "CONTAINER_RUNNING");
  // Both are the runtime's, by its own book.
  for (const std::string& id : {pod(), goes}) {
    const Outcome state =
        call("/usr/local/bin/cloche-runtime --root /run/containerd/runc/k8s.io state " + id);
    EXPECT_TRUE(state.out.contains("\"running\"")) << state.describe();
  }
  const std::string box =
      start({.script = "echo hello $A; echo aside >&2; exit 7", .more = "envs { key: 'A' value: 'b' }"});
  const std::string ended = end_of(box);
  EXPECT_EQ(field(ended, "exit_code"), "7");
  EXPECT_EQ(field(ended, "reason"), "Error");
  EXPECT_TRUE(log().contains(" stdout F hello b\n")) << log();
  EXPECT_TRUE(log().contains(" stderr F aside\n")) << log();
  EXPECT_EQ(field(end_of(start({.name = "good", .script = "true"})), "reason"), "Completed");
  remove(box);
  // What still runs ends with its pod.
  end_pod();
}

TEST_F(Cri, Execs) {
  const std::string box = start({.script = kGoesOn});
  const Outcome exec3 = exec(box, "echo inside; echo aside >&2; exit 3");
  EXPECT_EQ(field(exec3.out, "stdout"), "inside\\n") << exec3.describe();
  EXPECT_EQ(field(exec3.out, "stderr"), "aside\\n") << exec3.describe();
  EXPECT_EQ(field(exec3.out, "exit_code"), "3") << exec3.describe();
  const Outcome late = exec(box, "sleep 1000", "timeout: 1");
  EXPECT_EQ(late.exit_code, 1);
  EXPECT_TRUE(late.err.contains("timeout 1s exceeded")) << late.describe();
  EXPECT_TRUE(wait_until([&] { return output(box, "ps | grep -c '[s]leep 1000'") == "0\\n"; }));
  const Outcome missing = cri("ExecSync", of(box, "cmd: 'missing'"));
  EXPECT_EQ(missing.exit_code, 1);
  EXPECT_TRUE(missing.err.contains("OCI runtime exec failed: cannot exec in container")) << missing.err;
  EXPECT_TRUE(missing.err.contains("exec: \"missing\": executable file not found in $PATH")) << missing.err;
}

TEST_F(Cri, AFailureIsShownWithItsCause) {
  const std::string box = field(create({.program = "missing"}).out, "container_id");
  const Outcome started = cri("StartContainer", of(box));
  EXPECT_EQ(started.exit_code, 1);
  EXPECT_TRUE(started.err.contains("OCI runtime create failed: cannot create container")) << started.err;
  EXPECT_TRUE(started.err.contains("exec: \"missing\": executable file not found in $PATH")) << started.err;
  const std::string ended = status(box);
  EXPECT_EQ(field(ended, "state"), "CONTAINER_EXITED") << ended;
  EXPECT_EQ(field(ended, "reason"), "StartError") << ended;
  EXPECT_EQ(field(ended, "exit_code"), "128") << ended;
}

TEST_F(Cri, StopsWithATimeout) {
  const std::string heeds = start({.name = "heeds", .script = kGoesOn});
  const std::string deaf =
      start({.name = "deaf", .script = "trap '' TERM; touch /tmp/up; while :; do sleep 0.1; done"});
  for (const std::string& id : {heeds, deaf})
    EXPECT_TRUE(wait_until([&] { return output(id, "ls /tmp") == "up\\n"; }));
  EXPECT_TRUE(cri("StopContainer", of(heeds, "timeout: 300")).ok());
  EXPECT_EQ(field(status(heeds), "exit_code"), "9");
  EXPECT_TRUE(cri("StopContainer", of(deaf, "timeout: 1")).ok());
  EXPECT_EQ(field(status(deaf), "exit_code"), "137");
  // A second time it is no error.
  EXPECT_TRUE(cri("StopContainer", of(deaf, "timeout: 1")).ok());
}

TEST_F(Cri, ARestrictedContainer) {
  const std::string box = start({.script = kGoesOn, .security = R"(
run_as_user { value: 1000 } run_as_group { value: 1000 } supplemental_groups: 2000
capabilities { drop_capabilities: "ALL" add_capabilities: "NET_BIND_SERVICE" }
readonly_rootfs: true no_new_privs: true)"});
  EXPECT_EQ(output(box, "id -u; id -g; id -G"), "1000\\n1000\\n1000 2000\\n");
  EXPECT_EQ(output(box, "sed -nE 's/^(CapBnd|NoNewPrivs|Seccomp):.//p' /proc/1/status"),
            "0000000000000400\\n1\\n2\\n");
  EXPECT_EQ(output(box, "touch /file 2>&1"), "touch: /file: Read-only file system\\n");
  // The profile that containerd has for everybody, which lets nobody without CAP_SYS_ADMIN make namespaces.
  EXPECT_EQ(output(box, "unshare -U true 2>&1"), "unshare: unshare(0x10000000): Operation not permitted\\n");
}

TEST_F(Cri, PathsAndNamespaces) {
  const std::string box = start({.script = kGoesOn});
  EXPECT_EQ(output(box, "wc -c </proc/timer_list; ls /sys/firmware | wc -l"), "0\\n0\\n");
  EXPECT_EQ(output(box, "echo x 2>&1 >/proc/sys/kernel/hostname"),
            "sh: can\\'t create /proc/sys/kernel/hostname: Read-only file system\\n");
  // Its own processes only, and the pod's IPC.
  EXPECT_EQ(output(box, "ps | grep -c '[s]leep 1000000'"), "0\\n");
  const std::string other = start({.name = "other", .script = kGoesOn, .pid = "POD"});
  EXPECT_EQ(output(other, "ps | grep -c '[s]leep 1000000'"), "1\\n");
  EXPECT_EQ(output(box, "readlink /proc/self/ns/ipc"), output(other, "readlink /proc/self/ns/ipc"));
  EXPECT_NE(output(box, "readlink /proc/self/ns/pid"), output(other, "readlink /proc/self/ns/pid"));
  EXPECT_EQ(output(box, "echo shared >/dev/shm/file"), "");
  EXPECT_EQ(output(other, "cat /dev/shm/file"), "shared\\n");
}

// The pod has a network of its own, in a namespace that the service has made, with the hostname of the pod.
TEST_F(Cri, APodsOwnNetwork) {
  if (!call("test -x /usr/lib/cni/ptp && ip link add v0 type veth peer name v1 && ip link del v0").ok())
    GTEST_SKIP() << "needs veth in the kernel, and the network plugin ptp";
  end_pod();
  run_pod({.network = "POD"});
  ASSERT_FALSE(HasFatalFailure());
  const std::string box = start({.script = kGoesOn});
  const std::string other = start({.name = "other", .script = kGoesOn});
  EXPECT_EQ(output(box, "hostname; ls /sys/class/net; ip addr show eth0 | grep -o 'inet [0-9.]*'"),
            "pod\\neth0\\nlo\\ninet 10.1.2.2\\n");
  EXPECT_NE(output(box, "readlink /proc/self/ns/net"), line_of("readlink /proc/self/ns/net") + "\\n");
  EXPECT_EQ(output(box, "readlink /proc/self/ns/net"), output(other, "readlink /proc/self/ns/net"));
}

}  // namespace
}  // namespace cloche::test
