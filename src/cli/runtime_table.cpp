#include <array>

#include "cli/runtime_commands.h"

namespace cloche::cli {
namespace {

constexpr Flag kBundle{"bundle", 'b', "DIR",
                       "the directory with config.json (default: the working directory)"};
constexpr Flag kConfig{"config", 'f', "FILE", "the configuration, instead of the bundle's config.json"};
constexpr Flag kPattern{"regex", 'r', {}, "ID is an extended regular expression: every container it fits"};
constexpr Flag kConsole{"console-socket", 0, "PATH", "socket that gets the terminal's master"};
constexpr Flag kPidfd{"pidfd-socket", 0, "PATH", "socket that gets a pidfd of the process"};
constexpr Flag kPidFile{"pid-file", 0, "FILE", "where the process's pid is written"};
constexpr Flag kNoPivot{"no-pivot", 0, {}, "accepted; the root is always switched by pivot_root(2)"};
constexpr Flag kNoKeyring{"no-new-keyring", 0, {}, "keeps the caller's session keyring"};
constexpr Flag kPreserve{"preserve-fds", 0, "N", "the command keeps N descriptors from 3 on"};
constexpr Flag kDetach{"detach", 'd', {}, "returns when the command runs"};
constexpr Flag kNoReaper{"no-subreaper", 0, {}, "accepted"};

constexpr Flag kCreate[] = {kBundle,  kConfig,    kConsole,  kPidfd,   kPidFile,
                            kNoPivot, kNoKeyring, kPreserve, kNoReaper};
constexpr Flag kRun[] = {kBundle,
                         kConfig,
                         kConsole,
                         kPidfd,
                         kPidFile,
                         kNoPivot,
                         kNoKeyring,
                         kPreserve,
                         kDetach,
                         kNoReaper,
                         {"keep", 0, {}, "leaves the container's state after its end"}};
constexpr Flag kKill[] = {{"all", 'a', {}, "to every process of the container"}, kPattern};
constexpr Flag kDelete[] = {{"force", 'f', {}, "ends a running container; a missing one is no error"},
                            kPattern};
constexpr Flag kExec[] = {
    kConsole,
    kPidfd,
    kPidFile,
    kDetach,
    kPreserve,
    kNoReaper,
    {"process", 'p', "FILE", "the process as a JSON document"},
    {"cwd", 0, "DIR", "working directory in the container"},
    {"env", 'e', "NAME=VALUE", "one more variable", true},
    {"tty", 't', {}, "gives the process a terminal"},
    {"user", 'u', "UID[:GID]", "who it runs as"},
    {"additional-gids", 'g', "GID", "one more group", true},
    {"cap", 'c', "NAME", "one more capability", true},
    {"no-new-privs", 0, {}, "it cannot gain privileges"},
    {"apparmor", 0, "PROFILE", "its AppArmor profile"},
    {"process-label", 0, "LABEL", "its SELinux label"},
    {"cgroup", 0, "PATH", "a cgroup below the container's"},
    {"ignore-paused", 0, {}, "also in a paused container"},
};
constexpr Flag kList[] = {{"format", 'f', "FORMAT", "table (default) or json"},
                          {"quiet", 'q', {}, "only the ids"}};
constexpr Flag kPs[] = {{"format", 'f', "FORMAT", "table (default) or json"}};
constexpr Flag kSpec[] = {
    {"bundle", 'b', "DIR", "where config.json is written (default: the working directory)"},
    {"file", 'f', "FILE", "another file than config.json, below that directory if it is relative"},
    {"rootless", 0, {}, "for a caller without root's rights"}};

constexpr Flag kExplain[] = {
    {"bundle", 'b', "DIR", "explains what create would do with this bundle"},
    {"config", 0, "FILE", "the configuration, instead of the bundle's config.json"},
    {"image-path", 0, "DIR", "with --bundle: what restore would do with these images"},
    {"format", 'f', "FORMAT", "text (default), json or script"}};
constexpr Flag kUpdate[] = {
    {"resources", 'r', "FILE", "linux.resources as JSON; - is standard input"},
    {"memory", 0, "SIZE", "memory: 256M, -1 is unlimited"},
    {"memory-reservation", 0, "SIZE", "memory that is left to it while others have some"},
    {"memory-swap", 0, "SIZE", "memory and swap together"},
    {"kernel-memory", 0, "SIZE", "cgroup v1 only: refused without --memory, else left out"},
    {"kernel-memory-tcp", 0, "SIZE", "cgroup v1 only: refused"},
    {"cpu-period", 0, "US", "the period that a quota is for"},
    {"cpu-quota", 0, "US", "CPU time in a period, -1 is unlimited"},
    {"cpu-burst", 0, "US", "CPU time that may be saved up for one period"},
    {"cpu-share", 0, "N", "share of CPU time, 2 to 262144 (1024 is usual)"},
    {"cpu-rt-period", 0, "US", "cgroup v1 only: refused"},
    {"cpu-rt-runtime", 0, "US", "cgroup v1 only: refused"},
    {"cpu-idle", 0, "0|1", "1: runs only when nothing else wants to"},
    {"cpuset-cpus", 0, "LIST", "CPUs: 0-3,7"},
    {"cpuset-mems", 0, "LIST", "NUMA nodes"},
    {"pids-limit", 0, "N", "processes and threads, -1 is unlimited"},
    {"blkio-weight", 0, "N", "share of disk time, 10 to 1000"},
    {"l3-cache-schema", 0, "TEXT", "Intel RDT: refused"},
    {"mem-bw-schema", 0, "TEXT", "Intel RDT: refused"},
};

constexpr Flag kEvents[] = {
    {"stats", 0, {}, "prints once what the container has used"},
    {"interval", 0, "TIME", "time between two statistics: 5s (default), 500ms"},
};

constexpr Flag kImages{"image-path", 0, "DIR", "the directory of the images (default: checkpoint)"};
constexpr Flag kWork{"work-path", 0, "DIR", "the directory of criu's log (default: that of the images)"};
constexpr Flag kTcp{"tcp-established", 0, {}, "with its open TCP connections"};
constexpr Flag kUnix{"ext-unix-sk", 0, {}, "with Unix sockets whose other end is outside"};
constexpr Flag kShellJob{"shell-job", 0, {}, "with a session or terminal from outside"};
constexpr Flag kLocks{"file-locks", 0, {}, "with its locks on files"};
constexpr Flag kLazy{"lazy-pages", 0, {}, "memory is fetched when it is used (userfaultfd)"};
constexpr Flag kCgroups{"manage-cgroups-mode", 0, "MODE", "soft (default), full, strict or ignore"};
constexpr Flag kEmptyNs{"empty-ns", 0, "TYPE", "network: the namespace is made anew, without what was in it",
                        true};
constexpr Flag kDedup{"auto-dedup", 0, {}, "what is in a later image goes from the earlier one"};

constexpr Flag kCheckpoint[] = {
    kImages,
    kWork,
    {"parent-path", 0, "DIR", "the images before, relative to those of now"},
    {"leave-running", 0, {}, "the container goes on"},
    {"pre-dump", 0, {}, "only memory, for a later checkpoint; the container goes on"},
    kTcp,
    {"tcp-skip-in-flight", 0, {}, "without TCP connections that are not established yet"},
    kUnix,
    kShellJob,
    {"link-remap", 0, {}, "gives names to deleted files that are still open"},
    kLazy,
    {"status-fd", 0, "N", "gets a zero byte when pages can be asked for"},
    {"page-server", 0, "ADDRESS:PORT", "where memory goes, or is handed out with --lazy-pages"},
    kLocks,
    kCgroups,
    kEmptyNs,
    kDedup,
};
constexpr Flag kRestore[] = {
    kBundle,
    kImages,
    kWork,
    kDetach,
    kPidFile,
    kConsole,
    kNoReaper,
    kNoPivot,
    kTcp,
    kUnix,
    kShellJob,
    kLazy,
    kLocks,
    kCgroups,
    kEmptyNs,
    kDedup,
    {"lsm-profile", 0, "TYPE:NAME", "another AppArmor or SELinux profile"},
    {"lsm-mount-context", 0, "CONTEXT", "another SELinux context of its mounts"},
};

constexpr size_t kAny = ~size_t{0};
constexpr RuntimeCommand kCommands[] = {
    {"create", "ID", "makes a container that waits for start", kCreate, 1, 1, false, perform_create},
    {"start", "ID", "runs the command of a created container", {}, 1, 1, false, perform_start},
    {"run", "ID", "makes a container, runs its command and removes it", kRun, 1, 1, false, perform_run},
    {"exec", "ID COMMAND [ARGUMENT...]", "runs one more command in a container", kExec, 1, kAny, true,
     perform_exec},
    {"kill", "ID [SIGNAL]", "sends a signal to the container's first process (default: TERM)", kKill, 1, 2,
     false, perform_kill},
    {"update", "ID", "changes a container's limits", kUpdate, 1, 1, false, perform_update},
    {"events", "ID", "tells what happens in a container as JSON lines, until it ends", kEvents, 1, 1, false,
     perform_events},
    {"delete", "ID", "removes what is left of a container", kDelete, 1, 1, false, perform_delete},
    {"state", "ID", "prints a container's state as JSON", {}, 1, 1, false, perform_state},
    {"list", "", "lists the containers", kList, 0, 0, false, perform_list},
    {"ps", "ID [OPTION-OF-PS...]", "lists a container's processes", kPs, 1, kAny, true, perform_ps},
    {"pause", "ID", "freezes a container", {}, 1, 1, false, perform_pause},
    {"resume", "ID", "thaws a container", {}, 1, 1, false, perform_resume},
    {"checkpoint", "ID", "writes a container's processes into files (criu), and removes it", kCheckpoint, 1,
     1, false, perform_checkpoint},
    {"restore", "ID", "makes a container of the processes of a checkpoint", kRestore, 1, 1, false,
     perform_restore},
    {"explain", "ID", "prints the plan of a container, or why one could not be made", kExplain, 1, 1, false,
     perform_explain},
    {"spec", "", "writes a config.json to start from", kSpec, 0, 0, false, perform_spec},
    {"features", "", "prints what this runtime can do as JSON", {}, 0, 0, false, perform_features},
};

}  // namespace

std::span<const RuntimeCommand> runtime_commands() { return kCommands; }

}  // namespace cloche::cli
