#include "support/command.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "support/place.h"

namespace cloche::test {
std::string cgroup2_options() {
  std::ifstream file("/proc/self/mounts");
  std::string kept;
  for (std::string device, path, type, options, rest;
       file >> device >> path >> type >> options && std::getline(file, rest);) {
    if (type != "cgroup2") continue;
    std::istringstream words(options);
    for (std::string word; std::getline(words, word, ',');)
      if (word == "nsdelegate" || word.starts_with("memory_") || word.starts_with("pids_"))
        kept += (kept.empty() ? "" : ",") + word;
    break;
  }
  return kept;
}

namespace {

[[noreturn]] void child_failed(const char* what) {
  // Between fork and exec of a single-threaded program: stdio is safe, and standard error is the test's pipe.
  std::fprintf(stderr, "test support: %s: %s\n", what, std::strerror(errno));
  _exit(254);
}

void enter_pure_cgroup2() {
  const std::string options = cgroup2_options();
  if (unshare(CLONE_NEWNS) != 0) child_failed("unshare(CLONE_NEWNS)");
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) child_failed("make / private");
  if (umount2("/sys/fs/cgroup", MNT_DETACH) != 0) child_failed("umount2(/sys/fs/cgroup)");
  if (mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, options.c_str()) != 0) child_failed("mount cgroup2");
}

// The C library refuses the two signals that it uses itself (32, 33).
void ignore_signal(int number) {
  struct {
    void (*handler)(int);
    unsigned long flags, rest[6];
  } action = {
      .handler = SIG_IGN, .flags = 0, .rest = {}};  // NOLINT(performance-no-int-to-ptr): the macro's own
  if (syscall(SYS_rt_sigaction, number, &action, nullptr, sizeof(uint64_t)) != 0)
    child_failed("rt_sigaction");
}

void become(const Identity& who) {
  if (setgroups(0, nullptr) != 0) child_failed("setgroups");
  if (setresgid(who.gid, who.gid, who.gid) != 0) child_failed("setresgid");
  if (setresuid(who.uid, who.uid, who.uid) != 0) child_failed("setresuid");
  // Changing ids made us undumpable, and /proc/self root's; the exec that follows undoes this only for real
  // programs, so it is undone here for what is done before.
  prctl(PR_SET_DUMPABLE, 1);
}

std::vector<std::string> environment(const Command& command) {
  std::vector<std::string> result;
  const auto put = [&result](const std::string& entry) {
    const std::string name = entry.substr(0, entry.find('=') + 1);
    std::erase_if(result, [&](const std::string& old) { return old.starts_with(name); });
    result.push_back(entry);
  };
  if (!command.clear_env)
    for (char** entry = environ; *entry != nullptr; ++entry) result.emplace_back(*entry);
  for (const std::string& entry : command.set_env) put(entry);
  put(fmt::format("{}={}", kMarkerVariable, marker()));
  return result;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> result;
  result.reserve(strings.size() + 1);
  for (std::string& string : strings) result.push_back(string.data());
  result.push_back(nullptr);
  return result;
}

struct Pipe {
  Pipe() {
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error("pipe2 failed");
    read = sys::Fd(ends[0]);
    write = sys::Fd(ends[1]);
  }
  sys::Fd read, write;
};

// False at the end of the stream.
bool read_some(const sys::Fd& from, std::string& into) {
  std::array<char, 16384> buffer;
  const ssize_t count = ::read(from.get(), buffer.data(), buffer.size());
  if (count < 0) return errno == EINTR || errno == EAGAIN;
  into.append(buffer.data(), static_cast<size_t>(count));
  return count > 0;
}

}  // namespace

std::string marker() {
  static const std::string value = fmt::format("{}", getpid());
  return value;
}

std::string Outcome::describe() const {
  const std::string end = timed_out     ? "killed at the test's time limit"
                          : signal != 0 ? fmt::format("signal {}", signal)
                                        : fmt::format("exit {}", exit_code);
  return fmt::format("{}\n--- stdout\n{}\n--- stderr\n{}", end, out, err);
}

