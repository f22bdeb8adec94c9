#include "runtime/placement.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "spec/numbers.h"
#include "sys/call.h"
#include "sys/process.h"

namespace cloche::runtime {

sys::Result<> set_affinity(const std::string& cpus) {
  const auto numbers = spec::parse_number_list(cpus, spec::kMostCpus);
  if (!numbers) return sys::fail_because(fmt::format("\"{}\" is no list of processors", cpus));
  auto set = sys::set_affinity(*numbers, cpus);
  if (!set && set.error().code == EINVAL)
    return sys::wrap(std::move(set).error(),
                     "none of these processors is there, or allowed by the cgroup's cpuset");
  return set;
}

sys::Result<> set_memory_policy(const spec::MemoryPolicy& policy) {
  const auto* mode = std::ranges::find(spec::kMemoryPolicyModes, policy.mode);
  const auto nodes = spec::parse_number_list(policy.nodes, spec::kMostNodes);
  if (mode == spec::kMemoryPolicyModes.end() || !nodes)
    return sys::fail_because(fmt::format("\"{}\" is no memory policy", policy.mode));
  auto number = static_cast<unsigned>(mode - spec::kMemoryPolicyModes.begin());
  for (const std::string& name : policy.flags) {
    const auto* flag = std::ranges::find(spec::kMemoryPolicyFlags, name);
    if (flag == spec::kMemoryPolicyFlags.end())
      return sys::fail_because(fmt::format("\"{}\" is no flag of a memory policy", name));
    number |=
        1U << (spec::kFirstMemoryPolicyFlag + static_cast<unsigned>(flag - spec::kMemoryPolicyFlags.begin()));
  }
  std::string shown = policy.mode;
  for (const std::string& flag : policy.flags) shown += "|" + flag;
  if (!policy.nodes.empty()) shown += ", " + policy.nodes;
  auto set = sys::set_memory_policy(number, *nodes, shown);
  if (!set && set.error().code == EINVAL && !nodes->empty())
    return sys::wrap(std::move(set).error(),
                     "none of these nodes is there, or allowed by the cgroup's cpuset");
  return set;
}

bool give_streams(uid_t uid) {
  bool all = true;
  for (int fd = 0; fd <= 2; ++fd) {
    struct stat st{};
    const long looked = sys::raw_call(SYS_fstat, fd, &st);
    if (looked == -EBADF || (looked == 0 && st.st_uid == uid)) continue;
    const bool a_file = looked == 0 && !S_ISFIFO(st.st_mode) && !(S_ISCHR(st.st_mode) && ::isatty(fd) == 1);
    if (!a_file && (looked != 0 || sys::raw_call(SYS_fchown, fd, uid, -1) != 0)) all = false;
  }
  return all;
}

}  // namespace cloche::runtime
