// The OCI runtime specification as C++ types (runtime-spec 1.2, Linux part; the fields of 1.3 that concern Linux).
// A member's name is the JSON key; a trailing underscore keeps a key that C++ reserves ("class_" is "class").
// std::optional: the key may be absent and absence means something other than the zero value.
// Source: https://github.com/opencontainers/runtime-spec, config.md and config-linux.md.
#pragma once

#include <boost/describe.hpp>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace cloche::spec {

using Strings = std::vector<std::string>;
template <class T>
using Opt = std::optional<T>;

struct Root {
  std::string path;  // absolute, or relative to the bundle
  bool readonly = false;
};
BOOST_DESCRIBE_STRUCT(Root, (), (path, readonly))

struct IDMapping {
  uint32_t containerID = 0;
  uint32_t hostID = 0;
  uint32_t size = 0;
  bool operator==(const IDMapping&) const = default;
};
BOOST_DESCRIBE_STRUCT(IDMapping, (), (containerID, hostID, size))

struct Mount {
  std::string destination;
  std::string type;
  std::string source;
  Strings options;
  std::vector<IDMapping> uidMappings, gidMappings;
};
BOOST_DESCRIBE_STRUCT(Mount, (), (destination, type, source, options, uidMappings, gidMappings))

struct Box {
  uint32_t height = 0, width = 0;
};
BOOST_DESCRIBE_STRUCT(Box, (), (height, width))

struct User {
  uint32_t uid = 0, gid = 0;
  Opt<uint32_t> umask;
  std::vector<uint32_t> additionalGids;
  std::string username;  // Windows only; read and ignored with a warning
};
BOOST_DESCRIBE_STRUCT(User, (), (uid, gid, umask, additionalGids, username))

struct Capabilities {
  Strings bounding, effective, inheritable, permitted, ambient;
};
BOOST_DESCRIBE_STRUCT(Capabilities, (), (bounding, effective, inheritable, permitted, ambient))

struct Rlimit {
  std::string type;  // RLIMIT_NOFILE and so on
  uint64_t hard = 0, soft = 0;
};
BOOST_DESCRIBE_STRUCT(Rlimit, (), (type, hard, soft))

struct Scheduler {
  std::string policy;
  int32_t nice = 0, priority = 0;
  Strings flags;
  uint64_t runtime = 0, deadline = 0, period = 0;  // nanoseconds
};
BOOST_DESCRIBE_STRUCT(Scheduler, (), (policy, nice, priority, flags, runtime, deadline, period))

struct IOPriority {
  std::string class_;
  int32_t priority = 0;
};
BOOST_DESCRIBE_STRUCT(IOPriority, (), (class_, priority))

struct ExecCPUAffinity {
  std::string initial, final_;
};
BOOST_DESCRIBE_STRUCT(ExecCPUAffinity, (), (initial, final_))

struct Process {
  bool terminal = false;
  Opt<Box> consoleSize;
  User user;
  Strings args;
  std::string commandLine;  // Windows only
  Strings env;
  std::string cwd;
  Opt<Capabilities> capabilities;
  std::vector<Rlimit> rlimits;
  bool noNewPrivileges = false;
  std::string apparmorProfile, selinuxLabel;
  Opt<int32_t> oomScoreAdj;
  Opt<Scheduler> scheduler;
  Opt<IOPriority> ioPriority;
  Opt<ExecCPUAffinity> execCPUAffinity;
};
BOOST_DESCRIBE_STRUCT(Process, (),
                      (terminal, consoleSize, user, args, commandLine, env, cwd, capabilities, rlimits,
                       noNewPrivileges, apparmorProfile, selinuxLabel, oomScoreAdj, scheduler, ioPriority,
                       execCPUAffinity))

struct Hook {
  std::string path;
  Strings args, env;
  Opt<int32_t> timeout;  // seconds, > 0
};
BOOST_DESCRIBE_STRUCT(Hook, (), (path, args, env, timeout))

