// System call filters: seccomp(2), seccomp_rule_add(3), the OCI field linux.seccomp.
#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <string>
#include <vector>

#include "kernel/capabilities.h"
#include "spec/runtime.h"
#include "sys/error.h"
#include "sys/fd.h"

namespace cloche::kernel {

// A filter as the kernel takes it: plain data, made before a clone and loaded after it.
struct SeccompProgram {
  std::vector<sock_filter> code;  // at most BPF_MAXINSNS (4096) instructions
  uint32_t flags = 0;             // SECCOMP_FILTER_FLAG_*
  // Some call is answered by a supervisor (SCMP_ACT_NOTIFY): load with load_seccomp_with_listener.
  bool notifies = false;
  // Names in the profile that no architecture of the filter knows. They are left out: the call does not
  // exist.
  std::vector<std::string> unknown_calls;
};

// An OCI filter through libseccomp. Beyond what libseccomp does:
//  - Without `architectures`, the filter is for the native one. A call of any other architecture kills the
//  process.
//  - A call newer than the newest one in the profile is answered with ENOSYS when the default action is
//    SCMP_ACT_ERRNO without `defaultErrnoRet`: a C library that probes for a new call then takes its older
//    path, where EPERM would make it give up. Every other default action stands as it is written.
//  - Several conditions on one argument in one rule are alternatives, as runc has it (libseccomp refuses
//  them).
//  - The result is rearranged (seccomp_optimize.h): the same answers, with far fewer instructions.
// Errors are sentences that name the field: an unknown action, operator, architecture or flag;
// SCMP_ACT_NOTIFY as the default action; a filter of more than 4096 instructions.
sys::Result<SeccompProgram> compile_seccomp(const spec::Seccomp& filter);

// seccomp(SECCOMP_SET_MODE_FILTER). EACCES without no_new_privs or CAP_SYS_ADMIN; EINVAL for a flag this
// kernel does not know. The filter holds from this call's return on.
sys::Result<> load_seccomp(const SeccompProgram& program);
// The same with SECCOMP_FILTER_FLAG_NEW_LISTENER: the descriptor a supervisor reads notifications from.
// EBUSY when a filter of this thread already has one.
sys::Result<sys::Fd> load_seccomp_with_listener(const SeccompProgram& program);

// The default profile, profiles/default.json, as compiled when Cloche was built: for containers that hold
// none of the capabilities the profile has conditions on.
const SeccompProgram& default_seccomp_program();
// The capabilities that the default profile has conditions on.
CapabilitySet default_seccomp_conditions();
// The profile for a container with these capabilities in its bounding set, to be compiled at run time.
sys::Result<spec::Seccomp> default_seccomp_profile(CapabilitySet capabilities);
// Whichever of the two fits.
sys::Result<SeccompProgram> default_seccomp_program_for(CapabilitySet capabilities);

}  // namespace cloche::kernel
