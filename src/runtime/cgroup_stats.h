// What a container has used, as its cgroup's files say. Source: Documentation/admin-guide/cgroup-v2.rst; for the
// shape of the JSON, runc's `events` (opencontainers/runc, types/events.go), which containerd's go-runc reads.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "sys/error.h"
#include "sys/fd.h"

namespace cloche::runtime {

// The file's text by its name; one that is not there (no controller, an older kernel) is absent.
using CgroupTexts = std::map<std::string, std::string, std::less<>>;

// Every file that the statistics are made of.
[[nodiscard]] CgroupTexts read_statistics(const sys::Fd& cgroup);

// {"cpu":{...},"cpuset":{...},"memory":{...},"pids":{...},"blkio":{...},"hugetlb":{...},"rdma":{...},
// "intel_rdt":{},"network_interfaces":[...]}. Times are nanoseconds, sizes bytes, no limit is 2^64 - 1 (of pids 0), as
// runc has them. memory.swap counts memory and swap together. `network`: /proc/PID/net/dev of a process in the
// container's own network namespace, or empty.
[[nodiscard]] std::string statistics_json(const CgroupTexts& files, std::string_view network);

// The number of the line "KEY NUMBER"; 0 where there is none.
[[nodiscard]] uint64_t flat_value(std::string_view text, std::string_view key);

// {"some":{"avg10":0.12,...,"total":5},"full":{...}} of a pressure file (Documentation/accounting/psi.rst); empty where
// the kernel keeps none.
[[nodiscard]] std::string pressure_json(std::string_view text);

}  // namespace cloche::runtime
