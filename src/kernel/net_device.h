// Network devices across namespaces: rtnetlink(7), network_namespaces(7), the OCI field linux.netDevices.
#pragma once

#include <string>

#include "sys/error.h"
#include "sys/fd.h"

namespace cloche::kernel {

// The device `device` of the caller's network namespace moves into `ns`, is named `name` there ("eth%d": the kernel
// puts the first free number for %d), gets its permanent addresses of global scope again, which the kernel takes away on
// the move, and is set up. On failure it is where it was, as it was. Needs CAP_NET_ADMIN here and in `ns`, and to join
// `ns` CAP_SYS_ADMIN.
// Errors: ENODEV: no such device. EEXIST: `ns` has a device of that name. EINVAL from the kernel: the device cannot
// move (a loopback device, a bridge's port of some drivers).
sys::Result<> move_net_device(const std::string& device, const std::string& name, const sys::Fd& ns);

}  // namespace cloche::kernel
