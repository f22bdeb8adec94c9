#include "faults/tolerated.h"

#include <algorithm>
#include <iterator>

#include "sys/error.h"

namespace cloche::faults {
namespace {

using enum Exception::Kind;

constexpr Exception kExceptions[] = {
    // -- interrupted calls are made again
    {goes_on, "read", "*", "EINTR", "", "made again"},
    {goes_on, "recvmsg", "*", "EINTR", "", "made again"},
    {goes_on, "recvmsg", "*", "ECONNRESET", "", "read again: what was sent before it comes after it"},
    {reworded, "recvmsg", "-", "ECONNRESET", "ended before it heard of it", "believed"},
    {goes_on, "sendmsg", "*", "EINTR", "", "made again"},
    {goes_on, "wait4", "*", "EINTR", "", "made again"},
    {goes_on, "ppoll", "*", "EINTR", "", "made again"},
    {goes_on, "poll", "*", "EINTR", "", "made again"},
    {goes_on, "flock", "*", "EINTR", "", "made again"},
    {goes_on, "accept4", "*", "EINTR", "", "made again"},
    {goes_on, "openat2", "*", "EAGAIN", "",
     "made again: a rename or mount raced with the look-up (openat2(2))"},
    // -- what is there already, or is not
    {reworded, "mkdirat", "-", "EEXIST", "exists already", "the directory of the state is the id's lock"},
    {goes_on, "mkdirat", "cgroup", "ENOENT", "", "its parents are made, and it again"},
    {reworded, "mkdirat", "cgroup", "EEXIST", "= -ENOENT", "believed, and looked into: nothing is there"},
    {goes_on, "openat2", "mount:*", "ENOENT", "",
     "a target that is missing is made; it is there, which is as good"},
    {goes_on, "openat2", "cwd", "ENOENT", "", "likewise"},
    {reworded, "mkdirat", "mount:*", "EEXIST", "= -ENOENT",
     "somebody else's is as good: opening it says that it is not there"},
    {reworded, "mknodat", "device:*", "EEXIST", "= -ENOENT", "likewise: its numbers are looked at"},
    {lies, "symlinkat", "symlink:*", "EEXIST", "", "what is there is left, and the record says so"},
    {goes_on, "openat2", "mask:*", "ENOENT ENOTDIR", "", "nothing to cover"},
    {goes_on, "openat2", "readonly:*", "ENOENT ENOTDIR", "", "nothing to protect"},
    {goes_on, "chdir", "cwd", "ENOENT", "", "it is made; it is there, which is as good"},
    {lies, "faccessat2", "-", "EACCES EPERM EROFS ENOENT", "",
     "believed: the caller may make no cgroup. The plan has none, says so, and is refused where the config "
     "needs one",
     "/sys/fs/cgroup"},
    {goes_on, "faccessat2", "-", "", "",
     "it is looked for in the other directories, or the map written by itself", "newuidmap"},
    {goes_on, "newfstatat", "-", "", "", "whether it is made matters only while its maker lives",
     "/box/made"},
    {reworded, "accept4", "await-start", "", "ended before it heard of it", "it has nobody to tell"},
    {reworded, "accept4", "await-start", "", "it has stopped", "likewise, and `start` came later"},
    {reworded, "connect", "-", "ENOENT ECONNREFUSED", "it is running already", "believed: nobody waits there",
     "socket:"},
    {goes_on, "fstat", "user", "", "", "a stream keeps its owner: recorded, but `start` shows no record"},
    {reworded, "pidfd_send_signal", "-", "ESRCH", "does not end",
     "believed: it has ended, and is waited for"},
    {goes_on, "unlinkat", "-", "", "", "then its processes are ended, and it is removed again",
     "/sys/fs/cgroup"},
    // -- the names of the standard streams, kept for a checkpoint
    {goes_on, "readlinkat", "-", "", "", "without a name it is looked at when it is dumped", "/proc/self/fd"},
    {goes_on, "newfstatat", "-", "", "", "likewise", "/proc/self/fd"},
    {goes_on, "openat", "-", "", "", "likewise", "/proc/self/fdinfo"},
    {goes_on, "read", "-", "", "", "likewise", "/fdinfo/"},
    // -- the program is replaced by one that cannot be written: by a copy where there is no overlay
    {goes_on, "statfs", "-", "", "", "not seen to be replaced: it is once more", "/proc/self/exe"},
    {goes_on, "readlinkat", "-", "", "", "a copy", "/proc/self/exe"},
    {goes_on, "fsopen", "-", "", "", "a copy"},
    {goes_on, "fsconfig", "-", "", "", "a copy"},
    {goes_on, "fsmount", "-", "", "", "a copy"},
    {goes_on, "openat", "-", "", "", "a copy", "/cloche-runtime"},
    {goes_on, "fstat", "-", "", "", "a copy", "/cloche-runtime"},
    {goes_on, "execveat", "-", "", "", "main does it, if what runs before the C library cannot"},
    // -- older kernels
    {goes_on, "madvise", "*", "", "", "what is not mapped beforehand is mapped when it is touched"},
    {goes_on, "memfd_create", "*", "EINVAL", "", "without the flags of Linux 6.3"},
    {goes_on, "clone3", "uid-map", "ENOSYS", "", "clone(2) does the same where no namespace is new"},
    {goes_on, "clone3", "gid-map", "ENOSYS", "", "likewise"},
    {goes_on, "clone", "clone", "", "", "the process that joins has a copy of the memory then"},
    {goes_on, "clone3", "-", "ENOSYS", "", "likewise, of hooks"},
    {goes_on, "clone3", "hooks:*", "ENOSYS", "", "clone(2) does the same where no namespace is new"},
    // -- said in words
    {reworded, "capget", "-", "", "without root's rights", "who cannot show a right does not have it"},
    {reworded, "write", "-", "", "seccomp_export_bpf = -ECANCELED",
     "libseccomp writes the filter, and keeps the errno to itself"},
    {reworded, "openat", "-", "", "does not give them", "what /etc/subuid does not say is not the caller's"},
    {reworded, "openat2", "-", "", "does not give them", "likewise"},
    {reworded, "read", "-", "", "does not give them", "likewise"},
    {reworded, "prctl", "bounding-set", "EACCES EPERM", "= -EINVAL",
     "the last capability is found by the one after it"},
    {reworded, "newfstatat", "command", "",
     "exec: ", "the command is looked for in other ways, and the reason found"},
    {reworded, "faccessat2", "command", "", "exec: ", "likewise"},
    // -- calls whose failure changes nothing
    {goes_on, "prlimit64", "-", "", "", "the C library asks for the stack's size"},
    {goes_on, "rt_sigaction", "-", "", "", "signal(SIGPIPE) and (SIGCHLD): fail only for other arguments"},
    {goes_on, "fcntl", "-", "EACCES EBUSY", "", "whether a stream is open: all but EBADF means yes",
     "/dev/null"},
    {goes_on, "ioctl", "-", "", "", "isatty(3): it is no terminal"},
    {goes_on, "waitid", "-", "", "", "whether the command stopped for its tracer: it did not"},
    {goes_on, "capget", "-", "", "", "who cannot show a right does not have it: the plan is a user's"},
    {goes_on, "prctl", "idmap:*", "", "",
     "the end of the holder with its maker, for a maker that is killed; else it is ended"},
    {goes_on, "fcntl", "hooks:*", "", "",
     "the seal on what the hook wrote: a process it left might still write there"},
    {goes_on, "openat", "exec", "", "",
     "why the exec might fail, and HOME: asked beforehand, and not needed"},
    {goes_on, "openat2", "exec", "", "", "likewise", "/etc/passwd"},
    {goes_on, "read", "exec", "", "", "likewise"},
    {goes_on, "newfstatat", "exec", "", "", "likewise"},
    {goes_on, "faccessat2", "exec", "", "", "likewise"},
    {reworded, "fcntl", "exec", "", "execve(", "the init's own words are of its execve, with the errno"},
    {goes_on, "ioctl", "user", "", "", "isatty(3): what is no terminal keeps its owner"},
    {goes_on, "fstat", "user", "EBADF", "", "no such stream"},
    {goes_on, "fstat", "hooks:*", "", "", "what the hook wrote is not shown"},
};

bool covers(std::string_view pattern, std::string_view text) {
  if (pattern.ends_with('*')) return text.starts_with(pattern.substr(0, pattern.size() - 1));
  return pattern == text;
}

bool lists(std::string_view words, std::string_view word) {
  while (!words.empty()) {
    const size_t end = std::min(words.find(' '), words.size());
    if (words.substr(0, end) == word) return true;
    words.remove_prefix(std::min(end + 1, words.size()));
  }
  return false;
}

}  // namespace

const Exception* exception_for(std::string_view call, std::string_view step, std::string_view about, int code,
                               const std::string* said) {
  const std::string name = sys::errno_name(code);
  const auto fits = [&](const Exception& one) {
    if ((one.kind == reworded) != (said != nullptr)) return false;
    if (said != nullptr && said->find(one.words) == std::string::npos) return false;
    return covers(one.call, call) && covers(one.step, step) &&
           about.find(one.about) != std::string_view::npos && (one.codes.empty() || lists(one.codes, name));
  };
  const auto* found = std::ranges::find_if(kExceptions, fits);
  return found == std::end(kExceptions) ? nullptr : found;
}

}  // namespace cloche::faults
