// Device access of a cgroup, decided by a BPF program on every open and mknod of a device.
// Source: Documentation/admin-guide/cgroup-v2.rst, "Device controller"; bpf(2); runtime-spec config-linux.md,
// "Allowed Device list" and "Default Devices".
#pragma once

#include <linux/bpf.h>

#include <span>
#include <vector>

#include "spec/runtime.h"
#include "sys/error.h"
#include "sys/fd.h"

namespace cloche::kernel {

// The rules in OCI's order: for each of read, write and mknod the last rule that matches the device decides, and
// without one the access is denied. An open for reading and writing needs both. Type "a" (or none) is character and
// block devices; "u" is "c"; a number that is absent or -1 is any; an empty `access` is "rwm". A rule of type "a"
// keeps its numbers and its access: nothing is widened.

// Rules without those that a later one makes moot: what the program is made of.
sys::Result<std::vector<spec::DeviceCgroup>> simplify_device_rules(std::span<const spec::DeviceCgroup> rules);

// The program itself, for BPF_PROG_TYPE_CGROUP_DEVICE: 1 is allowed, 0 is EPERM. Errors are sentences that name the
// rule: an unknown type or access, a number that no device has.
sys::Result<std::vector<bpf_insn>> compile_device_rules(std::span<const spec::DeviceCgroup> rules);

// bpf(BPF_PROG_LOAD), Linux 4.15. EPERM without CAP_BPF and CAP_NET_ADMIN (or CAP_SYS_ADMIN) in the first user
// namespace: there is no device policy for rootless containers, and no need of one, since they cannot mknod. An
// error of the kernel's verifier carries its words.
sys::Result<sys::Fd> load_device_program(std::span<const spec::DeviceCgroup> rules);

// Makes `program` the cgroup's only one of ours: an earlier one is replaced, without a moment in which neither holds.
// Programs of others stay (BPF_F_ALLOW_MULTI): all of them must allow. The kernel keeps the program for as long as
// the cgroup exists. EPERM where somebody attached one without BPF_F_ALLOW_MULTI here or above.
sys::Result<> attach_device_program(const sys::Fd& cgroup, const sys::Fd& program);

}  // namespace cloche::kernel
