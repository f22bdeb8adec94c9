// What this runtime can do, for callers that ask first (runtime-spec, features.md and features-linux.md).
#include <fmt/format.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "cli/runtime_commands.h"
#include "kernel/capabilities.h"
#include "runtime/facts.h"
#include "spec/numbers.h"
#include "spec/validate.h"
#include "version.h"

#ifndef CLOCHE_COMMIT
#define CLOCHE_COMMIT "unknown"
#endif

namespace cloche::cli {
namespace {

std::string quoted_list(std::span<const std::string_view> words) {
  std::string out;
  for (const std::string_view word : words) out += fmt::format("{}\"{}\"", out.empty() ? "" : ", ", word);
  return "[" + out + "]";
}

constexpr std::string_view kHooks[] = {"prestart",       "createRuntime", "createContainer",
                                       "startContainer", "poststart",     "poststop"};
// As parsed by plan/mount_options.cpp.
constexpr std::string_view kMountOptions[] = {"async",       "atime",          "bind",        "defaults",
                                              "dev",         "diratime",       "dirsync",     "exec",
                                              "idmap",       "iversion",       "lazytime",    "loud",
                                              "mand",        "noatime",        "nodev",       "nodiratime",
                                              "noexec",      "noiversion",     "nolazytime",  "nomand",
                                              "norelatime",  "nostrictatime",  "nosuid",      "nosymfollow",
                                              "private",     "ratime",         "rbind",       "rdev",
                                              "rdiratime",   "relatime",       "rexec",       "ridmap",
                                              "rnoatime",    "rnodev",         "rnodiratime", "rnoexec",
                                              "rnorelatime", "rnostrictatime", "rnosuid",     "rnosymfollow",
                                              "ro",          "rprivate",       "rrelatime",   "rro",
                                              "rrw",         "rshared",        "rslave",      "rstrictatime",
                                              "rsuid",       "rsymfollow",     "runbindable", "rw",
                                              "shared",      "silent",         "slave",       "strictatime",
                                              "suid",        "symfollow",      "sync",        "tmpcopyup",
                                              "unbindable"};
constexpr std::string_view kNamespaces[] = {"cgroup", "ipc",  "mount", "network",
                                            "pid",    "time", "user",  "uts"};
constexpr std::string_view kActions[] = {"SCMP_ACT_ALLOW",        "SCMP_ACT_ERRNO",       "SCMP_ACT_KILL",
                                         "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_LOG",
                                         "SCMP_ACT_NOTIFY",       "SCMP_ACT_TRACE",       "SCMP_ACT_TRAP"};
constexpr std::string_view kOperators[] = {"SCMP_CMP_EQ", "SCMP_CMP_GE",        "SCMP_CMP_GT", "SCMP_CMP_LE",
                                           "SCMP_CMP_LT", "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE"};
constexpr std::string_view kArchitectures[] = {"SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM",   "SCMP_ARCH_PPC64LE",
                                               "SCMP_ARCH_RISCV64", "SCMP_ARCH_S390X", "SCMP_ARCH_X32",
                                               "SCMP_ARCH_X86",     "SCMP_ARCH_X86_64"};
constexpr std::string_view kSeccompFlags[] = {"SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
                                              "SECCOMP_FILTER_FLAG_TSYNC",
                                              "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"};

// All but the last, which is Linux 5.19's.
std::span<const std::string_view> supported_flags() {
  utsname names{};
  const bool has_last =
      uname(&names) == 0 && runtime::parse_release(names.release) >= plan::KernelVersion{5, 19};
  return std::span(kSeccompFlags).first(std::size(kSeccompFlags) - (has_last ? 0 : 1));
}

std::string capability_list() {
  std::string out;
  for (int number = 0; number <= kernel::kLastNamedCapability; ++number)
    out += fmt::format("{}\"{}\"", number == 0 ? "" : ", ",
                       kernel::capability_name(static_cast<kernel::Capability>(number)));
  return "[" + out + "]";
}

}  // namespace

std::string version_text() {
  return fmt::format("cloche-runtime version {}\ncommit: {}\nspec: {}.{}.0\n", kVersion, CLOCHE_COMMIT,
                     spec::kMajorVersion, spec::kNewestMinorVersion);
}

int perform_features(const Invocation&, RuntimeLog&) {
  std::string out = "{\n";
  const auto line = [&](std::string_view text) { (out += text) += '\n'; };
  line(fmt::format("  \"ociVersionMin\": \"{0}.0.0\",\n  \"ociVersionMax\": \"{0}.{1}.0\",",
                   spec::kMajorVersion, spec::kNewestMinorVersion));
  line(fmt::format("  \"hooks\": {},", quoted_list(kHooks)));
  line(fmt::format("  \"mountOptions\": {},", quoted_list(kMountOptions)));
  line("  \"linux\": {");
  line(fmt::format("    \"namespaces\": {},", quoted_list(kNamespaces)));
  line(fmt::format("    \"capabilities\": {},", capability_list()));
  line(
      "    \"cgroup\": {\"v1\": false, \"v2\": true, \"systemd\": true, \"systemdUser\": true, \"rdma\": "
      "true},");
  line(
      fmt::format("    \"seccomp\": {{\"enabled\": true, \"actions\": {}, \"operators\": {}, \"archs\": {}, "
                  "\"knownFlags\": {}, \"supportedFlags\": {}}},",
                  quoted_list(kActions), quoted_list(kOperators), quoted_list(kArchitectures),
                  quoted_list(kSeccompFlags), quoted_list(supported_flags())));
  line("    \"apparmor\": {\"enabled\": true},\n    \"selinux\": {\"enabled\": true},");
  line(fmt::format("    \"memoryPolicy\": {{\"modes\": {}, \"flags\": {}}},",
                   quoted_list(spec::kMemoryPolicyModes), quoted_list(spec::kMemoryPolicyFlags)));
  line("    \"intelRdt\": {\"enabled\": true, \"schemata\": true, \"monitoring\": true},");
  line("    \"mountExtensions\": {\"idmap\": {\"enabled\": true}},");
  line("    \"netDevices\": {\"enabled\": true}\n  },");
  // Keys, or their beginnings, that change what is done: properties of a systemd scope (docs/systemd.md).
  line("  \"potentiallyUnsafeConfigAnnotations\": [\"org.systemd.property.\"],");
  // The second is what callers of runc look for: whether there is `checkpoint`.
  line(
      fmt::format("  \"annotations\": {{\"io.github.cloche.version\": \"{}\", "
                  "\"org.opencontainers.runc.checkpoint.enabled\": \"true\"}}",
                  kVersion));
  line("}");
  write_text(STDOUT_FILENO, out);
  return 0;
}

}  // namespace cloche::cli