struct Hooks {
  std::vector<Hook> prestart, createRuntime, createContainer, startContainer, poststart, poststop;
};
BOOST_DESCRIBE_STRUCT(Hooks, (),
                      (prestart, createRuntime, createContainer, startContainer, poststart, poststop))

struct Namespace {
  std::string type;  // mount pid uts ipc network user cgroup time
  std::string path;
};
BOOST_DESCRIBE_STRUCT(Namespace, (), (type, path))

struct Device {
  std::string path;
  std::string type;  // c u b p
  Opt<int64_t> major, minor;
  Opt<uint32_t> fileMode;
  Opt<uint32_t> uid, gid;
};
BOOST_DESCRIBE_STRUCT(Device, (), (path, type, major, minor, fileMode, uid, gid))

struct DeviceCgroup {
  bool allow = false;
  std::string type;  // a c b; empty is a
  Opt<int64_t> major, minor;  // absent or -1 is any
  std::string access;  // of r w m
};
BOOST_DESCRIBE_STRUCT(DeviceCgroup, (), (allow, type, major, minor, access))

struct Memory {
  Opt<int64_t> limit, reservation, swap;  // bytes; -1 is unlimited; swap is memory + swap
  Opt<int64_t> kernel, kernelTCP;  // v1 only
  Opt<uint64_t> swappiness;  // v1 only
  Opt<bool> disableOOMKiller, useHierarchy, checkBeforeUpdate;
};
BOOST_DESCRIBE_STRUCT(Memory, (),
                      (limit, reservation, swap, kernel, kernelTCP, swappiness, disableOOMKiller,
                       useHierarchy, checkBeforeUpdate))

struct Cpu {
  Opt<uint64_t> shares;  // v1 shares, 2..262144
  Opt<int64_t> quota;  // microseconds in a period
  Opt<uint64_t> burst, period;
  Opt<int64_t> realtimeRuntime;
  Opt<uint64_t> realtimePeriod;
  std::string cpus, mems;
  Opt<int64_t> idle;
};
BOOST_DESCRIBE_STRUCT(Cpu, (),
                      (shares, quota, burst, period, realtimeRuntime, realtimePeriod, cpus, mems, idle))

struct Pids {
  Opt<int64_t> limit;
};
BOOST_DESCRIBE_STRUCT(Pids, (), (limit))

struct WeightDevice {
  int64_t major = 0, minor = 0;
  Opt<uint16_t> weight, leafWeight;
};
BOOST_DESCRIBE_STRUCT(WeightDevice, (), (major, minor, weight, leafWeight))

struct ThrottleDevice {
  int64_t major = 0, minor = 0;
  uint64_t rate = 0;
};
BOOST_DESCRIBE_STRUCT(ThrottleDevice, (), (major, minor, rate))

struct BlockIO {
  Opt<uint16_t> weight, leafWeight;
  std::vector<WeightDevice> weightDevice;
  std::vector<ThrottleDevice> throttleReadBpsDevice, throttleWriteBpsDevice, throttleReadIOPSDevice,
      throttleWriteIOPSDevice;
};
BOOST_DESCRIBE_STRUCT(BlockIO, (),
                      (weight, leafWeight, weightDevice, throttleReadBpsDevice, throttleWriteBpsDevice,
                       throttleReadIOPSDevice, throttleWriteIOPSDevice))

struct HugepageLimit {
  std::string pageSize;  // "2MB"
  uint64_t limit = 0;
};
BOOST_DESCRIBE_STRUCT(HugepageLimit, (), (pageSize, limit))

struct InterfacePriority {
  std::string name;
  uint32_t priority = 0;
};
BOOST_DESCRIBE_STRUCT(InterfacePriority, (), (name, priority))

struct NetworkCgroup {  // v1 only
  Opt<uint32_t> classID;
  std::vector<InterfacePriority> priorities;
};
BOOST_DESCRIBE_STRUCT(NetworkCgroup, (), (classID, priorities))

struct Rdma {
  Opt<uint32_t> hcaHandles, hcaObjects;
};
BOOST_DESCRIBE_STRUCT(Rdma, (), (hcaHandles, hcaObjects))

