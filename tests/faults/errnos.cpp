#include "faults/errnos.h"

#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <iterator>

namespace cloche::faults {
namespace {

// The section ERRORS of each page of man-pages 6.03 (Debian 12), section 2; of calls that these do not have, the
// kernel's source. Files of cgroupfs and procfs add what cgroups(7) and user_namespaces(7) name.
constexpr std::array kAccept = {EAGAIN, EBADF,  ECONNABORTED, EFAULT, EINTR, EINVAL,
                                EMFILE, ENFILE, ENOBUFS,      ENOMEM, EPERM, EPROTO};
constexpr std::array kBind = {EACCES, EADDRINUSE,   EBADF,  EINVAL, ENOTSOCK, EFAULT,
                              ELOOP,  ENAMETOOLONG, ENOENT, ENOMEM, ENOTDIR,  EROFS};
constexpr std::array kBpf = {E2BIG, EACCES, EBADF, EFAULT, EINVAL, ENOENT, ENOMEM, EPERM, ENOSPC};
constexpr std::array kCapget = {EFAULT, EINVAL, EPERM, ESRCH};
constexpr std::array kChdir = {EACCES, EFAULT, EIO, ELOOP, ENAMETOOLONG, ENOENT, ENOMEM, ENOTDIR};
constexpr std::array kChown = {EACCES,  EFAULT, ELOOP, ENAMETOOLONG, ENOENT, ENOMEM,
                               ENOTDIR, EPERM,  EROFS, EBADF,        EINVAL, EIO};
constexpr std::array kClone = {EACCES, EAGAIN,     EBUSY, EEXIST, EINVAL, ENOMEM,
                               ENOSPC, EOPNOTSUPP, EPERM, EUSERS, ENOSYS};
constexpr std::array kCloseRange = {EINVAL, EMFILE, ENOMEM, ENOSYS};
constexpr std::array kConnect = {EACCES, EPERM, EADDRINUSE, EAGAIN,     EBADF,     ECONNREFUSED,
                                 EFAULT, EINTR, ENOTSOCK,   EPROTOTYPE, ETIMEDOUT, ENOENT};
constexpr std::array kDup = {EBADF, EBUSY, EINTR, EINVAL, EMFILE};
constexpr std::array kExec = {E2BIG,   EACCES,  EAGAIN, EFAULT,       EINVAL, EIO,    EISDIR,
                              ELIBBAD, ELOOP,   EMFILE, ENAMETOOLONG, ENFILE, ENOENT, ENOEXEC,
                              ENOMEM,  ENOTDIR, EPERM,  ETXTBSY,      EBADF};
constexpr std::array kFaccessat = {EACCES, EFAULT,  EIO,   ELOOP, ENAMETOOLONG, ENOENT,
                                   ENOMEM, ENOTDIR, EPERM, EROFS, ENOSYS};
constexpr std::array kFchdir = {EACCES, EBADF, ENOTDIR};
constexpr std::array kFchmod = {EBADF, EIO, EPERM, EROFS};
constexpr std::array kFchown = {EBADF, EIO, EPERM, EROFS};
constexpr std::array kFcntl = {EACCES, EBADF, EINVAL, EMFILE, EPERM, EBUSY};
constexpr std::array kFlock = {EBADF, EINTR, EINVAL, ENOLCK};
constexpr std::array kFsconfig = {EINVAL, EBUSY,      EACCES, ENODEV,       ENOENT, ENOMEM,
                                  EPERM,  EOPNOTSUPP, ENOSPC, ENAMETOOLONG, ENOSYS};
constexpr std::array kFsmount = {EINVAL, EBUSY, ENOMEM, EMFILE, ENFILE, EPERM, ENOSYS};
constexpr std::array kFsopen = {EFAULT, EINVAL, EMFILE, ENFILE, ENODEV, ENOMEM, EPERM, ENOSYS};
constexpr std::array kGetcwd = {EACCES, EFAULT, ENOENT, ENOMEM, ERANGE};
constexpr std::array kGetdents = {EBADF, EFAULT, EINVAL, ENOENT, ENOTDIR};
constexpr std::array kIoctl = {EBADF, EFAULT, EINVAL, ENOTTY, EPERM, ENODEV, EIO};
constexpr std::array kIoprio = {EINVAL, EPERM, ESRCH};
constexpr std::array kKeyctl = {EACCES, EDQUOT, EINVAL, ENOMEM, ENOKEY, ENOSYS, EPERM};
constexpr std::array kListen = {EADDRINUSE, EBADF, ENOTSOCK, EOPNOTSUPP};
constexpr std::array kLseek = {EBADF, EINVAL, EOVERFLOW, ESPIPE};
constexpr std::array kMadvise = {EFAULT, EINVAL, ENOMEM};
constexpr std::array kMemfd = {EFAULT, EINVAL, EMFILE, ENFILE, ENOMEM, EPERM, EACCES};
constexpr std::array kMkdir = {EACCES,       EDQUOT, EEXIST, EFAULT, EINVAL,  ELOOP, EMLINK,
                               ENAMETOOLONG, ENOENT, ENOMEM, ENOSPC, ENOTDIR, EPERM, EROFS};
constexpr std::array kMknod = {EACCES, EDQUOT, EEXIST, EFAULT,  EINVAL, ELOOP, ENAMETOOLONG,
                               ENOENT, ENOMEM, ENOSPC, ENOTDIR, EPERM,  EROFS};
constexpr std::array kMountSetattr = {EBADF, EBUSY, EINVAL, ENOENT, ENOMEM, ENOSPC, EPERM, EROFS, ENOSYS};
constexpr std::array kMoveMount = {EACCES,  EFAULT, EINVAL, ELOOP, ENAMETOOLONG, ENOENT,
                                   ENOTDIR, EPERM,  ENOSPC, EBUSY, ENOSYS};
constexpr std::array kOpen = {EACCES,  EBUSY,  EDQUOT,       EEXIST, EFAULT, EINTR,  EINVAL, EISDIR,
                              ELOOP,   EMFILE, ENAMETOOLONG, ENFILE, ENODEV, ENOENT, ENOMEM, ENOSPC,
                              ENOTDIR, ENXIO,  EOVERFLOW,    EPERM,  EROFS,  ETXTBSY};
constexpr std::array kOpenat2 = {E2BIG,  EACCES, EAGAIN,  EINVAL, ELOOP, EMFILE,    ENFILE,
                                 ENOENT, ENOMEM, ENOTDIR, EXDEV,  EPERM, EOVERFLOW, ENOSYS};
constexpr std::array kOpenTree = {EACCES, EBADF,  EFAULT, EINVAL,  ELOOP, EMFILE, ENAMETOOLONG,
                                  ENFILE, ENOENT, ENOMEM, ENOTDIR, EPERM, ENOSPC, ENOSYS};
constexpr std::array kPersonality = {EINVAL};
constexpr std::array kPidfdOpen = {EINVAL, EMFILE, ENFILE, ENODEV, ENOMEM, ESRCH, ENOSYS};
constexpr std::array kPidfdSignal = {EBADF, EINVAL, EPERM, ESRCH};
constexpr std::array kPipe = {EFAULT, EINVAL, EMFILE, ENFILE};
constexpr std::array kPivot = {EBUSY, EINVAL, ENOTDIR, EPERM};
constexpr std::array kPoll = {EFAULT, EINTR, EINVAL, ENOMEM};
constexpr std::array kPrctl = {EACCES, EBADF, EFAULT, EINVAL, ENXIO, EOPNOTSUPP, EPERM};
constexpr std::array kPrlimit = {EFAULT, EINVAL, EPERM, ESRCH};
constexpr std::array kRead = {EAGAIN, EBADF, EFAULT, EINTR, EINVAL, EIO, EISDIR, EOVERFLOW, ESPIPE};
constexpr std::array kReadlink = {EACCES, EBADF,        EFAULT, EINVAL, EIO,
                                  ELOOP,  ENAMETOOLONG, ENOENT, ENOMEM, ENOTDIR};
constexpr std::array kRecvmsg = {EAGAIN, EBADF,  ECONNREFUSED, ECONNRESET, EFAULT,
                                 EINTR,  EINVAL, ENOMEM,       ENOTCONN,   ENOTSOCK};
constexpr std::array kRename = {EACCES,       EBUSY,  EDQUOT, EFAULT, EINVAL,  EISDIR, ELOOP, EMLINK,
                                ENAMETOOLONG, ENOENT, ENOMEM, ENOSPC, ENOTDIR, EPERM,  EROFS, EXDEV};
constexpr std::array kSched = {EINVAL, ESRCH, E2BIG, EBUSY, EPERM};
constexpr std::array kSeccomp = {EACCES, EBUSY, ECANCELED, EFAULT, EINVAL, ENOMEM, EOPNOTSUPP, ESRCH};
constexpr std::array kSendmsg = {EACCES,   EAGAIN,  EBADF,  ECONNRESET, EFAULT,   EINTR, EINVAL,
                                 EMSGSIZE, ENOBUFS, ENOMEM, ENOTCONN,   ENOTSOCK, EPIPE, ETOOMANYREFS};
constexpr std::array kSetgroups = {EFAULT, EINVAL, ENOMEM, EPERM};
constexpr std::array kSethostname = {EFAULT, EINVAL, ENAMETOOLONG, EPERM};
constexpr std::array kSetids = {EAGAIN, EINVAL, EPERM};
constexpr std::array kSetns = {EBADF, EINVAL, ENOMEM, EPERM, ESRCH, EUSERS};
constexpr std::array kSetsid = {EPERM};
constexpr std::array kSigaction = {EFAULT, EINVAL};
constexpr std::array kSignalfd = {EBADF, EINVAL, EMFILE, ENFILE, ENODEV, ENOMEM};
constexpr std::array kSocket = {EACCES, EAFNOSUPPORT, EINVAL, EMFILE,
                                ENFILE, ENOBUFS,      ENOMEM, EPROTONOSUPPORT};
constexpr std::array kStat = {EACCES,       EBADF,  EFAULT, EINVAL,  ELOOP,
                              ENAMETOOLONG, ENOENT, ENOMEM, ENOTDIR, EOVERFLOW};
constexpr std::array kStatfs = {EACCES,       EBADF,  EFAULT, EINTR,  EIO,     ELOOP,
                                ENAMETOOLONG, ENOENT, ENOMEM, ENOSYS, ENOTDIR, EOVERFLOW};
constexpr std::array kSymlink = {EACCES, EDQUOT, EEXIST, EFAULT,  EIO,   ELOOP, ENAMETOOLONG,
                                 ENOENT, ENOMEM, ENOSPC, ENOTDIR, EPERM, EROFS, EBADF};
constexpr std::array kUmount = {EAGAIN, EBUSY, EFAULT, EINVAL, ENAMETOOLONG, ENOENT, ENOMEM, EPERM};
constexpr std::array kUnlink = {EACCES, EBUSY,   EFAULT,    EIO,   EISDIR, ELOOP, ENAMETOOLONG, ENOENT,
                                ENOMEM, ENOTDIR, ENOTEMPTY, EPERM, EROFS,  EBADF, EINVAL};
constexpr std::array kUnshare = {EINVAL, ENOMEM, ENOSPC, EPERM, EUSERS};
constexpr std::array kWait = {ECHILD, EINTR, EINVAL};
constexpr std::array kWrite = {EAGAIN, EBADF, EDESTADDRREQ, EDQUOT, EFAULT, EFBIG,  EINTR,  EINVAL,    EIO,
                               ENOSPC, EPERM, EPIPE,        EBUSY,  EACCES, ENODEV, ERANGE, EOPNOTSUPP};

constexpr CallErrors kCalls[] = {
    {SYS_accept4, "accept4", "", kAccept},
    {SYS_bind, "bind", "", kBind},
    {SYS_bpf, "bpf", "", kBpf},
    {SYS_capget, "capget", "", kCapget},
    {SYS_capset, "capset", "", kCapget},
    {SYS_chdir, "chdir", "", kChdir},
    {SYS_clone, "clone", "", kClone},
    {SYS_clone3, "clone3", "", kClone},
    {SYS_close_range, "close_range", "", kCloseRange},
    {SYS_connect, "connect", "", kConnect},
    {SYS_dup3, "dup3", "dup2", kDup},
    {SYS_execve, "execve", "", kExec},
    {SYS_execveat, "execveat", "execve", kExec},
    {SYS_faccessat2, "faccessat2", "", kFaccessat},
    {SYS_fchdir, "fchdir", "", kFchdir},
    {SYS_fchmod, "fchmod", "", kFchmod},
    {SYS_fchown, "fchown", "", kFchown},
    {SYS_fchownat, "fchownat", "", kChown},
    {SYS_fcntl, "fcntl", "", kFcntl},
    {SYS_flock, "flock", "", kFlock},
    {SYS_fsconfig, "fsconfig", "", kFsconfig},
    {SYS_fsmount, "fsmount", "", kFsmount},
    {SYS_fsopen, "fsopen", "", kFsopen},
    {SYS_fstat, "fstat", "", kStat},
    {SYS_fstatfs, "fstatfs", "", kStatfs},
    {SYS_getcwd, "getcwd", "", kGetcwd},
    {SYS_getdents64, "getdents64", "", kGetdents},
    {SYS_ioctl, "ioctl", "", kIoctl},
    {SYS_ioprio_set, "ioprio_set", "", kIoprio},
    {SYS_keyctl, "keyctl", "", kKeyctl},
    {SYS_listen, "listen", "", kListen},
    {SYS_lseek, "lseek", "", kLseek},
    {SYS_madvise, "madvise", "", kMadvise},
    {SYS_memfd_create, "memfd_create", "", kMemfd},
    {SYS_mkdirat, "mkdirat", "", kMkdir},
    {SYS_mknodat, "mknodat", "", kMknod},
    {SYS_mount_setattr, "mount_setattr", "", kMountSetattr},
    {SYS_move_mount, "move_mount", "", kMoveMount},
    {SYS_newfstatat, "newfstatat", "fstatat", kStat},
    {SYS_open_tree, "open_tree", "", kOpenTree},
    {SYS_openat, "openat", "", kOpen},
    {SYS_openat2, "openat2", "", kOpenat2},
    {SYS_personality, "personality", "", kPersonality},
    {SYS_pidfd_open, "pidfd_open", "", kPidfdOpen},
    {SYS_pidfd_send_signal, "pidfd_send_signal", "", kPidfdSignal},
    {SYS_pipe2, "pipe2", "", kPipe},
    {SYS_pivot_root, "pivot_root", "", kPivot},
    {SYS_poll, "poll", "", kPoll},
    {SYS_ppoll, "ppoll", "", kPoll},
    {SYS_prctl, "prctl", "", kPrctl},
    {SYS_pread64, "pread64", "read", kRead},
    {SYS_prlimit64, "prlimit64", "", kPrlimit},
    {SYS_read, "read", "", kRead},
    {SYS_readlinkat, "readlinkat", "", kReadlink},
    {SYS_recvmsg, "recvmsg", "", kRecvmsg},
    {SYS_renameat, "renameat", "", kRename},
    {SYS_rt_sigaction, "rt_sigaction", "", kSigaction},
    {SYS_rt_sigprocmask, "rt_sigprocmask", "", kSigaction},
    {SYS_sched_setattr, "sched_setattr", "", kSched},
    {SYS_seccomp, "seccomp", "", kSeccomp},
    {SYS_sendmsg, "sendmsg", "", kSendmsg},
    {SYS_setdomainname, "setdomainname", "", kSethostname},
    {SYS_setgroups, "setgroups", "", kSetgroups},
    {SYS_sethostname, "sethostname", "", kSethostname},
    {SYS_setns, "setns", "", kSetns},
    {SYS_setresgid, "setresgid", "", kSetids},
    {SYS_setresuid, "setresuid", "", kSetids},
    {SYS_setsid, "setsid", "", kSetsid},
    {SYS_signalfd4, "signalfd4", "signalfd", kSignalfd},
    {SYS_socket, "socket", "", kSocket},
    {SYS_socketpair, "socketpair", "", kSocket},
    {SYS_statfs, "statfs", "", kStatfs},
    {SYS_symlinkat, "symlinkat", "", kSymlink},
    {SYS_umount2, "umount2", "", kUmount},
    {SYS_unlinkat, "unlinkat", "", kUnlink},
    {SYS_unshare, "unshare", "", kUnshare},
    {SYS_wait4, "wait4", "", kWait},
    {SYS_waitid, "waitid", "", kWait},
    {SYS_write, "write", "", kWrite},
};

}  // namespace

const CallErrors* errors_of(long number) {
  const auto* found = std::ranges::find(kCalls, number, &CallErrors::number);
  return found == std::end(kCalls) ? nullptr : found;
}

}  // namespace cloche::faults
