// Class 6: what an image says of itself becomes a right (CVE-2022-0811, CVE-2024-3154, CVE-2023-6476): annotations,
// names and values of sysctls, variables, and files that some engine or runtime reads.
//
// Seen to fail: with an annotation that adds a note to the plan, Slice among the allowed properties, one sysctl of the
// machine's taken for the network's, and a hook with another environment than its own. The holes were CRI-O's.
#include <filesystem>
#include <fstream>

#include "plan/scope.h"
#include "security/security.h"
#include "support/box.h"

namespace cloche::test {
namespace {
namespace fs = std::filesystem;

// Keys that runc, crun, Podman, containerd, CRI-O, Kata, gVisor, Docker and CRIU give a meaning, each with a value that
// would be a right.
const std::pair<const char*, const char*> kAnnotations[] = {
    {"run.oci.handler", "krun"},
    {"run.oci.keep_original_groups", "1"},
    {"run.oci.hooks.stdout", "/tmp/out"},
    {"run.oci.hooks.stderr", "/tmp/err"},
    {"run.oci.pidfd_receiver", "/tmp/socket"},
    {"run.oci.seccomp.receiver", "/tmp/socket"},
    {"run.oci.seccomp.plugins", "/tmp/evil.so"},
    {"run.oci.seccomp_fail_unknown_syscall", "0"},
    {"run.oci.seccomp_bpf_data", "BgAAAAAA/38="},
    {"run.oci.mount_context_type", "context"},
    {"run.oci.systemd.force_cgroup_v1", "/sys/fs/cgroup"},
    {"run.oci.systemd.subgroup", "../../x"},
    {"run.oci.delegate-cgroup", ".."},
    {"run.oci.wasm", "1"},
    {"run.oci.timens_offset", "1 2"},
    {"run.oci.skip_mount", "/proc"},
    {"module.wasm.image/variant", "compat"},
    {"krun.ram_mib", "1"},
    {"org.criu.config", "/etc/criu/evil.conf"},
    {"org.systemd.property.ExecStopPost", "'/bin/evil'"},
    {"io.podman.annotations.privileged", "TRUE"},
    {"io.podman.annotations.userns", "host"},
    {"io.podman.annotations.label", "disable"},
    {"io.podman.annotations.seccomp", "unconfined"},
    {"io.podman.annotations.apparmor", "unconfined"},
    {"io.podman.annotations.volumes-from", "all"},
    {"io.podman.annotations.pids-limit", "-1"},
    {"io.containers.trace-syscall", "of:/tmp/x"},
    {"io.container.manager", "libpod"},
    {"io.kubernetes.cri-o.UnifiedCgroup.box", "memory.max=max"},
    {"io.kubernetes.cri-o.userns-mode", "private:keep-id=true"},
    {"io.kubernetes.cri-o.Devices", "/dev/mem:/dev/mem:rwm"},
    {"io.kubernetes.cri-o.TrySkipVolumeSELinuxLabel", "true"},
    {"io.kubernetes.cri-o.ShmSize", "100g"},
    {"io.kubernetes.cri-o.cgroup2-mount-hierarchy-rw", "true"},
    {"io.kubernetes.cri-o.seccompNotifierAction", "stop"},
    {"io.kubernetes.cri.container-type", "sandbox"},
    {"io.kubernetes.container.apparmor.security.beta.kubernetes.io/box", "unconfined"},
    {"seccomp.security.alpha.kubernetes.io/pod", "unconfined"},
    {"security.alpha.kubernetes.io/sysctls", "kernel.core_pattern=|/bin/evil"},
    {"cpu-load-balancing.crio.io", "disable"},
    {"irq-load-balancing.crio.io", "disable"},
    {"io.katacontainers.config.hypervisor.path", "/bin/evil"},
    {"io.katacontainers.config.hypervisor.kernel_params", "init=/bin/evil"},
    {"dev.gvisor.flag.network", "host"},
    {"dev.gvisor.internal.nvproxy", "true"},
    {"com.docker.network.enable_ipv4", "true"},
    {"nerdctl/extraHosts", "x:1.2.3.4"},
    {"cdi.k8s.io/evil", "vendor.com/device=all"},
    {"org.opencontainers.image.ref.name", "../../x"},
    {"io.github.cloche.privileged", "true"},
    {"cloche.seccomp", "unconfined"},
    {"cloche.plan/1", "{}"},
};

class Metadata : public SecurityTest {
 protected:
  // The plan, without the annotations that it was made from.
  Outcome plan(const Bundle& box) {
    box.write();
    return runtime({"explain", "--format", "json", "--bundle", box.path(), "box"});
  }
};

TEST_F(Metadata, NoAnnotationChangesThePlan) {
  if (peer()) GTEST_SKIP() << "needs Cloche: a plan to look at";
  auto box = image({"true"});
  const Outcome plain = plan(box);
  ASSERT_TRUE(plain.ok()) << plain.describe();
  ASSERT_TRUE(plain.out.contains("pivot-root"));
  for (const auto& [key, value] : kAnnotations) {
    box.config.annotations = {{key, value}};
    EXPECT_EQ(plan(box).out, plain.out) << key;
  }
  for (const auto& [key, value] : kAnnotations) box.config.annotations[key] = value;
  EXPECT_EQ(plan(box).out, plain.out);
  EXPECT_TRUE(run(box).ok());
  tried("{} annotations, each and all together: the plan is the same", std::size(kAnnotations));
}

// Of a scope of systemd's, whose properties annotations may set: nothing that is a right (the allowed ones are listed
// beside `annotated_properties`).
TEST_F(Metadata, NoPropertyOfAScopeIsARight) {
  int refused = 0;
  for (const char* name : {"ExecStart",
                           "ExecStartPre",
                           "ExecStop",
                           "ExecStopPost",
                           "ExecReload",
                           "ExecCondition",
                           "Slice",
                           "Delegate",
                           "DelegateSubgroup",
                           "PIDs",
                           "Controller",
                           "Requires",
                           "Wants",
                           "BindsTo",
                           "OnFailure",
                           "OnSuccess",
                           "Upholds",
                           "Conflicts",
                           "Before",
                           "After",
                           "PropagatesStopTo",
                           "JoinsNamespaceOf",
                           "AddRef",
                           "User",
                           "Group",
                           "BPFProgram",
                           "IPIngressFilterPath",
                           "IPEgressFilterPath",
                           "IPAddressAllow",
                           "IPAddressDeny",
                           "SocketBindAllow",
                           "DeviceAllow",
                           "DevicePolicy",
                           "MemoryMax",
                           "MemoryHigh",
                           "MemorySwapMax",
                           "CPUQuotaPerSecUSec",
                           "CPUQuota",
                           "CPUWeight",
                           "TasksMax",
                           "IOWeight",
                           "AllowedCPUs",
                           "AllowedMemoryNodes",
                           "StartupCPUWeight",
                           "BlockIOWeight",
                           "SuccessAction",
                           "FailureAction",
                           "JobTimeoutAction",
                           "JobTimeoutUSec",
                           "StartLimitAction",
                           "RebootArgument",
                           "KillMode",
                           "SendSIGKILL",
                           "FinalKillSignal",
                           "RefuseManualStop",
                           "SurviveFinalKillSignal",
                           "IgnoreOnIsolate",
                           "DefaultDependencies",
                           "AllowIsolate",
                           "Names",
                           "FragmentPath",
                           "NUMAPolicy",
                           "",
                           "Description\n",
                           " Description",
                           "description",
                           "DESCRIPTION",
                           "Description;ExecStop",
                           "DescriptionSec"}) {
    const auto made = plan::annotated_properties({{std::string("org.systemd.property.") + name, "'x'"}});
    EXPECT_FALSE(made) << name;
    refused += static_cast<int>(!made);
  }
  for (const char* value : {"'a', 'b'", "'a", "['a']", "<'a'>", "('a',)", "'a\nb'", "a", "", "\"a\"b\""}) {
    EXPECT_FALSE(plan::annotated_properties({{"org.systemd.property.Description", value}})) << value;
    ++refused;
  }
  tried("{} properties of a scope and forms of a value: refused by the list of the allowed", refused);
}

// A sysctl of the machine's, by its name or hidden in the value of one of the container's (CVE-2022-0811).
TEST_F(Metadata, NoSysctlReachesTheHost) {
  const auto host = [] {
    return shell(
               "cd /proc/sys/kernel && cat core_pattern modprobe msgmax domainname hostname; "
               "cat /proc/sys/net/ipv4/ip_forward /proc/sys/vm/swappiness")
        .out;
  };
  const std::string before = host();
  const std::string evil = "|/bin/evil", together = "1+kernel.core_pattern=|/bin/evil";
  int refused = 0;
  const auto refuses = [&](const std::string& key, const std::string& value) {
    auto box = image({"true"}, "sysctl");
    box.config.linux_->sysctl = {{key, value}};
    const Outcome outcome = run(box);
    EXPECT_FALSE(outcome.ok()) << key << " = " << value;
    EXPECT_FALSE(outcome.err.empty());
    EXPECT_EQ(host(), before) << key << " = " << value;
    ++refused;
  };
  for (const char* key : {"kernel.core_pattern",
                          "kernel/core_pattern",
                          "kernel.modprobe",
                          "kernel.core_pipe_limit",
                          "kernel.sysrq",
                          "kernel.unprivileged_bpf_disabled",
                          "kernel.randomize_va_space",
                          "kernel.yama.ptrace_scope",
                          "kernel.pid_max",
                          "kernel.hotplug",
                          "kernel.poweroff_cmd",
                          "kernel.usermodehelper.bset",
                          "vm.swappiness",
                          "vm.overcommit_memory",
                          "vm/drop_caches",
                          "fs.suid_dumpable",
                          "fs.protected_symlinks",
                          "fs.file-max",
                          "fs.binfmt_misc.register",
                          "dev.tty.ldisc_autoload",
                          "debug.exception-trace",
                          "abi.vsyscall32",
                          "crypto.fips_enabled",
                          "user.max_user_namespaces",
                          "net/../kernel/core_pattern",
                          "net.ipv4/../../kernel/core_pattern",
                          "net.ipv4.conf.../kernel.core_pattern",
                          "../sys/kernel/core_pattern",
                          "./kernel/core_pattern",
                          "/kernel/core_pattern",
                          ".kernel.core_pattern",
                          "kernel..core_pattern",
                          "kernel.core_pattern ",
                          " kernel.core_pattern",
                          "KERNEL.core_pattern",
                          "kernel.msgmax+kernel.core_pattern",
                          "kernel.msgmax=1+kernel.core_pattern",
                          "kernel.msgmax\nkernel.core_pattern",
                          "fs.mqueue./../../kernel/core_pattern",
                          "fs.mqueue",
                          "net",
                          "net.",
                          "kernel",
                          "",
                          ".",
                          "/",
                          "..",
                          "kernel.hostname",
                          "kernel.ns_last_pid",
                          "kernel.sem/../core_pattern",
                          "kernel.shm"})
    refuses(key, evil);
  for (const char* key :
       {"kernel.shm_rmid_forced", "kernel.msgmax", "net.ipv4.ip_forward", "fs.mqueue.msg_max"})
    for (const std::string& value : {together, std::string("1\nkernel.core_pattern=|/bin/evil"), evil})
      refuses(key, value);
  for (const char* type : {"network", "ipc", "uts"}) {
    auto box = image({"true"}, "shared");
    std::erase_if(box.config.linux_->namespaces, [&](const auto& ns) { return ns.type == type; });
    const std::string_view kind = type;
    if (kind == "uts") box.config.hostname = "";
    box.config.linux_->sysctl = {{kind == "network" ? "net.ipv4.ip_forward"
                                  : kind == "ipc"   ? "kernel.msgmax"
                                                    : "kernel.domainname",
                                  "7"}};
    EXPECT_FALSE(run(box).ok()) << type;
    EXPECT_EQ(host(), before) << type;
    ++refused;
  }
  if (!peer())
    for (const char* text :
         {"kernel.core_pattern=|/bin/evil", "kernel.shm_rmid_forced=1+kernel.core_pattern=|/bin/evil",
          "net/../kernel/core_pattern=|/bin/evil", "vm.swappiness=1"}) {
      EXPECT_FALSE(run_box({"--sysctl", text}, "true").ok()) << text;
      EXPECT_EQ(host(), before) << text;
      ++refused;
    }
  tried("{} sysctls: refused, the host's are as they were", refused);
}

// Variables are the command's; neither the runtime nor a hook of the host's sees them. Nor is a file of the image read
// that bears the name of one of the runtime's.
TEST_F(Metadata, VariablesAndFilesOfTheImageAreTheCommands) {
  const Canary canary(scratch() + "/canary");
  auto box = image({"busybox", "env"});
  const std::string seen = scratch() + "/hook-env";
  box.config.hooks.emplace();
  box.config.hooks->createRuntime = {
      {.path = "/bin/sh", .args = {"sh", "-c", "env >" + seen}, .env = {"A=b"}, .timeout = {}}};
  const std::string evil = canary.path() + "/file";
  spec::Strings& env = box.config.process->env;
  for (const char* name : {"LD_PRELOAD",
                           "LD_LIBRARY_PATH",
                           "LD_AUDIT",
                           "GCONV_PATH",
                           "LOCPATH",
                           "NOTIFY_SOCKET",
                           "LISTEN_FDS",
                           "XDG_RUNTIME_DIR",
                           "DBUS_SESSION_BUS_ADDRESS",
                           "HOME",
                           "TMPDIR",
                           "BASH_ENV",
                           "ENV",
                           "_LIBCONTAINER_INITPIPE",
                           "_LIBCONTAINER_LOGPIPE",
                           "_OCI_SYNCPIPE",
                           "_CONTAINERS_USERNS_CONFIGURED",
                           "CLOCHE_ROOT",
                           "CLOCHE_SECCOMP",
                           "container",
                           "PYTHONPATH",
                           "SYSTEMD_BUS_TIMEOUT"})
    env.push_back(std::string(name) + "=" + evil);
  for (const char* file : {"config.json", "state.json", ".dockerenv", "run/.containerenv", "etc/cloche.conf",
                           "etc/cloche/config.json", "etc/ld.so.preload", "etc/criu/runc.conf",
                           "etc/nsswitch.conf", "etc/containers/containers.conf", "init", "sbin/init",
                           "cloche-init", "bin/newuidmap", "usr/bin/newuidmap"}) {
    fs::create_directories((fs::path(box.rootfs()) / file).parent_path());
    std::ofstream(box.rootfs() + "/" + file) << "#!/bin/sh\necho evil\n";
    fs::permissions(box.rootfs() + "/" + file, fs::perms(0755));
  }
  const Outcome outcome = run(box);
  ASSERT_TRUE(outcome.ok()) << outcome.describe();
  EXPECT_TRUE(outcome.out.contains("LD_PRELOAD=" + evil));
  EXPECT_FALSE(outcome.out.contains("evil\n")) << outcome.out;
  const std::string hook = shell("cat " + seen).out;
  EXPECT_TRUE(hook.contains("A=b")) << hook;
  EXPECT_FALSE(hook.contains(canary.path())) << hook;
  EXPECT_EQ(canary.changes(), "");
  tried("22 variables and 15 files of the image: for the command alone");
}

}  // namespace
}  // namespace cloche::test
