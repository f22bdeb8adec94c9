#include "runtime/criu.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/mount.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "plan/shell.h"
#include "runtime/criu_images.h"
#include "runtime/last_line.h"
#include "sys/call.h"
#include "sys/files.h"
#include "sys/flags.h"
#include "sys/mounts.h"
#include "sys/number.h"
#include "sys/process.h"
#include "sys/program.h"

namespace cloche::runtime {
namespace {

constexpr size_t kLargestLog = size_t{64} << 20;
constexpr int kNotStarted = 127;

// What the images cover with a mount must be there: the root file system may be a fresh one.
sys::Result<> make_point(const sys::Fd& root, const plan::MountPoint& point) {
  if (!point.source.empty()) {
    CLOCHE_TRY_ASSIGN(st, sys::stat_at(AT_FDCWD, point.source));
    if (!S_ISDIR(st.st_mode)) {
      auto made = sys::make_file_in_root(root, point.path, 0644);
      if (!made) return std::unexpected(std::move(made).error());
      return {};
    }
  }
  auto made = sys::make_directory_in_root(root, point.path, 0755);
  if (!made) return std::unexpected(std::move(made).error());
  return {};
}

sys::Result<> show_cgroups(const std::string& cgroups, const CriuPlace& place) {
  CLOCHE_TRY_ASSIGN(tree, sys::clone_tree(AT_FDCWD, cgroups, false));
  CLOCHE_TRY(sys::set_mount_attributes(tree, {.propagation = MS_PRIVATE}, false));
  return sys::attach_mount(tree, AT_FDCWD, place.cgroups() + "/unified");
}

// The path by which criu mounts it on the container's /dev/console. `tree` is of before: the terminal's own mount is
// not in the new mount namespace.
sys::Result<> show_terminal(const sys::Fd& tree, const std::string& console) {
  CLOCHE_TRY(sys::set_mount_attributes(tree, {.propagation = MS_PRIVATE}, false));
  return sys::attach_mount(tree, AT_FDCWD, console);
}

sys::Result<> show_apart(const CriuCommand& command) {
  CLOCHE_TRY(cover(command.shown));
  CLOCHE_TRY(sys::create_file(AT_FDCWD, command.shown + "/console", "", 0600));
  for (const auto& [name, tree] : command.trees) CLOCHE_TRY(show_tree(tree, command.shown + "/" + name));
  if (command.images.empty()) return {};
  return show_images(command.images, command.shown + "/images");
}

// What criu calls as its action script (criu(8)), at every stage: it waits at the one at which hooks run. We hold the
// other ends of both FIFOs; when we are gone, the answer is an end of file, which is a no. No open waits for another end:
// each is for reading and writing, or after such a one. On a mount of its own, since the state directory may be where
// nothing is executed.
sys::Result<> show_script(const CriuPlace& place) {
  CLOCHE_TRY_ASSIGN(context, sys::FsContext::open("tmpfs"));
  CLOCHE_TRY(context.set_string("mode", "0700"));
  CLOCHE_TRY(context.create());
  CLOCHE_TRY_ASSIGN(mount, context.mount(MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID));
  CLOCHE_TRY(sys::create_file(mount.get(), "pause",
                              fmt::format("#!/bin/sh\n"
                                          "[ \"$CRTOOLS_SCRIPT_ACTION\" = setup-namespaces ] || exit 0\n"
                                          "exec 3<>{0} 4<{0} 3<&- || exit\n"
                                          "echo \"$CRTOOLS_INIT_PID\" 1<>{1}\n"
                                          "read -r answer <&4 && [ \"$answer\" = go ]\n",
                                          plan::shell_word(place.go()), plan::shell_word(place.made())),
                              0700));
  return sys::attach_mount(mount, AT_FDCWD, place.script());
}

// What is mounted is criu's alone and goes with it.
sys::Result<> show_mounts(const CriuCommand& command, const CriuPlace& place) {
  if (command.root.empty() && command.cgroups.empty()) return {};
  sys::Fd terminal;
  if (command.terminal.valid()) {
    CLOCHE_TRY_ASSIGN(tree, sys::clone_tree(command.terminal, false));
    terminal = std::move(tree);
  }
  CLOCHE_TRY(sys::unshare_namespaces(CLONE_NEWNS));
  CLOCHE_TRY(sys::set_mount_attributes(AT_FDCWD, "/", {.propagation = MS_SLAVE}, true));
  if (!command.cgroups.empty()) CLOCHE_TRY(show_cgroups(command.cgroups, place));
  if (!command.shown.empty()) CLOCHE_TRY(show_apart(command));
  if (terminal.valid())
    CLOCHE_TRY(
        show_terminal(terminal, command.images.empty() ? place.console() : command.shown + "/console"));
  if (command.pauses) CLOCHE_TRY(show_script(place));
  if (command.root.empty()) return {};
  CLOCHE_TRY_ASSIGN(tree, sys::clone_tree(AT_FDCWD, command.root, true));
  CLOCHE_TRY(sys::set_mount_attributes(tree, {.propagation = MS_PRIVATE}, true));
  CLOCHE_TRY(sys::attach_mount(tree, AT_FDCWD, command.root));
  CLOCHE_TRY_ASSIGN(root, sys::open_at(AT_FDCWD, command.root, O_PATH | O_DIRECTORY));
  for (const plan::MountPoint& point : command.points) CLOCHE_TRY(make_point(root, point));
  if (!command.readonly_root) return {};
  return sys::set_mount_attributes(AT_FDCWD, command.root, {.set = MOUNT_ATTR_RDONLY}, false);
}

// Out of the way of the numbers that criu is told.
sys::Result<sys::Fd> far_away(int file) { return sys::duplicate_from(file, 200); }

sys::Result<sys::Fd> open_inherited(const CriuCommand& command, const std::string& source) {
  if (source.size() == 1) return far_away(source[0] - '0');
  if (source == "terminal") return far_away(command.terminal.get());
  CLOCHE_TRY_ASSIGN(ns, sys::open_at(AT_FDCWD, source, O_RDONLY));
  return far_away(ns.get());
}

sys::Result<> take_descriptors(const CriuCommand& command) {
  std::vector<sys::Fd> opened;
  for (const plan::InheritedFd& fd : command.inherited) {
    CLOCHE_TRY_ASSIGN(file, open_inherited(command, fd.source));
    opened.push_back(std::move(file));
  }
  for (size_t i = 0; i < opened.size(); ++i)
    CLOCHE_TRY(sys::duplicate_to(opened[i], static_cast<int>(command.inherited[i].number)));
  return {};
}

[[noreturn]] void become_criu(const CriuCommand& command, const CriuPlace& place, sys::Fd&& near) {
  sys::Fd output = std::move(near);
  if (auto away = far_away(output.get())) output = *std::move(away);
  const auto give_up = [&](const sys::Error& error) {
    const std::string text = error.message() + "\n";
    sys::raw_call(SYS_write, output.get(), text.data(), text.size());
    _exit(kNotStarted);
  };
  (void)sys::unblock_signals();
  if (auto shown = show_mounts(command, place); !shown) give_up(shown.error());
  if (auto taken = take_descriptors(command); !taken) give_up(taken.error());
  if (command.no_new_privileges)
    if (auto set = sys::process_control(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, "PR_SET_NO_NEW_PRIVS, 1"); !set)
      give_up(set.error());
  for (const int fd : command.keep) sys::raw_call(SYS_fcntl, fd, F_SETFD, 0);
  const auto null = sys::open_at(AT_FDCWD, "/dev/null", O_RDWR);
  if (null) (void)sys::duplicate_to(*null, 0);
  for (const int fd : {1, 2}) (void)sys::duplicate_to(output, fd);
  std::vector<std::string> args{"criu"}, env;
  args.insert(args.end(), command.args.begin(), command.args.end());
  for (char** entry = environ; *entry != nullptr; ++entry) env.emplace_back(*entry);
  give_up(sys::execute({}, command.program, args, env));
  _exit(kNotStarted);
}

// A file of this call's own, whoever writes or has written one of the same name.
sys::Result<sys::Fd> make_log(const std::string& path) {
  constexpr int kMostRounds = 100;
  for (int round = 1;; ++round) {
    (void)sys::remove_at(AT_FDCWD, path);
    auto log = sys::open_at(AT_FDCWD, path, O_CREAT | O_EXCL | O_RDWR | O_APPEND, 0600);
    if (log || log.error().code != EEXIST || round == kMostRounds) return log;
  }
}

sys::Failure refused(const CriuCommand& command, const sys::Ending& ending, const sys::Fd& log) {
  sys::raw_call(SYS_lseek, log.get(), 0, SEEK_SET);
  const std::string text = sys::read_all(log, "criu's log", kLargestLog).value_or("");
  std::string reason = last_line(criu_reason(text));  // the words of a container's process may be in it
  if (reason.empty()) reason = last_line(text);
  if (reason.empty() && ending.signal != 0) reason = fmt::format("it was ended by signal {}", ending.signal);
  if (reason.empty()) reason = fmt::format("it ended with status {} and no word", ending.status);
  return sys::fail_because(fmt::format("criu {} refused: {}{}", command.args.front(), reason,
                                       text.empty() ? "" : fmt::format(" (its log is {})", command.log)));
}

// "(00.346964) Error (criu/files-reg.c:1710): Can't lookup" -> "Can't lookup"; "" for a line that is no error.
std::string_view error_of(std::string_view line) {
  constexpr std::string_view kError = "Error (";
  const size_t at = line.find(kError);
  if (at == std::string_view::npos) return {};
  line.remove_prefix(at + kError.size());
  const size_t end = line.find("): ");
  return end == std::string_view::npos ? std::string_view{} : line.substr(end + 3);
}

// criu looks at what the kernel has by trying it, and writes errors of that too.
bool only_tried(std::string_view line) {
  constexpr std::string_view kPlaces[] = {"(criu/kerndat.c",   "(criu/tun.c",  "(criu/libnetlink.c",
                                          "(criu/sockets.c",   "(criu/util.c", "(criu/cr-check.c",
                                          "(criu/cgroup-props"};
  return std::ranges::any_of(kPlaces, [&](std::string_view place) { return line.contains(place); }) ||
         line.contains("Unable to create a veth pair");
}

}  // namespace

std::string criu_reason(std::string_view log) {
  std::string_view first, before, any;
  while (!log.empty()) {
    const std::string_view line = log.substr(0, log.find('\n'));
    log.remove_prefix(std::min(log.size(), line.size() + 1));
    const std::string_view error = error_of(line);
    if (error.empty()) continue;
    // Then what was tried last is what is missing.
    if (error.starts_with("Could not initialize kernel features"))
      return std::string(before.empty() ? error : before);
    before = error;
    any = any.empty() ? error : any;
    if (first.empty() && !only_tried(line)) first = error;
  }
  return std::string(first.empty() ? any : first);
}

sys::Result<std::string> find_criu(const std::string& wanted) {
  const std::string name = wanted.empty() ? "criu" : wanted;
  const auto missing = [&](const std::string& what) {
    return sys::fail_because(fmt::format(
        "{} (checkpoint and restore are done by the program criu: install the package criu, or name it "
        "with --criu PATH)",
        what));
  };
  if (name.contains('/')) {
    const auto st = sys::stat_at(AT_FDCWD, name);
    if (!st || !S_ISREG(st->st_mode) || !sys::executable(name))
      return missing(fmt::format("--criu: {} is no executable file", sys::in_quotes(name)));
    return sys::real_path(name);
  }
  if (auto found = sys::find_program(name)) return found;
  return missing(fmt::format("{}: executable file not found in $PATH", sys::in_quotes(name)));
}

std::string shown(const CriuCommand& command) {
  std::string out = plan::shell_word(command.program);
  for (const std::string& arg : command.args) out += " " + plan::shell_word(arg);
  return out;
}

namespace {

sys::Result<> remove_parts(const std::string& place) {
  constexpr std::pair<const char*, int> kParts[] = {{"/pid", 0},
                                                    {"/console", 0},
                                                    {"/made", 0},
                                                    {"/go", 0},
                                                    {"/script", AT_REMOVEDIR},
                                                    {"/cgroups/unified", AT_REMOVEDIR},
                                                    {"/cgroups", AT_REMOVEDIR}};
  for (const auto& [part, flags] : kParts)
    if (auto removed = sys::remove_at(AT_FDCWD, place + part, flags);
        !removed && removed.error().code != ENOENT)
      return removed;
  return {};
}

}  // namespace

sys::Result<CriuPlace> CriuPlace::make(std::string path) {
  auto made = sys::make_directory(AT_FDCWD, path, 0700);
  if (!made && made.error().code != EEXIST) return std::unexpected(std::move(made).error());
  CLOCHE_TRY_ASSIGN(held, sys::open_at(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  CLOCHE_TRY_ASSIGN(locked, sys::lock_file(held, false));
  CLOCHE_TRY_ASSIGN(there, sys::leads_to(path, held));
  if (!locked || !there)
    return sys::fail_because("another checkpoint or restore of this container is under way");
  CLOCHE_TRY(remove_parts(path));
  CriuPlace place(std::move(path), std::move(held));
  CLOCHE_TRY(sys::make_directories(place.cgroups() + "/unified", 0700));
  CLOCHE_TRY(sys::create_file(AT_FDCWD, place.console(), "", 0600));
  return place;
}

sys::Result<> CriuPlace::remove(const std::string& path) {
  auto removed = sys::remove_at(AT_FDCWD, path, AT_REMOVEDIR);
  if (!removed && removed.error().code == ENOENT) return {};  // of nearly every container
  if (removed || removed.error().code != ENOTEMPTY) return removed;
  CLOCHE_TRY(remove_parts(path));
  return sys::remove_at(AT_FDCWD, path, AT_REMOVEDIR);
}

// The container may have been deleted meanwhile, and another one of its name have a place there.
CriuPlace::~CriuPlace() {
  if (!held_.valid()) return;
  if (const auto there = sys::leads_to(path_, held_); there && *there) (void)remove(path_);
}

sys::Result<RunningCriu::Pause> RunningCriu::make_pause(const CriuPlace& place) {
  CLOCHE_TRY(sys::make_directory(AT_FDCWD, place.script(), 0700));
  for (const std::string& fifo : {place.made(), place.go()})
    CLOCHE_TRY(sys::make_node(AT_FDCWD, fifo, S_IFIFO | 0600, 0));
  Pause pause;
  CLOCHE_TRY_ASSIGN(made, sys::open_at(AT_FDCWD, place.made(), O_RDONLY | O_NONBLOCK));
  pause.made = std::move(made);
  // For reading too: that opens without anybody at the other end.
  CLOCHE_TRY_ASSIGN(go, sys::open_at(AT_FDCWD, place.go(), O_RDWR | O_NONBLOCK));
  pause.go = std::move(go);
  return pause;
}

sys::Result<RunningCriu> RunningCriu::start(CriuCommand command, const CriuPlace& place) {
  CLOCHE_TRY_ASSIGN(log, make_log(command.log));
  Pause pause;
  if (command.pauses) {
    CLOCHE_TRY_ASSIGN(made, make_pause(place));
    pause = std::move(made);
  }
  CLOCHE_TRY_ASSIGN(cloned, sys::clone_process({}));
  if (std::holds_alternative<sys::Child>(cloned)) become_criu(command, place, std::move(log));
  // Who reads from the other end sees when criu has closed it.
  for (const int fd : command.keep) sys::raw_call(SYS_close, fd);
  command.terminal.reset();
  command.trees.clear();
  return RunningCriu(std::move(command), std::move(log), std::move(pause),
                     std::get<sys::Parent>(std::move(cloned)));
}

sys::Result<> RunningCriu::wait_for_end() {
  const sys::Fd pidfd = std::move(process_.pidfd);
  CLOCHE_TRY_ASSIGN(ending, sys::wait_for(process_.child));
  if (ending.exit_code() == 0) return {};
  return refused(command_, ending, log_);
}

sys::Result<pid_t> RunningCriu::await_namespaces() {
  pollfd places[] = {{.fd = pause_.made.get(), .events = POLLIN, .revents = 0},
                     {.fd = process_.pidfd.get(), .events = POLLIN, .revents = 0}};
  while ((places[0].revents & POLLIN) == 0 && places[1].revents == 0) {
    const long ready = sys::raw_call(SYS_ppoll, places, std::size(places), nullptr, nullptr, 0);
    if (ready < 0 && ready != -EINTR) return sys::fail(static_cast<int>(-ready), "ppoll(criu)");
    if (places[0].revents == POLLHUP) places[0].fd = -1;  // the script ended without a word
  }
  if ((places[0].revents & POLLIN) == 0) {
    CLOCHE_TRY(wait_for_end());
    return sys::fail_because("criu has not called its --action-script when the namespaces were there");
  }
  char text[32] = {};
  const long got = sys::raw_call(SYS_read, pause_.made.get(), text, sizeof text - 1);
  std::string_view line(text, got > 0 ? static_cast<size_t>(got) : 0);
  const auto pid = sys::whole_number<pid_t>(line.substr(0, line.find('\n')));
  if (!pid || *pid <= 0)
    return sys::fail_because(fmt::format("criu says {} as the first process", sys::in_quotes(line)));
  return *pid;
}

sys::Result<> RunningCriu::finish() {
  if (pause_.go.valid()) CLOCHE_TRY(sys::write_once(pause_.go, "go\n", "the answer to criu"));
  return wait_for_end();
}

RunningCriu::~RunningCriu() {
  if (!process_.pidfd.valid()) return;
  if (pause_.go.valid()) (void)sys::write_once(pause_.go, "no\n", "the answer to criu");
  (void)sys::wait_for(process_.child);
}

sys::Result<> run_criu(CriuCommand command, const CriuPlace& place) {
  CLOCHE_TRY_ASSIGN(running, RunningCriu::start(std::move(command), place));
  return running.finish();
}

}  // namespace cloche::runtime
