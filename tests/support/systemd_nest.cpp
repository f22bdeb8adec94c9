#include "support/systemd_nest.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

#include "support/place.h"

namespace cloche::test {
namespace fs = std::filesystem;
namespace {

std::string slurp(const std::string& path) {
  std::ifstream file(path);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  while (text.ends_with('\n') || text.ends_with(' ')) text.pop_back();
  return text;
}

// A safety net: each wait ends at its event.
template <class Condition>
bool comes_true(Condition condition) {
  for (int tries = 0; tries < 1000; ++tries) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return false;
}

constexpr char kUserUnit[] = R"([Unit]
Description=the manager of one user
DefaultDependencies=no
[Service]
Type=notify
User=%i
Slice=user-%i.slice
Delegate=cpu memory pids
KillMode=mixed
Environment=XDG_RUNTIME_DIR=/run/user/%i SYSTEMD_UNIT_PATH=/run/user/%i/systemd/user.control:/run/user/%i/systemd/transient:{0}-of-users:{0} SYSTEMD_GENERATOR_PATH=/run/generators SYSTEMD_ENVIRONMENT_GENERATOR_PATH=/run/generators
ExecStart=/lib/systemd/systemd --user --unit=nest.target
)";

constexpr char kBusConfig[] = R"(<busconfig><auth>EXTERNAL</auth>
<listen>unix:path=/run/dbus/system_bus_socket</listen>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/>
{}</policy></busconfig>
)";
// systemd joins a bus whose socket and service are units of these names.
constexpr char kBusSocket[] = R"([Unit]
DefaultDependencies=no
[Socket]
ListenStream={}
)";
constexpr char kBusService[] = R"([Unit]
DefaultDependencies=no
Requires=dbus.socket
[Service]
Type=notify
ExecStart=/usr/bin/dbus-daemon --config-file={}/bus.conf --address=systemd: --nofork --nopidfile --systemd-activation
)";

}  // namespace

SystemdNest::SystemdNest(std::string directory) : directory_(std::move(directory)) {
  const std::string units = directory_ + "/units";
  fs::create_directories(units);
  std::ofstream(units + "/nest.target") << "[Unit]\nDescription=what the nest starts\n";
  std::ofstream(units + "/user@.service") << fmt::format(kUserUnit, units);
  // Also where this program is killed, nothing stays.
  process_ = std::make_unique<Running>(
      Command{.argv = {"setpriv", "--pdeathsig", "KILL", "unshare", "-m", "-p", "-f", "-u", "-i",
                       "--kill-child", source_directory() / "tests/support/systemd-nest", directory_, units},
              .limit = std::chrono::seconds(500)});
  const pid_t outer = process_->pid();
  const bool up = comes_true([&] {
    pid_ = static_cast<pid_t>(
        std::strtol(slurp(fmt::format("/proc/{0}/task/{0}/children", outer)).c_str(), nullptr, 10));
    cgroup_ = slurp(directory_ + "/cgroup");
    return pid_ > 0 && slurp(fmt::format("/proc/{}/comm", pid_)) == "systemd" &&
           fs::exists(cgroup_ + "/init.scope") && run({"systemctl", "is-system-running"}).out == "running\n";
  });
  if (!up) problem_ = "systemd does not come up: " + slurp(directory_ + "/console");
}

SystemdNest::~SystemdNest() {
  process_->signal(SIGKILL);
  (void)process_->finish();
  if (cgroup_.empty()) return;
  // Deepest first; what was killed leaves a moment later.
  comes_true([&] { return slurp(cgroup_ + "/cgroup.events").starts_with("populated 0"); });
  (void)test::run({.argv = {"find", cgroup_, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";"}});
}

std::vector<std::string> SystemdNest::inside(const std::vector<std::string>& argv,
                                             const std::vector<std::string>& environment) const {
  return in_cgroup("/init.scope", argv, environment);
}