Running::Running(const Command& command)
    : pending_input_(command.input), deadline_(std::chrono::steady_clock::now() + command.limit) {
  Pipe in, out, err;
  std::vector<std::string> arguments = command.argv, variables = environment(command);
  const std::vector<char*> argv = pointers(arguments), envp = pointers(variables);
  pid_ = fork();
  if (pid_ < 0) throw std::runtime_error("fork failed");
  if (pid_ == 0) {
    setsid();
    dup2(in.read.get(), 0);
    dup2(out.write.get(), 1);
    dup2(err.write.get(), 2);
    // SIGPIPE and the mask are ours; the program starts with neither.
    ::signal(SIGPIPE, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    for (const int number : command.ignore) ignore_signal(number);
    if (command.pure_cgroup2) enter_pure_cgroup2();
    if (command.as) become(*command.as);
    if (!command.cwd.empty() && chdir(command.cwd.c_str()) != 0) child_failed("chdir");
    execvpe(argv[0], argv.data(), envp.data());
    child_failed(argv[0]);
  }
  pidfd_ = sys::Fd(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)));
  stdin_ = std::move(in.write);
  stdout_ = std::move(out.read);
  stderr_ = std::move(err.read);
  fcntl(stdin_.get(), F_SETFL, O_NONBLOCK);
  ::signal(SIGPIPE, SIG_IGN);  // NOLINT(performance-no-int-to-ptr): the macro's own cast
}

Running::Running(Running&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      reaped_(std::exchange(other.reaped_, true)),
      pending_input_(std::move(other.pending_input_)),
      stdin_(std::move(other.stdin_)),
      stdout_(std::move(other.stdout_)),
      stderr_(std::move(other.stderr_)),
      pidfd_(std::move(other.pidfd_)),
      deadline_(other.deadline_),
      outcome_(std::move(other.outcome_)) {}

Running::~Running() {
  if (pid_ <= 0 || reaped_) return;
  ::kill(-pid_, SIGKILL);
  reap();
}

void Running::signal(int number) const {
  if (!reaped_) ::kill(pid_, number);
}

void Running::send_input(const std::string& data) { pending_input_ += data; }

bool Running::pump() {
  // Rounded up: who stops a fraction before the deadline would wait for a program that nobody has ended.
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(deadline_ - std::chrono::steady_clock::now()).count();
  if (left <= 0) return false;
  std::array<pollfd, 4> watched{};
  watched[0] = {.fd = stdout_.get(), .events = POLLIN, .revents = 0};
  watched[1] = {.fd = stderr_.get(), .events = POLLIN, .revents = 0};
  watched[2] = {.fd = pending_input_.empty() ? -1 : stdin_.get(), .events = POLLOUT, .revents = 0};
  watched[3] = {.fd = pidfd_.get(), .events = POLLIN, .revents = 0};
  if (poll(watched.data(), watched.size(), static_cast<int>(left)) < 0) return errno == EINTR;
  if (watched[2].revents != 0) {
    const ssize_t count = write(stdin_.get(), pending_input_.data(), pending_input_.size());
    if (count > 0) pending_input_.erase(0, static_cast<size_t>(count));
    if (count < 0 && errno != EAGAIN) pending_input_.clear();
  }
  const bool read_any = watched[0].revents != 0 || watched[1].revents != 0;
  if (watched[0].revents != 0 && !read_some(stdout_, outcome_.out)) stdout_.reset();
  if (watched[1].revents != 0 && !read_some(stderr_, outcome_.err)) stderr_.reset();
  // The program ended and what it wrote is read: a descendant may keep the pipes open for ever.
  if (watched[3].revents != 0 && !read_any) return false;
  return true;
}

bool Running::wait_for_output(const std::string& text) {
  while (!outcome_.out.contains(text))
    if (!pump()) return false;
  return true;
}

bool Running::wait_for_error(const std::string& text) {
  while (!outcome_.err.contains(text))
    if (!pump()) return false;
  return true;
}

void Running::reap() {
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  reaped_ = true;
  if (WIFEXITED(status)) outcome_.exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) outcome_.signal = WTERMSIG(status);
}

Outcome Running::finish() {
  while (!pending_input_.empty() && pump()) {
  }
  close_input();
  while (pump()) {
  }
  outcome_.timed_out = std::chrono::steady_clock::now() >= deadline_;
  if (outcome_.timed_out) ::kill(-pid_, SIGKILL);
  reap();
  return outcome_;
}

Outcome run(const Command& command) { return Running(command).finish(); }

Outcome shell(const std::string& script) { return run({.argv = {"sh", "-c", script}}); }

std::string program(const std::string& name) { return program_directory() / name; }

}  // namespace cloche::test
