// Every action in one line of plain words with its real values.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <type_traits>

#include "plan/catalog.h"
#include "plan/planner.h"
#include "plan/words.h"

namespace cloche::plan {
namespace {

// CAP_CHECKPOINT_RESTORE (40) has been the last one since Linux 5.9: capabilities(7).
constexpr size_t kCapabilities = 41;

std::string in_parentheses(const std::string& text) { return text.empty() ? "" : fmt::format(" ({})", text); }

Strings joined(std::initializer_list<const Strings*> parts) {
  Strings all;
  for (const Strings* part : parts) all.insert(all.end(), part->begin(), part->end());
  return all;
}

// ---- cgroup ----------------------------------------------------------------------------------------------

std::string say(const CreateCgroup& a) { return fmt::format("make the cgroup {}", shown(a.path)); }

std::string say(const LeaveCgroup& a) {
  return fmt::format("move the caller itself into {}, since a cgroup with processes hands no controller down",
                     shown(a.leaf));
}

std::string say(const EnableControllers& a) {
  return fmt::format("make the {} controller{} available below {}{}", listed(a.controllers),
                     a.controllers.size() == 1 ? "" : "s", shown(a.from),
                     a.only_count ? ", where they may be" : "");
}

std::string say(const WriteCgroup& a) {
  const std::string words = describe_cgroup_value(a.file, a.value);
  const std::string bfq = a.bfq ? fmt::format(", and {} to {}", shown(*a.bfq), kBfqWeight) : "";
  return words.empty() ? fmt::format("write {} to {}{}", shown(a.value), shown(a.file), bfq)
                       : fmt::format("{} ({}{})", words, printable(a.file), bfq);
}

std::string say(const MakeResctrlGroup& a) {
  if (a.how == "existing") return fmt::format("use the resctrl group {}, which must be there", shown(a.path));
  return fmt::format("make the resctrl group {}{}", shown(a.path),
                     a.how == "shared" ? ", or use the one there" : "");
}
std::string say(const WriteSchemata& a) {
  Strings lines;
  for (const std::string& line : a.lines) lines.push_back(shown(line));
  return fmt::format("share the processor's caches and memory bandwidth by {}", listed(lines));
}
std::string say(const JoinResctrlGroup& a) {
  return fmt::format("put the container's process into the resctrl group {}", shown(a.group));
}

std::string say(const LimitDevices& a) { return describe_device_rules(a.rules); }

std::string said_properties(const std::vector<UnitProperty>& properties) {
  std::string text;
  for (const UnitProperty& property : properties)
    text += fmt::format("{}{}={}", text.empty() ? "" : ", ", printable(property.name), shown(property.value));
  return text;
}

std::string say(const StartScope& a) {
  const std::string text =
      fmt::format("have {} start {} in {}, with {} in it",
                  a.user ? "the caller's systemd manager" : "systemd", shown(a.unit), shown(a.slice),
                  a.placeholder ? "a placeholder, which only waits," : "the container's first process");
  return text + in_parentheses(said_properties(a.properties));
}

std::string say(const EnterScope& a) {
  return fmt::format("move the container's first process into {}, and end the placeholder", shown(a.unit));
}

std::string say(const AttachToScope& a) {
  return fmt::format("have {} move the process into {}", a.user ? "the caller's systemd manager" : "systemd",
                     shown(a.unit));
}

std::string say(const SetScopeProperties& a) {
  return fmt::format("have {} change {}: {}", a.user ? "the caller's systemd manager" : "systemd",
                     shown(a.unit), said_properties(a.properties));
}

// ---- namespaces and ids ----------------------------------------------------------------------------------

std::string say(const CloneProcess& a) {
  std::string text = "start the container's first process";
  if (!a.namespaces.empty())
    text += fmt::format(" in new {} namespace{}", listed(a.namespaces), a.namespaces.size() == 1 ? "" : "s");
  if (!a.cgroup.empty()) text += fmt::format(", in the cgroup {}", shown(a.cgroup));
  if (a.from_joined) text += ", from a helper that has joined the others";
  return text;
}

std::string say(const GiveStreams& a) {
  return fmt::format("give the pipes and terminals of standard input and output to the host's uid {}", a.uid);
}

std::string say(const DenySetgroups&) {
  return "deny setgroups, which the kernel asks for before an unprivileged gid map";
}

std::string describe_ids(const std::vector<spec::IDMapping>& map) {
  std::string text;
  for (const spec::IDMapping& line : map) {
    if (!text.empty()) text += ", ";
    const auto range = [&](uint64_t first) {
      return line.size == 1 ? fmt::to_string(first) : fmt::format("{}-{}", first, first + line.size - 1);
    };
    text += line.size == 0
                ? "nothing"
                : fmt::format("{} inside is {} outside", range(line.containerID), range(line.hostID));
  }
  return text.empty() ? "nothing" : text;
}

std::string say(const WriteIdMap& a) {
  return fmt::format("map {}s: {}{}", printable(a.kind), describe_ids(a.map),
                     a.writer == "direct" || a.writer.empty() ? "" : ", by " + printable(a.writer));
}

std::string say(const JoinNamespace& a) {
  return fmt::format("join the {} namespace of {}", printable(a.type), shown(a.path));
}

std::string say(const UnshareNamespace& a) {
  return a.type == "cgroup" ? "enter a new cgroup namespace, with the container's cgroup as its root"
                            : fmt::format("enter a new {} namespace", printable(a.type));
}

std::string describe_offset(const spec::TimeOffset& offset) {
  const bool back = offset.secs < 0;
  // The nanoseconds count forwards from the seconds: {-1, 250000000} is 0.75 s back.
  const uint64_t seconds = back ? 0 - static_cast<uint64_t>(offset.secs) : static_cast<uint64_t>(offset.secs);
  if (offset.nanosecs == 0) return fmt::format("{}{} s", back ? "-" : "+", seconds);
  if (!back) return fmt::format("+{}.{:09} s", seconds, offset.nanosecs);
  return fmt::format("-{}.{:09} s", seconds - 1, 1000000000U - offset.nanosecs % 1000000000U);
}

std::string say(const EnterTimeNamespace& a) {
  return fmt::format("enter a new time namespace with the monotonic clock at {} and the boot clock at {}",
                     describe_offset(a.monotonic), describe_offset(a.boottime));
}

std::string say(const BecomeRoot& a) {
  return fmt::format("become uid 0 and gid 0 of the new user namespace{}",
                     a.clear_groups ? ", with no other group" : "");
}

std::string say(const SetHostname& a) { return fmt::format("set the host name to {}", shown(a.name)); }
std::string say(const SetDomainname& a) {
  return fmt::format("set the NIS domain name to {}", shown(a.name));
}
std::string say(const LoopbackUp&) { return "bring the loopback device lo up"; }
std::string say(const RestoreProcesses& a) {
  return fmt::format(
      "have criu bring the processes back from the checkpoint in {}, with {} as their {}root{}{}{}",
      shown(a.images), shown(a.root), a.readonly_root ? "read-only " : "",
      a.user_namespace ? ", in a user namespace" : "",
      a.no_new_privileges ? ", with no way to gain privileges" : "",
      a.pauses ? ", and wait when the namespaces are there" : "");
}
std::string say(const FinishRestore&) { return "have criu go on, and end"; }

std::string say(const MoveNetDevice& a) {
  return fmt::format(
      "move the network device {} into {} as {}, with its lasting addresses, and set it up", shown(a.device),
      a.network.empty() ? "the new network namespace" : "the namespace " + shown(a.network), shown(a.name));
}
std::string say(const WriteSysctl& a) {
  return fmt::format("set the sysctl {} to {}", shown(a.key), shown(a.value));
}

// ---- file system -----------------------------------------------------------------------------------------

std::string say(const SetPropagation& a) {
  return fmt::format("make every mount {}: {}", printable(a.propagation),
                     a.propagation == "slave" ? "the host's later mounts appear inside, never the other way"
                                              : "no mount passes between host and container");
}

std::string tree(bool recursive) { return recursive ? " and all mounted below it" : ""; }

std::string say(const OpenTree& a) {
  return fmt::format("open {}{} with the caller's rights, to be mounted later", shown(a.path),
                     tree(a.recursive));
}

std::string say(const IdmapTree& a) {
  const std::string maps =
      a.uids.empty() && a.gids.empty()
          ? "as the container's user namespace maps them"
          : fmt::format("uids: {}; gids: {}", describe_ids(a.uids), describe_ids(a.gids));
  return fmt::format("shift the file owners of the mount {}{}: {}", shown(a.slot), tree(a.recursive), maps);
}

std::string propagates(const std::string& propagation) {
  return propagation.empty() ? "" : fmt::format(", propagation {}", printable(propagation));
}

std::string say(const BindRoot& a) {
  return fmt::format("take {}{} as the container's root{}", shown(a.path), tree(a.recursive),
                     propagates(a.propagation));
}

std::string say(const TmpfsRoot& a) {
  return fmt::format("make an empty tmpfs the container's root{}", in_parentheses(comma_list(a.options)));
}

std::string say(const MountScratch& a) {
  return fmt::format("mount a tmpfs for the overlay's upper layer on {}, seen by the container only{}",
                     shown(a.path), in_parentheses(comma_list(a.options)));
}

std::string say(const MountOverlay& a) {
  const std::string lower = a.lowers.empty() && !a.lower_slot.empty() ? "the opened tree" : listed(a.lowers);
  const std::string target = a.target == "/" ? "as the root" : "on " + shown(a.target);
  const std::string upper = a.upper.empty() ? ", read-only" : ", with a fresh upper layer for every change";
  return fmt::format("mount an overlay of {} {}{}{}", lower, target, upper,
                     in_parentheses(comma_list(a.options)));
}

std::string labelled(const std::optional<std::string>& label) {
  return label ? fmt::format(", labelled {}", shown(*label)) : "";
}

std::string say(const MountFs& a) {
  const std::string source =
      a.source.empty() || a.source == a.type || a.source == "none" ? "" : " from " + shown(a.source);
  const std::string options = comma_list(joined({&a.attributes, &a.options}));
  const std::string fallback =
      a.fallback == "bind" ? ", or the host's own where the kernel refuses a new one" : "";
  const std::string article = a.type.starts_with("overlay") ? "a new overlay" : "a new " + printable(a.type);
  return fmt::format("mount {}{} on {}{}{}{}{}{}", article, source, shown(a.target), in_parentheses(options),
                     propagates(a.propagation), a.contents ? ", with a copy of what is there" : "",
                     labelled(a.label), fallback);
}

std::string say(const BindMount& a) {
  std::string words = comma_list(a.attributes);
  const auto add = [&](const std::string& more) {
    words += (words.empty() || more.empty() ? "" : "; ") + more;
  };
  if (!a.cleared.empty()) add("not " + comma_list(a.cleared));
  if (!a.recursive_attributes.empty()) add(comma_list(a.recursive_attributes) + " for all below");
  const bool same = a.source == a.target;
  return fmt::format("show the host's {}{} {}{}{}", shown(a.source), tree(a.recursive),
                     same ? "inside" : "on " + shown(a.target), in_parentheses(words),
                     propagates(a.propagation));
}

std::string say(const MakeDevice& a) {
  if (a.how == "bind")
    return fmt::format("show the host's device {} inside, its numbers checked ({} {}:{})", shown(a.path),
                       printable(a.type), a.major, a.minor);
  if (a.type == "p")
    return fmt::format("make the named pipe {} (mode {:04o}, {}:{})", shown(a.path), a.mode, a.uid, a.gid);
  return fmt::format("make the device {} ({} {}:{}, mode {:04o}, {}:{})", shown(a.path), printable(a.type),
                     a.major, a.minor, a.mode, a.uid, a.gid);
}

std::string say(const MakeSymlink& a) {
  return fmt::format("make the symlink {} to {}", shown(a.path), shown(a.target));
}
std::string say(const MakeDirectory& a) {
  return fmt::format("make the directory {} (mode {:04o})", shown(a.path), a.mode);
}
std::string say(const MaskPath& a) { return fmt::format("hide {}{}", shown(a.path), labelled(a.label)); }
std::string say(const ReadonlyPath& a) { return fmt::format("make {} read-only", shown(a.path)); }
std::string say(const PivotRoot&) { return "make the new root / and detach the host's files"; }
std::string say(const RootReadonly&) { return "make / read-only"; }
std::string say(const RootPropagation& a) { return fmt::format("make / {}", printable(a.propagation)); }

// ---- process ---------------------------------------------------------------------------------------------

std::string say(const ResetSignals&) { return "reset the signals: none blocked, none ignored"; }
std::string say(const NewSession&) { return "start a new session, without the caller's terminal"; }
std::string say(const NewKeyring& a) {
  return a.name.empty() ? "take a new, empty session keyring"
                        : fmt::format("take a new, empty session keyring named {}", shown(a.name));
}

std::string say(const OpenTerminal& a) {
  const std::string size =
      a.rows == 0 && a.columns == 0 ? "" : fmt::format(" of {} rows and {} columns", a.rows, a.columns);
  return fmt::format("open a terminal{} of the container's own as descriptors 0 to 2 and /dev/console", size);
}

struct LimitWords {
  std::string_view type, what;
  bool bytes = false;
};
// getrlimit(2)
constexpr LimitWords kLimits[] = {
    {"RLIMIT_AS", "address space", true},
    {"RLIMIT_CORE", "core files", true},
    {"RLIMIT_CPU", "CPU seconds"},
    {"RLIMIT_DATA", "data segment", true},
    {"RLIMIT_FSIZE", "file size", true},
    {"RLIMIT_LOCKS", "file locks"},
    {"RLIMIT_MEMLOCK", "locked memory", true},
    {"RLIMIT_MSGQUEUE", "POSIX message queues", true},
    {"RLIMIT_NICE", "nice ceiling"},
    {"RLIMIT_NOFILE", "open files"},
    {"RLIMIT_NPROC", "processes of this user"},
    {"RLIMIT_RSS", "resident set", true},
    {"RLIMIT_RTPRIO", "real-time priority"},
    {"RLIMIT_RTTIME", "real-time microseconds"},
    {"RLIMIT_SIGPENDING", "queued signals"},
    {"RLIMIT_STACK", "stack", true},
};

std::string say(const SetRlimit& a) {
  const auto* words = std::ranges::find(kLimits, std::string_view(a.type), &LimitWords::type);
  const bool known = words != std::end(kLimits);
  const auto value = [&](uint64_t n) {
    if (n == std::numeric_limits<uint64_t>::max()) return std::string("unlimited");
    return known && words->bytes ? bytes_in_words(n) : fmt::to_string(n);
  };
  const std::string what = known ? std::string(words->what) : "resource";
  const std::string hard = a.soft == a.hard ? "" : fmt::format(", at most {}", value(a.hard));
  return fmt::format("limit {} to {}{} ({})", what, value(a.soft), hard, printable(a.type));
}

std::string say(const SetOomScore& a) {
  return fmt::format("set the out-of-memory killer's adjustment to {} (-1000 never, 1000 first)",
                     a.adjustment);
}

std::string say(const SetPersonality& a) {
  return fmt::format("set the execution domain to {}{}", shown(a.domain),
                     in_parentheses(comma_list(a.flags)));
}

std::string say(const SetScheduler& a) {
  const spec::Scheduler& s = a.scheduler;
  std::string text = fmt::format("schedule as {}, nice {}, priority {}", shown(s.policy), s.nice, s.priority);
  if (s.period != 0)
    text += fmt::format(", {} of every {} ns, deadline {} ns", s.runtime, s.period, s.deadline);
  return text + in_parentheses(comma_list(s.flags));
}

std::string say(const SetIoPriority& a) {
  return fmt::format("set the disk priority to {}, class {}", a.priority, shown(a.io_class));
}
std::string say(const SetMemoryPolicy& a) {
  const std::string nodes = a.policy.nodes.empty() ? "" : fmt::format(", nodes {}", shown(a.policy.nodes));
  return fmt::format("take memory by the policy {}{}{}", shown(a.policy.mode), nodes,
                     in_parentheses(comma_list(a.policy.flags)));
}
std::string say(const SetAffinity& a) { return fmt::format("run on the processors {}", shown(a.cpus)); }
std::string say(const SetExecLabel& a) {
  return fmt::format("execute under the {} label {}",
                     a.module == "apparmor"  ? "AppArmor"
                     : a.module == "selinux" ? "SELinux"
                                             : printable(a.module),
                     shown(a.label));
}

std::string capability_words(const Strings& names) {
  Strings words;
  for (const std::string& name : names) words.push_back(capability_word(name));
  return listed(words);
}

std::string say(const LimitBoundingSet& a) {
  const size_t kept = std::min(a.keep.size(), kCapabilities);
  if (kept == 0) return fmt::format("drop all {} capabilities from the bounding set", kCapabilities);
  if (kept == kCapabilities)
    return fmt::format("keep all {} capabilities in the bounding set", kCapabilities);
  return fmt::format("drop {} of {} capabilities from the bounding set, keep {}", kCapabilities - kept,
                     kCapabilities, capability_words(a.keep));
}

std::string say(const SetUser& a) {
  std::string text = fmt::format("become uid {} and gid {}", a.uid, a.gid);
  if (!a.set_groups) {
    text += ", groups left as they are";
  } else if (a.groups.empty()) {
    text += ", no other group";
  } else {
    text += fmt::format(", group{} {}", a.groups.size() == 1 ? "" : "s", fmt::join(a.groups, ", "));
  }
  if (a.umask) text += fmt::format(", umask {:04o}", *a.umask);
  return text;
}

std::string say(const SetCapabilities& a) {
  const auto set = [](std::string_view name, const Strings& names) {
    return fmt::format("{} {}", name, names.empty() ? "none" : capability_words(names));
  };
  if (a.effective.empty() && a.permitted.empty() && a.inheritable.empty() && a.ambient.empty()) {
    return "give up every capability";
  }
  const std::string held = a.effective == a.permitted ? set("hold the capabilities", a.permitted)
                                                      : set("capabilities: effective", a.effective) + "; " +
                                                            set("permitted", a.permitted);
  if (a.inheritable.empty() && a.ambient.empty()) return held + "; pass none on by file or ambient sets";
  return held + "; " + set("inheritable", a.inheritable) + "; " + set("ambient", a.ambient);
}

std::string say(const DieWithCaller&) { return "have the kernel end the container when its caller ends"; }
std::string say(const NoNewPrivileges&) {
  return "gain no privilege by execve, whatever the file (no_new_privs)";
}

std::string say(const LoadSeccomp& a) {
  if (a.profile == "default" || !a.filter)
    return fmt::format("filter system calls by the {} profile", printable(a.profile));
  size_t names = 0;
  for (const spec::SeccompSyscall& rule : a.filter->syscalls) names += rule.names.size();
  return fmt::format("filter system calls by the config's profile: {} by default, {} for {}{}",
                     printable(a.filter->defaultAction), counted(a.filter->syscalls.size(), "rule"),
                     counted(names, "call"),
                     hands_calls_over(*a.filter) ? "; send its listener to the agent and let go of it" : "");
}

std::string say(const ConnectListener& a) {
  return fmt::format("{} the agent at {}, which will answer the calls that the filter hands over",
                     a.by_start ? "have `start` connect to" : "connect to", shown(a.path));
}
std::string say(const ChangeDirectory& a) { return fmt::format("change to the directory {}", shown(a.path)); }
std::string say(const CloseDescriptors& a) {
  return fmt::format("close every descriptor from {} on", 3 + uint64_t{a.preserve});
}

std::string say(const RunHooks& a) {
  Strings paths;
  for (const spec::Hook& hook : a.hooks) paths.push_back(hook.path);
  return fmt::format("run the {} hook{} {}", printable(a.stage), paths.size() == 1 ? "" : "s", listed(paths));
}

std::string say(const AwaitStart&) { return "wait for start"; }

std::string say(const FindCommand& a) {
  return a.command.find('/') != std::string::npos
             ? fmt::format("check that {} is there and can be executed", shown(a.command))
             : fmt::format("find {} along {}", shown(a.command), shown(a.search_path));
}

std::string say(const Execute& a) {
  std::string command;
  for (const std::string& word : a.args)
    command += fmt::format("{}{}", command.empty() ? "" : " ", shown(word));
  const std::string environment = fmt::format(" with {}", counted(a.env.size(), "environment variable"));
  if (a.init)
    return fmt::format("execute Cloche's init as process 1, which starts {}{}", command, environment);
  return fmt::format(
      "execute {}{}{}", command, environment,
      a.sealed ? ", by way of a sealed program, so that /proc/self/exe is not the runtime's file" : "");
}

}  // namespace

std::string describe(const Step& step) {
  constexpr size_t kLongest = 1000;  // bytes; a config may hold a megabyte in one word
  std::string text = std::visit([](const auto& action) { return say(action); }, step.action);
  if (text.size() <= kLongest) return text;
  const size_t all = text.size();
  text.resize(kLongest);
  while (!text.empty() && (static_cast<unsigned char>(text.back()) & 0xc0) == 0x80) text.pop_back();
  if (!text.empty() && static_cast<unsigned char>(text.back()) >= 0xc0) text.pop_back();
  return fmt::format("{}... ({} bytes in all)", text, all);
}

std::string describe(const Why& why) {
  switch (why.kind) {
    case Why::Kind::config:
      return "config.json: " + printable(why.from);
    case Why::Kind::flag:
      return printable(why.from);
    case Why::Kind::image:
      return "image: " + printable(why.from);
    case Why::Kind::standard:
      return why.from.empty() ? "default" : "default: " + printable(why.from);
  }
  return {};
}

}  // namespace cloche::plan
