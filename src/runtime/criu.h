// The program `criu` (https://criu.org, criu(8)): found, called with a command line that can be shown, and its refusal
// read out of its log. Why a program: docs/decisions/0006.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plan/step.h"
#include "sys/error.h"
#include "sys/fd.h"
#include "sys/process.h"

namespace cloche::runtime {

// `wanted` is --criu: a path, or a name; "" is "criu". The absolute path of an executable file, looked for along
// $PATH.
sys::Result<std::string> find_criu(const std::string& wanted);

// The directory of a container's, in which criu's mount namespace has mounts: made, held, and taken away with all that
// is in it. Where it is to be there must be a directory.
class CriuPlace {
 public:
  // An error where another call for the same container holds it; what a call that was killed has left is taken over.
  static sys::Result<CriuPlace> make(std::string path);
  // Nothing there is fine.
  static sys::Result<> remove(const std::string& path);
  CriuPlace(CriuPlace&&) noexcept = default;
  CriuPlace& operator=(CriuPlace&&) = delete;
  CriuPlace(const CriuPlace&) = delete;
  CriuPlace& operator=(const CriuPlace&) = delete;
  ~CriuPlace();

  [[nodiscard]] std::string cgroups() const { return path_ + "/cgroups"; }  // --cgroup-yard
  [[nodiscard]] std::string console() const { return path_ + "/console"; }
  [[nodiscard]] std::string pid() const { return path_ + "/pid"; }
  [[nodiscard]] std::string script() const { return path_ + "/script"; }  // a directory
  [[nodiscard]] std::string made() const { return path_ + "/made"; }  // FIFOs, between that script and us
  [[nodiscard]] std::string go() const { return path_ + "/go"; }

 private:
  CriuPlace(std::string path, sys::Fd held) : path_(std::move(path)), held_(std::move(held)) {}
  std::string path_;
  sys::Fd held_;  // the directory, locked by flock(2); moved away: nobody's
};

struct CriuCommand {
  std::string program;  // absolute
  std::vector<std::string>
      args;  // without the program's name; the log goes to standard output (--log-file -)
  std::vector<int> keep;  // descriptors that become criu's: the caller's are closed
  std::string log;  // the file that its log becomes, absolute
  // restore: in a mount namespace of criu's own this directory is a mount, and has these mount points.
  std::string root;
  std::vector<plan::MountPoint> points;
  std::vector<plan::InheritedFd> inherited;
  // In that mount namespace the cgroup2 mount `cgroups` is seen in the place; empty: not. The same for `terminal`, the
  // slave of a terminal, which is also the source "terminal" of `inherited`; invalid: none.
  std::string cgroups;
  sys::Fd terminal;
  // restore: it waits when the namespaces are there. `args` has its --action-script, script()/pause.
  bool pauses = false;
  // In that mount namespace there is a tmpfs on this directory, with what the root of a user namespace could not reach
  // by its path: the trees by these names, `images` as "images", the terminal as "console". Empty: none.
  std::string shown;
  std::vector<std::pair<std::string, sys::Fd>> trees;
  std::string images;  // empty: not shown
  // As of plan::RestoreProcesses.
  bool readonly_root = false, no_new_privileges = false;
};

// "criu dump -t 7 ...": as a shell would take it.
[[nodiscard]] std::string shown(const CriuCommand& command);

// A criu that works; its output goes into the log. Errors say what that says, and where it is. The place must outlive
// it.
class RunningCriu {
 public:
  static sys::Result<RunningCriu> start(CriuCommand command, const CriuPlace& place);
  // The first process, which waits with criu: only with `pauses`.
  sys::Result<pid_t> await_namespaces();
  // Lets it go on where it waits, and waits for its end.
  sys::Result<> finish();
  RunningCriu(RunningCriu&&) noexcept = default;
  RunningCriu& operator=(RunningCriu&&) = delete;
  RunningCriu(const RunningCriu&) = delete;
  RunningCriu& operator=(const RunningCriu&) = delete;
  // One that still works gives up, and takes back what it has made.
  ~RunningCriu();

 private:
  struct Pause {
    sys::Fd made, go;  // the ends of the FIFOs
  };
  RunningCriu(CriuCommand command, sys::Fd log, Pause pause, sys::Parent process)
      : command_(std::move(command)),
        log_(std::move(log)),
        pause_(std::move(pause)),
        process_(std::move(process)) {}
  static sys::Result<Pause> make_pause(const CriuPlace& place);
  sys::Result<> wait_for_end();

  CriuCommand command_;
  sys::Fd log_;
  Pause pause_;
  sys::Parent process_;  // its pidfd is invalid once it has been waited for
};

// Runs it to its end.
sys::Result<> run_criu(CriuCommand command, const CriuPlace& place);

// The line of a log of criu's that says why it gave up, without time stamp and place in its source: the first error
// that is none of what criu only tries out. "" when there is none.
[[nodiscard]] std::string criu_reason(std::string_view log);

}  // namespace cloche::runtime