std::vector<std::string> SystemdNest::in_cgroup(const std::string& cgroup,
                                                const std::vector<std::string>& argv,
                                                const std::vector<std::string>& environment) const {
  // First into the cgroup, then into its namespace: on a tree with nsdelegate no process passes the root of a cgroup
  // namespace from inside, so that systemd could not move one that is still outside (cgroups(7)).
  std::vector<std::string> all{"sh",
                               "-c",
                               "echo 0 >\"$0\" && exec \"$@\"",
                               cgroup_ + cgroup + "/cgroup.procs",
                               "nsenter",
                               "-t",
                               fmt::format("{}", pid_),
                               "-m",
                               "-p",
                               "-u",
                               "-i",
                               "-C",
                               "env",
                               "-i"};
  all.push_back(fmt::format("PATH={}", std::getenv("PATH")));
  all.push_back(std::string(kMarkerVariable) + "=" + marker());
  all.insert(all.end(), environment.begin(), environment.end());
  all.insert(all.end(), argv.begin(), argv.end());
  return all;
}

std::string SystemdNest::property(const std::string& unit, const std::string& name) const {
  std::string text = run({"systemctl", "show", "-P", name, unit}).out;
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

void SystemdNest::write_bus(const std::string& units, const std::string& socket,
                            const std::string& rules) const {
  fs::create_directories(units);
  std::ofstream(units + "/bus.conf") << fmt::format(kBusConfig, rules);
  std::ofstream(units + "/dbus.socket") << fmt::format(kBusSocket, socket);
  std::ofstream(units + "/dbus.service") << fmt::format(kBusService, units);
}

std::string SystemdNest::joined_bus(const std::string& manager,
                                    const std::function<Outcome(const std::string&)>& in_place) const {
  const Outcome started =
      in_place(fmt::format("systemctl {0} daemon-reload && systemctl {0} start dbus.service", manager));
  const std::string bus = manager == "--user" ? "--session" : "--system";
  const bool joined = started.ok() && comes_true([&] {
                        return in_place("dbus-send " + bus +
                                        " --print-reply --dest=org.freedesktop.DBus / "
                                        "org.freedesktop.DBus.NameHasOwner string:org.freedesktop.systemd1")
                            .out.contains("boolean true");
                      });
  return joined ? "" : started.describe() + slurp(directory_ + "/console");
}

std::string SystemdNest::start_bus(const std::string& rules) const {
  write_bus(directory_ + "/units", "/run/dbus/system_bus_socket", rules);
  return joined_bus("--system", [&](const std::string& script) { return shell(script); });
}

std::string SystemdNest::start_user_bus(uid_t uid, gid_t gid) const {
  write_bus(directory_ + "/units-of-users", "%t/bus", "");
  return joined_bus("--user", [&](const std::string& script) {
    return user_shell(uid, gid, "export DBUS_SESSION_BUS_ADDRESS=unix:path=$XDG_RUNTIME_DIR/bus; " + script);
  });
}

std::string SystemdNest::open_sysctls() const {
  const Outcome opened = run({"mount", "-o", "remount,bind,rw", "/proc/sys"});
  return opened.ok() ? "" : opened.describe();
}

std::string SystemdNest::start_user_manager(uid_t uid, gid_t gid) const {
  const Outcome started =
      shell(fmt::format("mkdir -p /run/user/{0} && chmod 700 /run/user/{0} && chown {0}:{1} /run/user/{0} && "
                        "systemctl start user@{0}.service",
                        uid, gid));
  return started.ok() ? "" : started.describe() + slurp(directory_ + "/console");
}

Outcome SystemdNest::user_shell(uid_t uid, gid_t gid, const std::string& script) const {
  return test::run({.argv = in_cgroup(
                        fmt::format("/user.slice/user-{0}.slice/user@{0}.service/init.scope", uid),
                        {"setpriv", fmt::format("--reuid={}", uid), fmt::format("--regid={}", gid),
                         "--clear-groups", "systemd-run", "--user", "--scope", "--quiet", "sh", "-c", script},
                        {fmt::format("XDG_RUNTIME_DIR=/run/user/{}", uid)})});
}

}  // namespace cloche::test
