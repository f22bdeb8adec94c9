// What D-Bus, polkit and systemd say when they refuse, in words that help: their own "Permission denied" names neither
// who refused nor what was asked.
#include <fmt/format.h>

#include <algorithm>

#include "plan/words.h"
#include "runtime/systemd.h"

namespace cloche::runtime {
namespace {

constexpr std::string_view kDbus = "org.freedesktop.DBus.Error.", kSystemd = "org.freedesktop.systemd1.";
constexpr std::string_view kCgroupfs =
    "use the cgroupfs driver (leave --systemd-cgroup out; Podman: --cgroup-manager cgroupfs; containerd: "
    "SystemdCgroup "
    "= false)";

std::string no_manager(bool user, const BusRefusal& refusal) {
  if (user)
    return fmt::format(
        "no systemd manager of this user answers ({}: {}): log in by a session of its own (ssh, `machinectl "
        "shell`; su "
        "and sudo make none), or have one kept by `loginctl enable-linger`, and set "
        "XDG_RUNTIME_DIR=/run/user/UID; or "
        "{}",
        refusal.call, refusal.message, kCgroupfs);
  return fmt::format("no systemd answers on this host ({}: {}): {}", refusal.call, refusal.message,
                     kCgroupfs);
}

std::string advice(const BusRefusal& refusal, bool user, const std::string& unit) {
  const std::string_view flag = user ? "--user " : "";
  const std::string_view name = refusal.name;
  const auto shown = plan::shown(unit);
  if (name == "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired")
    return "polkit would have to ask somebody: run this as root, or allow "
           "org.freedesktop.systemd1.manage-units to the "
           "caller by a rule of polkit (polkit(8))";
  if (name == "org.freedesktop.DBus.Error.AccessDenied")
    return fmt::format("the bus's policy, polkit or an LSM does not let the caller: {}",
                       user ? "see `journalctl --user -u dbus` and the journal of the system"
                            : "run this as root, or allow org.freedesktop.systemd1.manage-units to the "
                              "caller by a rule of polkit "
                              "(polkit(8))");
  if (name == "EACCES" || name == "EPERM")
    return "the socket of the bus is not open to the caller, or the bus does not take the caller's uid: the "
           "bus has to "
           "belong to the user that calls, or to root";
  if (name == "org.freedesktop.systemd1.UnitExists")
    return fmt::format(
        "a unit of this name is there: see `systemctl {0}status {1}`, stop it by `systemctl {0}stop {1}`, or "
        "use "
        "another id or linux.cgroupsPath",
        flag, shown);
  if (name == "timeout")
    return fmt::format(
        "systemd is busy, or hangs: see `systemctl {0}list-jobs` and `systemctl {0}status`; the scope was "
        "asked to stop",
        flag);
  if (name == "job")
    return fmt::format("see `systemctl {0}status {1}` and `journalctl {0}-u {1}`", flag, shown);
  if (name == "org.freedesktop.DBus.Error.PropertyReadOnly" ||
      name == "org.freedesktop.DBus.Error.UnknownProperty")
    return "this systemd does not know the property of a scope (systemd.resource-control(5))";
  if (name == "org.freedesktop.DBus.Error.LimitsExceeded")
    return "the bus has too many connections or messages of this user";
  return fmt::format("see `journalctl {}-b`", flag);
}

// By whose error it is.
std::string_view who(const BusRefusal& refusal, bool user) {
  if (refusal.name == "job" || refusal.name == "timeout" || refusal.name.starts_with(kSystemd))
    return user ? "the user's systemd" : "systemd";
  if (refusal.name.starts_with(kDbus)) return user ? "systemd or the user bus" : "systemd or the system bus";
  return "the connection to systemd";
}

}  // namespace

bool is_unreachable(const BusRefusal& refusal) {
  constexpr std::string_view names[] = {"ENOENT",
                                        "ECONNREFUSED",
                                        "ENOMEDIUM",
                                        "ECONNRESET",
                                        "ENOTCONN",
                                        "org.freedesktop.DBus.Error.ServiceUnknown",
                                        "org.freedesktop.DBus.Error.NameHasNoOwner",
                                        "org.freedesktop.DBus.Error.Disconnected"};
  return std::ranges::find(names, std::string_view(refusal.name)) != std::end(names) ||
         refusal.name.starts_with("org.freedesktop.DBus.Error.Spawn.");
}

std::string systemd_words(const BusRefusal& refusal, bool user, const std::string& unit) {
  if (is_unreachable(refusal)) return no_manager(user, refusal);
  const std::string said =
      refusal.name == "job" ? fmt::format("the job of {} ended as \"{}\"", unit, refusal.message)
      : refusal.name == "timeout"
          ? fmt::format("{} did not end in time", refusal.call == "job" ? "the job" : refusal.call)
          : fmt::format("{} refused {}{}: {} ({})", who(refusal, user), refusal.call,
                        unit.empty() ? "" : " for " + unit, refusal.message, refusal.name);
  return fmt::format("{}; {}", said, advice(refusal, user, unit));
}

}  // namespace cloche::runtime
