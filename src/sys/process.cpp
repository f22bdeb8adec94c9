#include "sys/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <linux/keyctl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sys/call.h"
#include "sys/flags.h"
#include "sys/outcome.h"

namespace cloche::sys {
namespace {

struct NamespaceName {
  std::string_view oci, file;
  uint64_t flag;
};
constexpr NamespaceName kNamespaces[] = {
    {"mount", "mnt", CLONE_NEWNS},         {"pid", "pid", CLONE_NEWPID},     {"uts", "uts", CLONE_NEWUTS},
    {"ipc", "ipc", CLONE_NEWIPC},          {"network", "net", CLONE_NEWNET}, {"user", "user", CLONE_NEWUSER},
    {"cgroup", "cgroup", CLONE_NEWCGROUP}, {"time", "time", CLONE_NEWTIME},
};

std::vector<const char*> c_strings(const std::vector<std::string>& strings) {
  std::vector<const char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& s : strings) pointers.push_back(s.c_str());
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

Result<Cloned> clone_process(const CloneOptions& options) {
  int pidfd = -1;
  clone_args args{};
  args.flags = options.flags | CLONE_PIDFD;
  args.pidfd = reinterpret_cast<uint64_t>(&pidfd);
  // The kernel wants no exit signal with CLONE_PARENT: the child inherits its creator's.
  args.exit_signal = (options.flags & CLONE_PARENT) != 0 ? 0 : SIGCHLD;
  if (options.cgroup >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<uint64_t>(options.cgroup);
  }
  if (options.tell != nullptr) {
    args.flags |= CLONE_PARENT_SETTID;
    args.parent_tid = reinterpret_cast<uint64_t>(options.tell);
  }
  long pid = raw_call(SYS_clone3, &args, sizeof args);
  if (pid == -ENOSYS && options.flags == 0 && options.cgroup < 0 && options.tell == nullptr)
    pid = raw_call(SYS_clone, CLONE_PIDFD | SIGCHLD, nullptr, &pidfd, nullptr, nullptr);
  if (pid == 0) return Cloned(Child{});
  CLOCHE_TRY(outcome(pid, [&] { return fmt::format("clone3({{flags={}}})", clone_flag_names(args.flags)); }));
  return Cloned(Parent{.child = static_cast<pid_t>(pid), .pidfd = Fd(pidfd)});
}

// By the C library's clone(2), since the new stack has no frame to return to.
Result<> start_thread(std::span<std::byte> stack, int (*work)(void*), void* argument,
                      std::atomic<int>& ended) {
  static_assert(sizeof ended == sizeof(int) && std::atomic<int>::is_always_lock_free);
  ended = 1;
  constexpr int kFlags =
      CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_CHILD_CLEARTID;
  auto top = reinterpret_cast<uintptr_t>(stack.data() + stack.size());
  top -= top % 16;
  if (::clone(work, reinterpret_cast<void*>(top),  // NOLINT(performance-no-int-to-ptr)
              kFlags, argument, nullptr, nullptr, reinterpret_cast<int*>(&ended)) < 0)
    return fail(errno, fmt::format("clone({})", clone_flag_names(kFlags)));
  return {};
}

Result<> join_namespace(const Fd& ns, uint64_t clone_flag, const std::string& name) {
  return outcome(raw_call(SYS_setns, ns.get(), clone_flag),
                 [&] { return fmt::format("setns({}, {})", in_quotes(name), clone_flag_names(clone_flag)); });
}

Result<> unshare_namespaces(uint64_t clone_flags) {
  return outcome(raw_call(SYS_unshare, clone_flags),
                 [&] { return fmt::format("unshare({})", clone_flag_names(clone_flags)); });
}

uint64_t namespace_flag(std::string_view oci_type) {
  for (const NamespaceName& ns : kNamespaces)
    if (ns.oci == oci_type) return ns.flag;
  return 0;
}

std::string_view namespace_file(std::string_view oci_type) {
  for (const NamespaceName& ns : kNamespaces)
    if (ns.oci == oci_type) return ns.file;
  return {};
}

Result<Fd> open_pidfd(pid_t pid) {
  const long raw = raw_call(SYS_pidfd_open, pid, 0);
  if (raw < 0) return fail(static_cast<int>(-raw), fmt::format("pidfd_open({})", pid));
  return Fd(static_cast<int>(raw));
}

Result<> signal_process(const Fd& pidfd, int signal) {
  return outcome(raw_call(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0),
                 [&] { return fmt::format("pidfd_send_signal({}, {})", pidfd.get(), signal); });
}

Result<bool> await_end(const Fd& pidfd, int milliseconds) {
  pollfd ended{.fd = pidfd.get(), .events = POLLIN, .revents = 0};
  timespec left{.tv_sec = milliseconds / 1000, .tv_nsec = milliseconds % 1000 * 1'000'000L};
  long ready = 0;
  do {
    ready = raw_call(SYS_ppoll, &ended, 1, &left, nullptr, 0);  // the kernel takes the time waited off `left`
  } while (ready == -EINTR);
  CLOCHE_TRY(outcome(ready, [&] { return fmt::format("ppoll({})", pidfd.get()); }));
  return ready == 1;
}

Result<> default_signals() {
  constexpr int kSignals = 64;  // _NSIG, signal(7)
  // struct kernel_sigaction of the architecture; all zero is SIG_DFL whatever its layout.
  alignas(long) const char standard[64] = {};
  for (int signal = 1; signal <= kSignals; ++signal) {
    if (signal == SIGKILL || signal == SIGSTOP) continue;
    CLOCHE_TRY(outcome(raw_call(SYS_rt_sigaction, signal, standard, nullptr, sizeof(uint64_t)),
                       [&] { return fmt::format("rt_sigaction({}, SIG_DFL)", signal); }));
  }
  return {};
}

Result<> unblock_signals() {
  const uint64_t none = 0;
  return outcome(raw_call(SYS_rt_sigprocmask, SIG_SETMASK, &none, nullptr, sizeof none),
                 [] { return std::string("rt_sigprocmask(SIG_SETMASK, [])"); });
}

Result<Ending> wait_for(pid_t child) {
  int status = 0;
  long result = 0;
  do {
    result = raw_call(SYS_wait4, child, &status, __WALL, nullptr);
  } while (result == -EINTR);
  CLOCHE_TRY(outcome(result, [&] { return fmt::format("wait4({})", child); }));
  if (WIFSIGNALED(status)) return Ending{.status = 0, .signal = WTERMSIG(status)};
  return Ending{.status = WEXITSTATUS(status), .signal = 0};
}

namespace {

// The child's stack is the caller's own, below its frames: they stand still meanwhile, and there is as much room as usual.
[[gnu::noinline]] pid_t clone_in_place(int (*work)(void*), void* argument) {
  constexpr uintptr_t kOwnFrames = 4096;
  constexpr int kFlags = CLONE_VM | CLONE_VFORK | CLONE_FILES;
  uintptr_t top = reinterpret_cast<uintptr_t>(__builtin_frame_address(0)) - kOwnFrames;
  top -= top % 16;
  return ::clone(work, reinterpret_cast<void*>(top),  // NOLINT(performance-no-int-to-ptr)
                 kFlags | SIGCHLD, argument);
}

}  // namespace

Result<Ending> run_child(ChildMemory memory, int (*work)(void*), void* argument) {
  if (memory == ChildMemory::in_place)
    if (const pid_t child = clone_in_place(work, argument); child > 0) return wait_for(child);
  CLOCHE_TRY_ASSIGN(cloned, clone_process({}));
  if (std::holds_alternative<Child>(cloned)) ::_exit(work(argument));
  return wait_for(std::get<Parent>(cloned).child);
}

Result<> set_uid(uid_t uid) {
  return outcome(raw_call(SYS_setresuid, uid, uid, uid),
                 [&] { return fmt::format("setresuid({0}, {0}, {0})", uid); });
}
Result<> set_gid(gid_t gid) {
  return outcome(raw_call(SYS_setresgid, gid, gid, gid),
                 [&] { return fmt::format("setresgid({0}, {0}, {0})", gid); });
}
Result<> set_groups(std::span<const uint32_t> groups) {
  return outcome(raw_call(SYS_setgroups, groups.size(), groups.data()),
                 [&] { return fmt::format("setgroups({}, [{}])", groups.size(), fmt::join(groups, ", ")); });
}

Result<> process_control(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d,
                         const std::string& shown) {
  return outcome(raw_call(SYS_prctl, option, a, b, c, d), [&] { return fmt::format("prctl({})", shown); });
}
Result<> set_dumpable(bool dumpable) {
  return process_control(PR_SET_DUMPABLE, dumpable ? 1 : 0, 0, 0, 0,
                         fmt::format("PR_SET_DUMPABLE, {}", dumpable ? 1 : 0));
}
Result<> new_session() {
  return outcome(raw_call(SYS_setsid), [] { return std::string("setsid()"); });
}
Result<> set_hostname(const std::string& name) {
  return outcome(raw_call(SYS_sethostname, name.c_str(), name.size()),
                 [&] { return fmt::format("sethostname({})", in_quotes(name)); });
}
Result<> set_domainname(const std::string& name) {
  return outcome(raw_call(SYS_setdomainname, name.c_str(), name.size()),
                 [&] { return fmt::format("setdomainname({})", in_quotes(name)); });
}
Result<> set_personality(unsigned long persona) {
  return outcome(raw_call(SYS_personality, persona),
                 [&] { return fmt::format("personality({:#x})", persona); });
}
Result<> join_session_keyring(const std::string& name) {
  return outcome(raw_call(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.c_str()),
                 [&] { return fmt::format("keyctl(KEYCTL_JOIN_SESSION_KEYRING, {})", in_quotes(name)); });
}

namespace {

// A mask of the kernel's words; at least one.
std::vector<unsigned long> mask_of(std::span<const uint32_t> numbers) {
  constexpr size_t kBits = 8 * sizeof(unsigned long);
  std::vector<unsigned long> mask(1);
  for (const uint32_t number : numbers) {
    if (mask.size() <= number / kBits) mask.resize(number / kBits + 1);
    mask[number / kBits] |= 1UL << number % kBits;
  }
  return mask;
}

}  // namespace

Result<> set_affinity(std::span<const uint32_t> cpus, const std::string& shown) {
  const auto mask = mask_of(cpus);
  return outcome(raw_call(SYS_sched_setaffinity, 0, mask.size() * sizeof mask[0], mask.data()),
                 [&] { return fmt::format("sched_setaffinity(0, {})", shown); });
}

Result<> set_memory_policy(unsigned mode, std::span<const uint32_t> nodes, const std::string& shown) {
  const auto mask = mask_of(nodes);
  // The kernel takes one bit less than it is told.
  const long raw = nodes.empty()
                       ? raw_call(SYS_set_mempolicy, mode, nullptr, 0)
                       : raw_call(SYS_set_mempolicy, mode, mask.data(), mask.size() * sizeof mask[0] * 8 + 1);
  return outcome(raw, [&] { return fmt::format("set_mempolicy({})", shown); });
}

namespace {

// The first few arguments as they are; of the environment, which may hold secrets, only the number.
std::string shown_arguments(const std::vector<std::string>& args) {
  constexpr size_t kShown = 6;
  std::string text;
  for (size_t i = 0; i < args.size() && i < kShown; ++i) text += (i == 0 ? "" : ", ") + in_quotes(args[i]);
  return args.size() > kShown ? fmt::format("{}, ... ({} in all)", text, args.size()) : text;
}

}  // namespace

Error execute(const Fd& file, const std::string& path, const std::vector<std::string>& args,
              const std::vector<std::string>& env) {
  const auto argv = c_strings(args);
  const auto envp = c_strings(env);
  const long result = file.valid()
                          ? raw_call(SYS_execveat, file.get(), "", argv.data(), envp.data(), AT_EMPTY_PATH)
                          : raw_call(SYS_execve, path.c_str(), argv.data(), envp.data());
  return Error{.code = static_cast<int>(-result),
               .call = fmt::format("execve({}, [{}], [{} variables])", in_quotes(path), shown_arguments(args),
                                   env.size()),
               .context = {}};
}

bool single_threaded() {
  struct stat st{};
  // A directory's link count is 2 and one for each thread below it.
  return raw_call(SYS_newfstatat, AT_FDCWD, "/proc/self/task", &st, 0) != 0 || st.st_nlink <= 3;
}

uint64_t monotonic_nanoseconds() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000U + static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace cloche::sys