struct Resources {
  std::vector<DeviceCgroup> devices;
  Opt<Memory> memory;
  Opt<Cpu> cpu;
  Opt<Pids> pids;
  Opt<BlockIO> blockIO;
  std::vector<HugepageLimit> hugepageLimits;
  Opt<NetworkCgroup> network;
  std::map<std::string, Rdma> rdma;
  std::map<std::string, std::string> unified;
};
BOOST_DESCRIBE_STRUCT(Resources, (),
                      (devices, memory, cpu, pids, blockIO, hugepageLimits, network, rdma, unified))

struct SeccompArg {
  uint32_t index = 0;
  uint64_t value = 0, valueTwo = 0;
  std::string op;
};
BOOST_DESCRIBE_STRUCT(SeccompArg, (), (index, value, valueTwo, op))

struct SeccompSyscall {
  Strings names;
  std::string action;
  Opt<uint32_t> errnoRet;
  std::vector<SeccompArg> args;
};
BOOST_DESCRIBE_STRUCT(SeccompSyscall, (), (names, action, errnoRet, args))

struct Seccomp {
  std::string defaultAction;
  Opt<uint32_t> defaultErrnoRet;
  Strings architectures, flags;
  std::string listenerPath, listenerMetadata;
  std::vector<SeccompSyscall> syscalls;
};
BOOST_DESCRIBE_STRUCT(Seccomp, (),
                      (defaultAction, defaultErrnoRet, architectures, flags, listenerPath, listenerMetadata,
                       syscalls))

struct TimeOffset {
  int64_t secs = 0;
  uint32_t nanosecs = 0;
};
BOOST_DESCRIBE_STRUCT(TimeOffset, (), (secs, nanosecs))

struct IntelRdt {
  std::string closID;
  Strings schemata;
  std::string l3CacheSchema, memBwSchema;
  bool enableCMT = false, enableMBM = false, enableMonitoring = false;
};
BOOST_DESCRIBE_STRUCT(IntelRdt, (),
                      (closID, schemata, l3CacheSchema, memBwSchema, enableCMT, enableMBM, enableMonitoring))

struct Personality {
  std::string domain;  // LINUX or LINUX32
  Strings flags;
};
BOOST_DESCRIBE_STRUCT(Personality, (), (domain, flags))

struct NetDevice {
  std::string name;
};
BOOST_DESCRIBE_STRUCT(NetDevice, (), (name))

struct MemoryPolicy {
  std::string mode, nodes;
  Strings flags;
};
BOOST_DESCRIBE_STRUCT(MemoryPolicy, (), (mode, nodes, flags))

struct Linux {
  std::vector<IDMapping> uidMappings, gidMappings;
  std::map<std::string, std::string> sysctl;
  Opt<Resources> resources;
  std::string cgroupsPath;
  std::vector<Namespace> namespaces;
  std::vector<Device> devices;
  std::map<std::string, NetDevice> netDevices;
  Opt<Seccomp> seccomp;
  std::string rootfsPropagation;
  Strings maskedPaths, readonlyPaths;
  std::string mountLabel;
  Opt<IntelRdt> intelRdt;
  Opt<MemoryPolicy> memoryPolicy;
  Opt<Personality> personality;
  std::map<std::string, TimeOffset> timeOffsets;  // "monotonic", "boottime"
};
BOOST_DESCRIBE_STRUCT(Linux, (),
                      (uidMappings, gidMappings, sysctl, resources, cgroupsPath, namespaces, devices,
                       netDevices, seccomp, rootfsPropagation, maskedPaths, readonlyPaths, mountLabel,
                       intelRdt, memoryPolicy, personality, timeOffsets))

struct Spec {
  std::string ociVersion;
  Opt<Process> process;
  Opt<Root> root;
  std::string hostname, domainname;
  std::vector<Mount> mounts;
  Opt<Hooks> hooks;
  std::map<std::string, std::string> annotations;
  Opt<Linux> linux_;
};
BOOST_DESCRIBE_STRUCT(Spec, (),
                      (ociVersion, process, root, hostname, domainname, mounts, hooks, annotations, linux_))

}  // namespace cloche::spec
