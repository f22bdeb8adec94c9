#include <gtest/gtest.h>

#include <filesystem>
#include <functional>

#include "spec/default_spec.h"
#include "spec/read.h"
#include "spec/validate.h"
#include "support/place.h"

namespace cloche::spec {
namespace {

std::string verdict(const Spec& spec) {
  const auto result = validate(spec);
  return result ? "valid" : result.error().message();
}

// What is said of the default config after one change.
std::string after(const std::function<void(Spec&)>& change) {
  Spec spec = default_spec();
  change(spec);
  return verdict(spec);
}
std::string after_linux(const std::function<void(Linux&)>& change) {
  return after([&](Spec& spec) { change(*spec.linux_); });
}
std::string after_process(const std::function<void(Process&)>& change) {
  return after([&](Spec& spec) { change(*spec.process); });
}
std::string after_resources(const std::function<void(Resources&)>& change) {
  return after([&](Spec& spec) { change(*spec.linux_->resources); });
}
std::vector<std::string> warnings_after(const std::function<void(Spec&)>& change) {
  Spec spec = default_spec();
  change(spec);
  const auto result = validate(spec);
  if (!result) return {"refused: " + result.error().message()};
  std::vector<std::string> messages;
  for (const auto& warning : *result) messages.push_back(warning.message());
  return messages;
}
using Lines = std::vector<std::string>;

TEST(Validate, DefaultsAndRealConfigsAreValid) {
  EXPECT_EQ(verdict(default_spec()), "valid");
  EXPECT_EQ(verdict(default_rootless_spec(1000, 1000)), "valid");
  for (const auto& file :
       std::filesystem::directory_iterator(test::source_directory() / "tests/fuzz/corpus/fuzz_config")) {
    if (file.path().extension() != ".json") continue;
    const auto result = validate(read_spec_file(file.path())->value);
    ASSERT_TRUE(result) << file.path() << ": " << result.error().message();
    EXPECT_TRUE(result->empty()) << file.path() << ": " << result->front().message();
  }
}

TEST(Validate, Versions) {
  const auto version = [](const std::string& v) { return after([&](Spec& s) { s.ociVersion = v; }); };
  for (const char* good :
       {"1.0.0", "1.0.2-dev", "1.1.0-rc.1", "1.2.0", "1.3.0", "1.2.1+dev", "1.2.0-rc.1+build.5"})
    EXPECT_EQ(version(good), "valid") << good;
  EXPECT_EQ(version(""), "ociVersion: a version is needed, such as \"1.2.0\"");
  for (const char* bad : {"1", "1.2", "1.2.", "1.2.x", "v1.2.0", "1.2.0.0", "01.2.0", "1.2.0-", " 1.2.0",
                          "-1.0.0", "1.2.0 ", "99999999999.0.0", "."})
    EXPECT_EQ(version(bad), "ociVersion: \"" + std::string(bad) + "\" is no version such as \"1.2.0\"");
  EXPECT_EQ(version("2.0.0"),
            "ociVersion: version 2.0.0 of the specification is not supported, only 1.0 to 1.3");
  EXPECT_EQ(version("0.5.0"),
            "ociVersion: version 0.5.0 of the specification is not supported, only 1.0 to 1.3");
  EXPECT_EQ(warnings_after([](Spec& s) { s.ociVersion = "1.9.0"; }),
            Lines{"ociVersion: 1.9.0 is newer than 1.3, the newest that is known here"});
}

TEST(Validate, Process) {
  EXPECT_EQ(after([](Spec& s) { s.process.reset(); }), "process: a container needs a process");
  EXPECT_EQ(after_process([](Process& p) { p.args.clear(); }), "process.args: a command is needed");
  EXPECT_EQ(after_process([](Process& p) { p.args = {""}; }), "process.args[0]: the command's name is empty");
  EXPECT_EQ(after_process([](Process& p) { p.cwd = "tmp"; }),
            "process.cwd: \"tmp\" must be an absolute path");
  EXPECT_EQ(after_process([](Process& p) { p.cwd = ""; }), "process.cwd: an absolute path is needed");
  EXPECT_EQ(after_process([](Process& p) { p.env = {"A=1", "B"}; }),
            "process.env[1]: \"B\" is not of the form NAME=value");
  EXPECT_EQ(after_process([](Process& p) { p.env = {"=1"}; }),
            "process.env[0]: \"=1\" is not of the form NAME=value");
  EXPECT_EQ(after_process([](Process& p) { p.env = {"A="}; }), "valid");
  EXPECT_EQ(after_process([](Process& p) { p.rlimits = {{"RLIMIT_FILES", 1, 1}}; }),
            "process.rlimits[0].type: \"RLIMIT_FILES\" is no resource of getrlimit(2)");
  EXPECT_EQ(after_process([](Process& p) { p.rlimits = {{"RLIMIT_CORE", 1, 2}}; }),
            "process.rlimits[0].soft: the soft limit of RLIMIT_CORE (2) is above the hard one (1)");
  EXPECT_EQ(after_process([](Process& p) { p.rlimits = {{"RLIMIT_CORE", 1, 1}, {"RLIMIT_CORE", 1, 1}}; }),
            "process.rlimits[1]: RLIMIT_CORE is set twice");
  EXPECT_EQ(after_process([](Process& p) { p.oomScoreAdj = 1001; }),
            "process.oomScoreAdj: 1001 is not in -1000 to 1000");
  EXPECT_EQ(after_process([](Process& p) { p.user.umask = 01000; }),
            "process.user.umask: 01000 is more than 0777");
  EXPECT_EQ(
      warnings_after([](Spec& s) { s.process->capabilities->bounding.emplace_back("CAP_FUTURE"); }),
      Lines{"process.capabilities.bounding[3]: \"CAP_FUTURE\" is no capability that is known here; ignored"});
  EXPECT_EQ(warnings_after([](Spec& s) { s.process->user.username = "u"; }),
            Lines{"process.user.username: is for Windows; ignored"});
  EXPECT_EQ(validate_process({}).error().message(), "args: a command is needed");
}

TEST(Validate, RootNamesMountsHooks) {
  EXPECT_EQ(after([](Spec& s) { s.root.reset(); }), "root: a container needs a root file system");
  EXPECT_EQ(after([](Spec& s) { s.root->path = ""; }), "root.path: the root file system needs a path");
  EXPECT_EQ(after([](Spec& s) { s.hostname = std::string(64, 'a'); }), "valid");
  EXPECT_EQ(after([](Spec& s) { s.hostname = std::string(65, 'a'); }),
            "hostname: has 65 bytes, the kernel takes 64");
  EXPECT_EQ(after([](Spec& s) { s.domainname = std::string(65, 'a'); }),
            "domainname: has 65 bytes, the kernel takes 64");
  EXPECT_EQ(after([](Spec& s) { s.mounts[1].destination = ""; }),
            "mounts[1].destination: a mount needs a destination");
  EXPECT_EQ(warnings_after([](Spec& s) { s.mounts[1].destination = "dev"; }),
            Lines{"mounts[1].destination: \"dev\" is not absolute; taken as \"/dev\""});
  EXPECT_EQ(after([](Spec& s) { s.mounts[0].uidMappings = {{0, 1, 1}}; }),
            "mounts[0]: an id-mapped mount needs both uidMappings and gidMappings");
  const auto hook = [](const Hook& h) { return after([&](Spec& s) { s.hooks.emplace().poststop = {h}; }); };
  EXPECT_EQ(hook({.path = "/x", .timeout = 1}), "valid");
  EXPECT_EQ(hook({.path = "x"}), "hooks.poststop[0].path: \"x\" must be an absolute path");
  EXPECT_EQ(hook({.path = "/x", .timeout = 0}),
            "hooks.poststop[0].timeout: 0 is no time: seconds, more than 0");
  EXPECT_EQ(hook({.path = "/x", .env = {"A"}}), "hooks.poststop[0].env[0]: is not of the form NAME=value");
  EXPECT_EQ(after([](Spec& s) { s.annotations[""] = "x"; }), "annotations: a key is empty");
}

TEST(Validate, Namespaces) {
  EXPECT_EQ(after_linux([](Linux& l) { l.namespaces.push_back({"net", ""}); }),
            "linux.namespaces[6].type: \"net\" is no namespace: use mount, pid, uts, ipc, network, user, "
            "cgroup, time");
  EXPECT_EQ(after_linux([](Linux& l) { l.namespaces.push_back({"pid", ""}); }),
            "linux.namespaces[6]: \"pid\" is listed twice");
  EXPECT_EQ(after_linux([](Linux& l) { l.namespaces[0].path = "proc/1/ns/pid"; }),
            "linux.namespaces[0].path: \"proc/1/ns/pid\" must be an absolute path");
  EXPECT_EQ(
      after_linux([](Linux& l) { std::erase_if(l.namespaces, [](auto& n) { return n.type == "uts"; }); }),
      "hostname: would rename the host: add {\"type\": \"uts\"} to linux.namespaces");
}

TEST(Validate, IdMaps) {
  const auto map = [](const std::vector<IDMapping>& lines) {
    return after_linux([&](Linux& l) {
      l.namespaces.push_back({"user", ""});
      l.uidMappings = lines;
      l.gidMappings = {{0, 1000, 1}};
    });
  };
  EXPECT_EQ(map({{0, 100000, 65536}, {65536, 1000, 1}}), "valid");
  EXPECT_EQ(map({{0, 1, 0}}), "linux.uidMappings[0].size: a range of no ids cannot be mapped");
  EXPECT_EQ(map({{0, 0, UINT32_MAX}}), "valid");
  EXPECT_EQ(map({{1, 0, UINT32_MAX}}),
            "linux.uidMappings[0]: 4294967295 ids from 1 on go past the highest, 4294967294");
  EXPECT_EQ(map({{0, 4294967290, 10}}),
            "linux.uidMappings[0]: 10 ids from 4294967290 on go past the highest, 4294967294");
  EXPECT_EQ(map({{0, 100, 10}, {9, 200, 1}}), "linux.uidMappings[1]: overlaps with linux.uidMappings[0]");
  EXPECT_EQ(map({{0, 100, 10}, {10, 109, 1}}), "linux.uidMappings[1]: overlaps with linux.uidMappings[0]");
  std::vector<IDMapping> lines;
  for (uint32_t i = 0; i < 340; ++i) lines.push_back({i, 2 * i, 1});
  EXPECT_EQ(map(lines), "valid");
  lines.push_back({340, 680, 1});
  EXPECT_EQ(map(lines),
            "linux.uidMappings: has 341 lines, the kernel takes at most 340 (user_namespaces(7)): merge "
            "ranges that "
            "follow each other");
  EXPECT_EQ(
      after_linux([](Linux& l) { l.gidMappings = {{0, 0, 1}}; }),
      "linux.gidMappings: an id map needs a user namespace: add {\"type\": \"user\"} to linux.namespaces");
}

TEST(Validate, SysctlsBelongToANamespaceOfTheContainer) {
  const auto sysctl = [](const std::string& key, const std::string& without = {}) {
    return after_linux([&](Linux& l) {
      l.sysctl[key] = "1";
      std::erase_if(l.namespaces, [&](auto& n) { return n.type == without; });
    });
  };
  for (const char* good : {"net.ipv4.ip_forward", "net/ipv4/ip_forward", "kernel.shmmax", "fs.mqueue.msg_max",
                           "kernel.domainname", "kernel.sem", "net.ipv4.conf.eth0/100.forwarding",
                           "net/ipv4/conf/eth0.100/forwarding"})
    EXPECT_EQ(sysctl(good), "valid") << good;
  EXPECT_EQ(sysctl("net.ipv4.ip_forward", "network"),
            "linux.sysctl[\"net.ipv4.ip_forward\"]: would change the host: it needs a network namespace, "
            "{\"type\": "
            "\"network\"} in linux.namespaces");
  EXPECT_EQ(
      sysctl("kernel.sem", "ipc"),
      "linux.sysctl[\"kernel.sem\"]: would change the host: it needs a ipc namespace, {\"type\": \"ipc\"} in "
      "linux.namespaces");
  EXPECT_EQ(sysctl("kernel.hostname"), "linux.sysctl[\"kernel.hostname\"]: is set by the field hostname");
  EXPECT_EQ(sysctl("kernel.panic"),
            "linux.sysctl[\"kernel.panic\"]: belongs to the whole machine, not to a "
            "namespace: set it on the host");
  for (const char* bad :
       {"net/../kernel/panic", "net.//.kernel.panic", "net/./x", "net..x", "/net/x", "net/x/", ""})
    EXPECT_NE(sysctl(bad).find("is no sysctl's name"), std::string::npos) << bad;
}

TEST(Validate, TimeOffsets) {
  const auto offset = [](const std::string& clock, TimeOffset value, bool with_namespace = true) {
    return after_linux([&](Linux& l) {
      if (with_namespace) l.namespaces.push_back({"time", ""});
      l.timeOffsets[clock] = value;
    });
  };
  EXPECT_EQ(offset("boottime", {-5, 999999999}), "valid");
  EXPECT_EQ(offset("realtime", {}),
            "linux.timeOffsets.realtime: only monotonic and boottime can be moved (time_namespaces(7))");
  EXPECT_EQ(offset("monotonic", {0, 1000000000}),
            "linux.timeOffsets.monotonic.nanosecs: 1000000000 is not below 1000000000");
  EXPECT_EQ(
      offset("monotonic", {}, false),
      "linux.timeOffsets: offsets need a new time namespace: add {\"type\": \"time\"} to linux.namespaces");
}

TEST(Validate, DevicesAndPaths) {
  const auto device = [](const Device& d) { return after_linux([&](Linux& l) { l.devices = {d}; }); };
  EXPECT_EQ(device({.path = "/dev/x", .type = "c", .major = 1, .minor = 3}), "valid");
  EXPECT_EQ(device({.path = "/dev/p", .type = "p"}), "valid");
  EXPECT_EQ(device({.path = "dev/x", .type = "p"}),
            "linux.devices[0].path: \"dev/x\" must be an absolute path");
  EXPECT_EQ(device({.path = "/dev/../x", .type = "p"}), "linux.devices[0].path: must not hold \"..\"");
  EXPECT_EQ(device({.path = "/dev/x", .type = "d"}), "linux.devices[0].type: \"d\" is none of c, u, b and p");
  EXPECT_EQ(device({.path = "/dev/x", .type = "b", .major = 1}),
            "linux.devices[0].minor: a device needs its number");
  EXPECT_EQ(device({.path = "/dev/x", .type = "b", .major = 4096, .minor = 0}),
            "linux.devices[0].major: 4096 is not in 0 to 4095");
  EXPECT_EQ(after_linux([](Linux& l) { l.maskedPaths = {"/a", "b"}; }),
            "linux.maskedPaths[1]: \"b\" must be an absolute path");
  EXPECT_EQ(after_linux([](Linux& l) { l.readonlyPaths = {""}; }),
            "linux.readonlyPaths[0]: an absolute path is needed");
  EXPECT_EQ(after_linux([](Linux& l) { l.rootfsPropagation = "rslave"; }), "valid");
  EXPECT_EQ(after_linux([](Linux& l) { l.rootfsPropagation = "none"; }),
            "linux.rootfsPropagation: \"none\" is none of private, rprivate, slave, rslave, shared, rshared, "
            "unbindable, runbindable");
  EXPECT_EQ(after_linux([](Linux& l) { l.cgroupsPath = "/a/../b"; }),
            "linux.cgroupsPath: must not hold \"..\"");
  EXPECT_EQ(after_linux([](Linux& l) { l.cgroupsPath = "/a..b/..c"; }), "valid");
  EXPECT_EQ(after_linux([](Linux& l) { l.personality = Personality{"BSD", {}}; }),
            "linux.personality.domain: \"BSD\" is neither LINUX nor LINUX32");
}

TEST(Validate, Resources) {
  EXPECT_EQ(after_resources([](Resources& r) { r.cpu = Cpu{.shares = 2, .quota = -1, .cpus = "0-3,7"}; }),
            "valid");
  EXPECT_EQ(after_resources([](Resources& r) { r.cpu = Cpu{.shares = 0}; }), "valid");
  EXPECT_EQ(after_resources([](Resources& r) { r.cpu = Cpu{.shares = 1}; }),
            "linux.resources.cpu.shares: 1 is not in 2 to 262144");
  EXPECT_EQ(after_resources([](Resources& r) { r.cpu = Cpu{.shares = 262145}; }),
            "linux.resources.cpu.shares: 262145 is not in 2 to 262144");
  EXPECT_EQ(after_resources([](Resources& r) { r.cpu = Cpu{.period = 999}; }),
            "linux.resources.cpu.period: 999 is not in 1000 to 1000000");
  EXPECT_EQ(after_resources([](Resources& r) { r.cpu = Cpu{.quota = 999}; }),
            "linux.resources.cpu.quota: 999 is below the kernel's least, 1000 microseconds");
  EXPECT_EQ(after_resources([](Resources& r) { r.cpu = Cpu{.cpus = "all"}; }),
            "linux.resources.cpu.cpus: \"all\" is no list such as \"0-3,7\"");
  EXPECT_EQ(after_resources([](Resources& r) { r.memory = Memory{.limit = -1, .swap = -1}; }), "valid");
  EXPECT_EQ(after_resources([](Resources& r) { r.memory = Memory{.limit = -2}; }),
            "linux.resources.memory.limit: -2 is no limit: -1 is unlimited, less means nothing");
  EXPECT_EQ(after_resources([](Resources& r) { r.memory = Memory{.limit = 200, .swap = 100}; }),
            "linux.resources.memory.swap: 100 is below the memory limit (200): it counts memory and swap");
  EXPECT_EQ(after_resources([](Resources& r) { r.memory = Memory{.swap = 100}; }),
            "linux.resources.memory.swap: a limit of memory and swap needs a memory limit");
  EXPECT_EQ(after_resources([](Resources& r) { r.memory = Memory{.limit = 100, .reservation = 200}; }),
            "linux.resources.memory.reservation: 200 is above the limit (100)");
  EXPECT_EQ(after_resources([](Resources& r) { r.blockIO = BlockIO{.weight = 9}; }),
            "linux.resources.blockIO.weight: 9 is not in 10 to 1000");
  EXPECT_EQ(after_resources([](Resources& r) { r.blockIO.emplace().weightDevice = {{8, 0, 1001, {}}}; }),
            "linux.resources.blockIO.weightDevice[0].weight: 1001 is not in 10 to 1000");
  EXPECT_EQ(after_resources([](Resources& r) { r.pids = Pids{-2}; }),
            "linux.resources.pids.limit: -2 is no limit: -1 is unlimited, less means nothing");
  EXPECT_EQ(after_resources([](Resources& r) { r.hugepageLimits = {{"2M", 0}}; }),
            "linux.resources.hugepageLimits[0].pageSize: \"2M\" is no size such as \"2MB\"");
  EXPECT_EQ(after_resources([](Resources& r) { r.devices[0].access = "rx"; }),
            "linux.resources.devices[0].access: \"rx\" holds more than r, w and m");
  EXPECT_EQ(after_resources([](Resources& r) { r.devices[0].type = "p"; }),
            "linux.resources.devices[0].type: \"p\" is none of a, b and c");
  for (const char* file : {"../x", "a/b", "", ".."})
    EXPECT_NE(after_resources([&](Resources& r) { r.unified[file] = "1"; }).find("must have no '/'"),
              std::string::npos);
  EXPECT_EQ(after_resources([](Resources& r) { r.unified["cgroup.procs"] = "1"; }),
            "linux.resources.unified[\"cgroup.procs\"]: is the runtime's to write, not a limit");
  EXPECT_EQ(
      warnings_after([](Spec& s) { s.linux_->resources->memory = Memory{.swappiness = 60}; }),
      Lines{"linux.resources.memory: kernel, kernelTCP and swappiness exist in cgroup v1 only; ignored"});
  Resources alone;
  alone.pids = Pids{-5};
  EXPECT_EQ(validate_resources(alone).error().path, "pids.limit");
}

TEST(Validate, SeccompWords) {
  const auto seccomp = [](const std::function<void(Seccomp&)>& change) {
    return after_linux([&](Linux& l) {
      l.seccomp = Seccomp{.defaultAction = "SCMP_ACT_ERRNO", .architectures = {"SCMP_ARCH_X86_64"}};
      l.seccomp->syscalls = {
          {.names = {"read"}, .action = "SCMP_ACT_ALLOW", .args = {{0, 1, 2, "SCMP_CMP_EQ"}}}};
      change(*l.seccomp);
    });
  };
  EXPECT_EQ(seccomp([](Seccomp&) {}), "valid");
  EXPECT_EQ(seccomp([](Seccomp& s) { s.defaultAction = ""; }),
            "linux.seccomp.defaultAction: \"\" is no action of seccomp");
  EXPECT_EQ(seccomp([](Seccomp& s) { s.architectures = {"x86"}; }),
            "linux.seccomp.architectures[0]: \"x86\" is no architecture of seccomp");
  EXPECT_EQ(seccomp([](Seccomp& s) { s.flags = {"X"}; }),
            "linux.seccomp.flags[0]: \"X\" is no flag of seccomp");
  EXPECT_EQ(seccomp([](Seccomp& s) { s.syscalls[0].action = "ALLOW"; }),
            "linux.seccomp.syscalls[0].action: \"ALLOW\" is no action of seccomp");
  EXPECT_EQ(seccomp([](Seccomp& s) { s.syscalls[0].names.clear(); }),
            "linux.seccomp.syscalls[0].names: a rule names at least one system call");
  EXPECT_EQ(seccomp([](Seccomp& s) { s.syscalls[0].errnoRet = 4096; }),
            "linux.seccomp.syscalls[0].errnoRet: 4096 is not in 0 to 4095");
  EXPECT_EQ(seccomp([](Seccomp& s) { s.syscalls[0].args[0].index = 6; }),
            "linux.seccomp.syscalls[0].args[0].index: 6 is not in 0 to 5");
  EXPECT_EQ(seccomp([](Seccomp& s) { s.syscalls[0].args[0].op = "=="; }),
            "linux.seccomp.syscalls[0].args[0].op: \"==\" is no comparison of seccomp");
}

}  // namespace
}  // namespace cloche::spec
