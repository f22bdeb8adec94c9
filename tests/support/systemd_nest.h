// A systemd of the test's own, as process 1 of its own namespaces with cgroup v2 alone: tests/support/systemd-nest.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "support/command.h"

namespace cloche::test {

class SystemdNest {
 public:
  // `directory` is made, and is the one that both sides share.
  explicit SystemdNest(std::string directory);
  SystemdNest(const SystemdNest&) = delete;
  SystemdNest& operator=(const SystemdNest&) = delete;
  ~SystemdNest();

  // Why there is none; empty when it runs.
  [[nodiscard]] const std::string& problem() const { return problem_; }
  [[nodiscard]] const std::string& directory() const { return directory_; }
  // Of process 1, as this machine counts.
  [[nodiscard]] pid_t pid() const { return pid_; }
  // The root of its cgroups, as this machine sees it.
  [[nodiscard]] const std::string& cgroup() const { return cgroup_; }

  // The command line inside; `environment` is all it has beside PATH.
  [[nodiscard]] std::vector<std::string> inside(const std::vector<std::string>& argv,
                                                const std::vector<std::string>& environment = {}) const;
  [[nodiscard]] Outcome run(const std::vector<std::string>& argv) const {
    return test::run({.argv = inside(argv)});
  }
  [[nodiscard]] Outcome shell(const std::string& script) const { return run({"sh", "-c", script}); }
  // `systemctl show -P NAME UNIT`, without its last newline.
  [[nodiscard]] std::string property(const std::string& unit, const std::string& name) const;
  // The bus daemon, which systemd then joins; `rules` are more <allow> and <deny> of dbus-daemon(1) for everybody. What
  // is said when it does not come up, else "". A program is sent there by kSystemBus in its environment.
  [[nodiscard]] std::string start_bus(const std::string& rules = "") const;
  static constexpr char kSystemBus[] = "DBUS_SYSTEM_BUS_ADDRESS=unix:path=/run/dbus/system_bus_socket";
  // /proc/sys can be written, as on any machine: criu sets a container's host name there. "", or what is said.
  [[nodiscard]] std::string open_sysctls() const;
  // A user's manager, user@UID.service with cpu, memory and pids: `shell` then runs as that user in a scope of it.
  [[nodiscard]] std::string start_user_manager(uid_t uid, gid_t gid) const;
  // The bus of that user, at $XDG_RUNTIME_DIR/bus, which the manager then joins.
  [[nodiscard]] std::string start_user_bus(uid_t uid, gid_t gid) const;
  [[nodiscard]] Outcome user_shell(uid_t uid, gid_t gid, const std::string& script) const;

 private:
  void write_bus(const std::string& units, const std::string& socket, const std::string& rules) const;
  [[nodiscard]] std::string joined_bus(const std::string& manager,
                                       const std::function<Outcome(const std::string&)>& in_place) const;
  [[nodiscard]] std::vector<std::string> in_cgroup(const std::string& cgroup,
                                                   const std::vector<std::string>& argv,
                                                   const std::vector<std::string>& environment) const;
  std::string directory_, cgroup_, problem_;
  std::unique_ptr<Running> process_;
  pid_t pid_ = 0;
};

}  // namespace cloche::test
