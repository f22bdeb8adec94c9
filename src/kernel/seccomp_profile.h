// Profile files: the OCI form of linux.seccomp with conditions on each rule, as Docker's profiles have them.
#pragma once

#include <string>
#include <string_view>

#include "kernel/capabilities.h"
#include "spec/runtime.h"
#include "sys/error.h"

namespace cloche::kernel {

// What conditions are held against.
struct ProfileFacts {
  CapabilitySet capabilities;  // the container's bounding set
  int kernel_major = 5, kernel_minor = 15;
  std::string architecture = "amd64";  // Docker's word for it
};

struct SeccompProfile {
  spec::Seccomp filter;
  CapabilitySet conditions;  // every capability named in a condition, met or not
};

// The dialect: an object with the keys of OCI's linux.seccomp, and
//   "archMap": [{"architecture", "subArchitectures"}]    the architectures, for the one with the native name
//   "name" beside "names" in a rule; "comment" anywhere
//   "includes"/"excludes" in a rule: {"caps": [..], "arches": [..], "minKernel": "4.8"}. A rule holds if all
//   of `includes` is so and nothing of `excludes`. "width": 32 in a condition with SCMP_CMP_NE: the kernel
//   reads this argument as 32 bits, so the upper half does not make it another value. It must be the rule's
//   only condition.
// At most 1 MiB. Errors are sentences with the path of the field.
sys::Result<SeccompProfile> read_seccomp_profile(std::string_view json, const ProfileFacts& facts);

}  // namespace cloche::kernel
