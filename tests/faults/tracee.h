// What a process is that stopped in a system call, and what the call is about. x86-64.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace cloche::faults {

// process_vm_readv(2); false unless all of it could be read.
bool read_memory(pid_t pid, uint64_t from, void* to, size_t size);

// The path that the call names, below what its directory's descriptor is open on; or what its descriptor is open on, in
// the words of /proc/PID/fd. Empty for calls with neither.
std::string about(pid_t pid, long number, const uint64_t* arguments);

// Runs `program` itself, also where that is in an overlay that is attached nowhere, whose root its directory is; or one
// of its memory files: the init, a sealed copy.
bool is_ours(pid_t pid, const std::string& program);

// The call makes the container's process: with namespaces or into a cgroup. Hooks, helpers and the process that joins
// are not made so.
bool makes_container(pid_t pid, long number, const uint64_t* arguments);

// The address of the record that the process shares with the one that mapped it: shared memory of that size. 0: none.
uint64_t find_record(pid_t pid);

}  // namespace cloche::faults
