// The config that `cloche-runtime spec` prints: a shell in a root file system that lies beside it.
#pragma once

#include <cstdint>

#include "spec/runtime.h"

namespace cloche::spec {

// The version of what Cloche itself writes: the newest one that older runtimes read too.
inline constexpr const char* kWrittenVersion = "1.2.0";

// For root: every namespace but user and time, a read-only root, three capabilities.
Spec default_spec();
// For a caller without privilege: a user namespace that maps root to these ids alone, the host's network, and no
// mount or limit that would need more than that.
Spec default_rootless_spec(uint32_t uid, uint32_t gid);

// The files under /proc and /sys that concern the host and are hidden, or made read-only, by default.
const Strings& default_masked_paths();
const Strings& default_readonly_paths();

}  // namespace cloche::spec
