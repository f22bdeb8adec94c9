// Processes: clone3(2), setns(2), unshare(2), pidfd_open(2), execveat(2), credentials(7), prctl(2).
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "sys/error.h"
#include "sys/fd.h"

namespace cloche::sys {

// The two sides of a clone, failure already gone.
struct Parent {
  pid_t child = 0;  // in the caller's pid namespace
  Fd pidfd;
};
struct Child {};
using Cloned = std::variant<Parent, Child>;

struct CloneOptions {
  uint64_t flags = 0;         // CLONE_NEW*, CLONE_PARENT; CLONE_PIDFD is always added
  int cgroup = -1;            // a cgroup directory: CLONE_INTO_CGROUP (Linux 5.7)
  pid_t* tell = nullptr;      // the child's id is there before the child runs: CLONE_PARENT_SETTID
};
// Fork-like clone3(2): no shared memory. The caller must be single-threaded. A plain fork, without flags or cgroup, is
// done by clone(2) where a seccomp filter hides clone3, as those of containers do.
Result<Cloned> clone_process(const CloneOptions& options);

// A thread that shares everything with the caller, the C library's state as well: only while the caller does nothing but
// wait may `work` run. `ended` is not 0 until the kernel has seen the thread's end. `stack` must outlive it.
Result<> start_thread(std::span<std::byte> stack, int (*work)(void*), void* argument,
                      std::atomic<int>& ended);

Result<> join_namespace(const Fd& ns, uint64_t clone_flag, const std::string& name);
Result<> unshare_namespaces(uint64_t clone_flags);
// The CLONE_NEW* bit of an OCI word ("network"); 0 for none of them.
[[nodiscard]] uint64_t namespace_flag(std::string_view oci_type);
// The name below /proc/PID/ns of an OCI word: "network" is "net", "mount" is "mnt".
[[nodiscard]] std::string_view namespace_file(std::string_view oci_type);

Result<Fd> open_pidfd(pid_t pid);
// ESRCH when the process is gone.
Result<> signal_process(const Fd& pidfd, int signal);

// How a child ended: its exit status, or the signal that ended it.
struct Ending {
  int status = 0;
  int signal = 0;
  // 0..255 as a shell shows it: 128 + the signal's number.
  [[nodiscard]] int exit_code() const { return signal != 0 ? 128 + signal : status; }
};
// Waits until the process has ended, which need not be a child; false when that takes longer.
Result<bool> await_end(const Fd& pidfd, int milliseconds);
// Runs `work` in a child, whose exit status it gives, and waits for its end. In place, the child has the caller's memory
// and descriptors (CLONE_VM | CLONE_VFORK | CLONE_FILES): nothing is copied, and what it writes, opens or closes it does
// for both; where it is killed half-way, memory stays as it was at that moment. Namespaces, credentials and working
// directory are its own in any case. Where the kernel makes no child in place, memory is copied: older ones refuse a
// caller whose children are to have another time namespace (EINVAL).
enum class ChildMemory { in_place, copied };
Result<Ending> run_child(ChildMemory memory, int (*work)(void*), void* argument);
// Every signal that is ignored gets its default action again; handlers are gone with the exec anyway. By the kernel's
// numbers, since the C library keeps two of them (32, 33) to itself.
Result<> default_signals();
// An empty signal mask.
Result<> unblock_signals();
// Waits for a child and reaps it. EINTR is retried.
Result<Ending> wait_for(pid_t child);

Result<> set_uid(uid_t uid);
Result<> set_gid(gid_t gid);
Result<> set_groups(std::span<const uint32_t> groups);
Result<> process_control(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d,
                         const std::string& shown);  // prctl(2)
Result<> set_dumpable(bool dumpable);
Result<> new_session();
Result<> set_hostname(const std::string& name);
Result<> set_domainname(const std::string& name);
Result<> set_personality(unsigned long persona);
Result<> join_session_keyring(const std::string& name);
// sched_setaffinity(2) of the calling thread. EINVAL: none of them is there, or in the cgroup's cpuset.
Result<> set_affinity(std::span<const uint32_t> cpus, const std::string& shown);
// set_mempolicy(2) of the calling thread: MPOL_* and MPOL_F_* in one number. EINVAL: a node is not there, or not in
// the cgroup's cpuset; a mode or flag that the kernel does not know.
Result<> set_memory_policy(unsigned mode, std::span<const uint32_t> nodes, const std::string& shown);

// execveat(2) of an open file (AT_EMPTY_PATH), or of a path when `file` is invalid. Returns only on failure.
Error execute(const Fd& file, const std::string& path, const std::vector<std::string>& args,
              const std::vector<std::string>& env);

// True when this process has exactly one thread (/proc/self/status would be slower: fstat of /proc/self/task).
[[nodiscard]] bool single_threaded();

// Nanoseconds of CLOCK_MONOTONIC; only differences within one process have a meaning.
[[nodiscard]] uint64_t monotonic_nanoseconds();

}  // namespace cloche::sys
