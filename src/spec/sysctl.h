// A kernel variable by its name, as sysctl(8) takes it: the first separator, '.' or '/', parts the name, the other one
// stands within a part. "net.ipv4.conf.eth0/100.forwarding" and "net/ipv4/conf/eth0.100/forwarding" are one variable.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace cloche::spec {

// Its file below /proc/sys, and nothing when that is no name: no part may be empty, "." or "..".
std::optional<std::string> sysctl_file(std::string_view name);
// The name with dots of such a file.
std::string sysctl_name(std::string_view file);

// The type of the namespace that owns the file, "" when it is the whole machine's. Sources: ipc_namespaces(7),
// uts_namespaces(7), network_namespaces(7), namespaces(7) for /proc/sys/user.
std::string_view sysctl_owner(std::string_view file);

}  // namespace cloche::spec
