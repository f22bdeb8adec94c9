#include <array>

#include "spec/checks.h"

namespace cloche::spec {
namespace {

// linux/capability.h, 0 to 40.
constexpr std::array<std::string_view, 41> kCapabilities{"CAP_CHOWN",
                                                         "CAP_DAC_OVERRIDE",
                                                         "CAP_DAC_READ_SEARCH",
                                                         "CAP_FOWNER",
                                                         "CAP_FSETID",
                                                         "CAP_KILL",
                                                         "CAP_SETGID",
                                                         "CAP_SETUID",
                                                         "CAP_SETPCAP",
                                                         "CAP_LINUX_IMMUTABLE",
                                                         "CAP_NET_BIND_SERVICE",
                                                         "CAP_NET_BROADCAST",
                                                         "CAP_NET_ADMIN",
                                                         "CAP_NET_RAW",
                                                         "CAP_IPC_LOCK",
                                                         "CAP_IPC_OWNER",
                                                         "CAP_SYS_MODULE",
                                                         "CAP_SYS_RAWIO",
                                                         "CAP_SYS_CHROOT",
                                                         "CAP_SYS_PTRACE",
                                                         "CAP_SYS_PACCT",
                                                         "CAP_SYS_ADMIN",
                                                         "CAP_SYS_BOOT",
                                                         "CAP_SYS_NICE",
                                                         "CAP_SYS_RESOURCE",
                                                         "CAP_SYS_TIME",
                                                         "CAP_SYS_TTY_CONFIG",
                                                         "CAP_MKNOD",
                                                         "CAP_LEASE",
                                                         "CAP_AUDIT_WRITE",
                                                         "CAP_AUDIT_CONTROL",
                                                         "CAP_SETFCAP",
                                                         "CAP_MAC_OVERRIDE",
                                                         "CAP_MAC_ADMIN",
                                                         "CAP_SYSLOG",
                                                         "CAP_WAKE_ALARM",
                                                         "CAP_BLOCK_SUSPEND",
                                                         "CAP_AUDIT_READ",
                                                         "CAP_PERFMON",
                                                         "CAP_BPF",
                                                         "CAP_CHECKPOINT_RESTORE"};

// getrlimit(2).
constexpr std::array<std::string_view, 16> kRlimits{
    "RLIMIT_AS",      "RLIMIT_CORE",     "RLIMIT_CPU",        "RLIMIT_DATA",   "RLIMIT_FSIZE", "RLIMIT_LOCKS",
    "RLIMIT_MEMLOCK", "RLIMIT_MSGQUEUE", "RLIMIT_NICE",       "RLIMIT_NOFILE", "RLIMIT_NPROC", "RLIMIT_RSS",
    "RLIMIT_RTPRIO",  "RLIMIT_RTTIME",   "RLIMIT_SIGPENDING", "RLIMIT_STACK"};

void check_capabilities(const Process& process, const std::string& path, Warnings& warnings) {
  if (!process.capabilities) return;
  const Capabilities& sets = *process.capabilities;
  for (const auto& [name, set] : {std::pair{"bounding", &sets.bounding},
                                  {"effective", &sets.effective},
                                  {"inheritable", &sets.inheritable},
                                  {"permitted", &sets.permitted},
                                  {"ambient", &sets.ambient}})
    for (size_t i = 0; i < set->size(); ++i)
      if (!is_one_of((*set)[i], kCapabilities))
        warnings.push_back(
            {field(path, fmt::format("capabilities.{}[{}]", name, i)),
             fmt::format("\"{}\" is no capability that is known here; ignored", printable((*set)[i]))});
}

Check check_rlimits(const Process& process, const std::string& path) {
  for (size_t i = 0; i < process.rlimits.size(); ++i) {
    const Rlimit& limit = process.rlimits[i];
    const auto at = field(path, fmt::format("rlimits[{}]", i));
    if (!is_one_of(limit.type, kRlimits))
      return wrong(at + ".type", fmt::format("\"{}\" is no resource of getrlimit(2)", printable(limit.type)));
    if (limit.soft > limit.hard)
      return wrong(at + ".soft", fmt::format("the soft limit of {} ({}) is above the hard one ({})",
                                             limit.type, limit.soft, limit.hard));
    for (size_t j = 0; j < i; ++j)
      if (process.rlimits[j].type == limit.type) return wrong(at, fmt::format("{} is set twice", limit.type));
  }
  return {};
}

Check check_scheduling(const Process& process, const std::string& path) {
  if (process.oomScoreAdj && (*process.oomScoreAdj < -1000 || *process.oomScoreAdj > 1000))
    return wrong(field(path, "oomScoreAdj"), fmt::format("{} is not in -1000 to 1000", *process.oomScoreAdj));
  if (process.scheduler && (process.scheduler->nice < -20 || process.scheduler->nice > 19))
    return wrong(field(path, "scheduler.nice"),
                 fmt::format("{} is not in -20 to 19", process.scheduler->nice));
  if (process.ioPriority && (process.ioPriority->priority < 0 || process.ioPriority->priority > 7))
    return wrong(field(path, "ioPriority.priority"),
                 fmt::format("{} is not in 0 to 7", process.ioPriority->priority));
  return {};
}

}  // namespace

Check check_process(const Process& process, const std::string& path, Warnings& warnings) {
  if (process.args.empty()) return wrong(field(path, "args"), "a command is needed");
  if (process.args[0].empty()) return wrong(field(path, "args[0]"), "the command's name is empty");
  CLOCHE_TRY(must_be_absolute(field(path, "cwd"), process.cwd));
  for (size_t i = 0; i < process.env.size(); ++i)
    if (const size_t equals = process.env[i].find('='); equals == std::string::npos || equals == 0)
      return wrong(field(path, fmt::format("env[{}]", i)),
                   fmt::format("\"{}\" is not of the form NAME=value", printable(process.env[i])));
  if (process.user.umask.value_or(0) > 0777)
    return wrong(field(path, "user.umask"), fmt::format("{:#o} is more than 0777", *process.user.umask));
  CLOCHE_TRY(check_rlimits(process, path));
  CLOCHE_TRY(check_scheduling(process, path));
  if (process.execCPUAffinity)
    CLOCHE_TRY(check_affinity(*process.execCPUAffinity, field(path, "execCPUAffinity")));
  check_capabilities(process, path, warnings);
  if (!process.commandLine.empty())
    warnings.push_back({field(path, "commandLine"), "is for Windows; ignored"});
  if (!process.user.username.empty())
    warnings.push_back({field(path, "user.username"), "is for Windows; ignored"});
  return {};
}

}  // namespace cloche::spec
