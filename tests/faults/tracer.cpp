#include "faults/tracer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <linux/sched.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <map>
#include <stdexcept>

#include "faults/tracee.h"
#include "runtime/shared_record.h"
#include "support/files.h"
#include "sys/fd.h"

namespace cloche::faults {
namespace {

constexpr long kOptions = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
                          PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
constexpr int kSystemCall = SIGTRAP | 0x80;  // PTRACE_O_TRACESYSGOOD
constexpr size_t kSteps = 256;               // more than any plan here has

// The call is not made (a number that there is not), or its result becomes another one.
void skip_call(pid_t pid) {
  user_regs_struct registers{};
  ::ptrace(PTRACE_GETREGS, pid, nullptr, &registers);
  registers.orig_rax = ~0ULL;
  ::ptrace(PTRACE_SETREGS, pid, nullptr, &registers);
}
void set_result(pid_t pid, int code) {
  user_regs_struct registers{};
  ::ptrace(PTRACE_GETREGS, pid, nullptr, &registers);
  registers.rax = static_cast<unsigned long long>(-static_cast<long long>(code));
  ::ptrace(PTRACE_SETREGS, pid, nullptr, &registers);
}

struct Tracee {
  int ordinal = -1;
  bool in_container = false;
  bool makes_container = false;  // by the call it is in
  bool maps_record = false;  // by the call it is in
  bool failing = false;  // the call it is in is the fault
  std::map<long, int> made;  // calls so far, by number
};

class Tracer {
 public:
  Tracer(const test::Command& command, const std::string& scratch, std::optional<Fault> fault, pid_t waiting)
      : command_(command), scratch_(scratch), fault_(fault), waiting_(waiting) {}

  Watched run() {
    begin();
    while (root_alive_ && !result_.timed_out) {
      int status = 0;
      const pid_t pid = next_event(status);
      if (pid > 0) handle(pid, status);
    }
    let_go();
    result_.out = test::text_of(scratch_ + "/traced.out");
    result_.err = test::text_of(scratch_ + "/traced.err");
    return std::move(result_);
  }

 private:
  void begin();
  void attach();
  [[noreturn]] void become(int go);
  pid_t next_event(int& status);
  void handle(pid_t pid, int status);
  void made_process(pid_t parent);
  void on_system_call(pid_t pid, Tracee& tracee);
  void on_entry(pid_t pid, Tracee& tracee, const __ptrace_syscall_info& call);
  [[nodiscard]] std::vector<uint32_t> started_steps() const;
  void resume(pid_t pid, int signal = 0);
  void let_go();
  void interrupt(pid_t pid);
  void detach(pid_t pid, int status);
  [[nodiscard]] bool watching() const { return !fault_ || !result_.hit; }

  const test::Command& command_;
  const std::string& scratch_;
  const std::optional<Fault> fault_;
  const pid_t waiting_;
  Watched result_;
  pid_t root_ = -1;
  bool root_alive_ = true;
  int processes_ = 1;  // the program itself is the first
  pid_t record_in_ = 0;
  uint64_t record_ = 0;  // address of the shared record in that process
  std::map<pid_t, Tracee> tracees_;
  std::map<pid_t, bool> early_;  // stopped at its birth before its maker told of it
  std::chrono::steady_clock::time_point deadline_;
};

void Tracer::become(int go) {
  char byte = 0;
  if (::read(go, &byte, 1) != 1) ::_exit(253);
  ::setsid();
  const int in = ::open("/dev/null", O_RDONLY);
  const int out = ::open((scratch_ + "/traced.out").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  const int err = ::open((scratch_ + "/traced.err").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (in < 0 || out < 0 || err < 0) ::_exit(253);
  ::dup2(in, 0), ::dup2(out, 1), ::dup2(err, 2);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  if (command_.as && (::setgroups(0, nullptr) != 0 ||
                      ::setresgid(command_.as->gid, command_.as->gid, command_.as->gid) != 0 ||
                      ::setresuid(command_.as->uid, command_.as->uid, command_.as->uid) != 0))
    ::_exit(253);
  if (!command_.cwd.empty() && ::chdir(command_.cwd.c_str()) != 0) ::_exit(253);
  for (const std::string& entry : command_.set_env) {
    const size_t equals = entry.find('=');
    ::setenv(entry.substr(0, equals).c_str(), entry.substr(equals + 1).c_str(), 1);
  }
  ::setenv(test::kMarkerVariable, test::marker().c_str(), 1);
  std::vector<char*> argv;
  for (const std::string& word : command_.argv) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  ::execv(argv[0], argv.data());
  ::_exit(253);
}

void Tracer::begin() {
  int go[2];
  if (::pipe2(go, O_CLOEXEC) != 0) throw std::runtime_error("pipe2 failed");
  const sys::Fd read_end(go[0]), write_end(go[1]);
  // Each event is a SIGCHLD to wait for.
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  ::sigprocmask(SIG_BLOCK, &child, nullptr);
  root_ = ::fork();
  if (root_ == 0) become(read_end.get());
  if (::ptrace(PTRACE_SEIZE, root_, nullptr, kOptions) != 0) throw std::runtime_error("PTRACE_SEIZE failed");
  // Calls count from its exec on.
  tracees_[root_] = {};
  if (waiting_ != 0) attach();
  deadline_ = std::chrono::steady_clock::now() + command_.limit;
  if (::write(write_end.get(), "", 1) != 1) throw std::runtime_error("write failed");
}

// The call that it waits in is interrupted, and begins again under our eyes.
void Tracer::attach() {
  int status = 0;
  if (::ptrace(PTRACE_SEIZE, waiting_, nullptr, kOptions) != 0 ||
      ::ptrace(PTRACE_INTERRUPT, waiting_, nullptr, nullptr) != 0 ||
      ::waitpid(waiting_, &status, __WALL) != waiting_ || !WIFSTOPPED(status))
    throw std::runtime_error("the waiting process cannot be traced");
  tracees_[waiting_].ordinal = 1;
  tracees_[waiting_].in_container = true;
  processes_ = 2;
  record_in_ = waiting_;
  record_ = find_record(waiting_);
  resume(waiting_);
}

// 0: nothing yet.
pid_t Tracer::next_event(int& status) {
  const pid_t pid = ::waitpid(-1, &status, __WALL | WNOHANG);
  if (pid != 0) return pid;
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  const timespec pause{.tv_sec = 1, .tv_nsec = 0};
  ::sigtimedwait(&child, nullptr, &pause);
  if (std::chrono::steady_clock::now() >= deadline_) result_.timed_out = true;
  return 0;
}

void Tracer::handle(pid_t pid, int status) {
  if (WIFEXITED(status) || WIFSIGNALED(status)) {
    tracees_.erase(pid);
    early_.erase(pid);
    if (pid != root_) return;
    root_alive_ = false;
    if (WIFEXITED(status)) result_.exit_code = WEXITSTATUS(status);
    if (WIFSIGNALED(status)) result_.signal = WTERMSIG(status);
    return;
  }
  const int signal = WSTOPSIG(status), event = status >> 16;
  const auto found = tracees_.find(pid);
  if (found == tracees_.end()) {
    early_[pid] = true;
    return;
  }
  if (event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK || event == PTRACE_EVENT_CLONE) {
    made_process(pid);
    return resume(pid);
  }
  if (event == PTRACE_EVENT_EXEC) {
    if (pid == root_ && found->second.ordinal < 0) found->second.ordinal = 0;
    if (is_ours(pid, command_.argv.front())) return resume(pid);
    tracees_.erase(found);
    ::ptrace(PTRACE_DETACH, pid, nullptr, 0L);
    return;
  }
  if (event != 0) return resume(pid);
  if (signal == kSystemCall) return on_system_call(pid, found->second);
  resume(pid, signal);
}

void Tracer::made_process(pid_t parent) {
  unsigned long message = 0;
  if (::ptrace(PTRACE_GETEVENTMSG, parent, nullptr, &message) != 0) return;
  const Tracee& maker = tracees_[parent];
  const auto child = static_cast<pid_t>(message);
  Tracee made;
  made.ordinal = processes_++;
  made.in_container = maker.in_container || maker.makes_container;
  tracees_[child] = std::move(made);
  if (early_.erase(child) != 0) resume(child);
}

void Tracer::on_system_call(pid_t pid, Tracee& tracee) {
  __ptrace_syscall_info call{};
  if (::ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof call, &call) <= 0) return resume(pid);
  if (call.op == PTRACE_SYSCALL_INFO_ENTRY && tracee.ordinal >= 0) {
    if (watching()) return on_entry(pid, tracee, call);
  } else if (call.op == PTRACE_SYSCALL_INFO_EXIT) {
    if (std::exchange(tracee.failing, false)) set_result(pid, fault_->code);
    if (std::exchange(tracee.maps_record, false) && call.exit.is_error == 0) {
      record_in_ = pid;
      record_ = static_cast<uint64_t>(call.exit.rval);
    }
  }
  resume(pid);
}

void Tracer::on_entry(pid_t pid, Tracee& tracee, const __ptrace_syscall_info& call) {
  const auto number = static_cast<long>(call.entry.nr);
  const Point point{.process = tracee.ordinal, .number = number, .nth = ++tracee.made[number]};
  tracee.makes_container = makes_container(pid, number, call.entry.args);
  tracee.maps_record = pid == root_ && number == SYS_mmap &&
                       call.entry.args[1] == sizeof(runtime::SharedRecord) &&
                       (call.entry.args[3] & MAP_SHARED) != 0;
  if (!fault_) {
    result_.calls.push_back({.point = point,
                             .about = about(pid, number, call.entry.args),
                             .in_container = tracee.in_container,
                             .started = started_steps()});
  } else if (point == fault_->at) {
    result_.hit = true;
    tracee.failing = fault_->code != 0;
    if (tracee.failing)
      skip_call(pid);
    else
      ::kill(pid, SIGKILL);
  }
  resume(pid);
}

std::vector<uint32_t> Tracer::started_steps() const {
  std::vector<runtime::SharedStep> steps(kSteps);
  std::vector<uint32_t> started;
  if (record_ == 0 || !read_memory(record_in_, record_ + offsetof(runtime::SharedRecord, steps), steps.data(),
                                   kSteps * sizeof(runtime::SharedStep)))
    return started;
  for (uint32_t i = 0; i < kSteps; ++i)
    if (steps[i].state == runtime::StepState::started) started.push_back(i);
  return started;
}

// Only the calls of the one process are of interest that the fault is in, and those until it is made.
void Tracer::resume(pid_t pid, int signal) {
  const auto found = tracees_.find(pid);
  const bool known = found != tracees_.end();
  const bool concerned = !fault_ || (known && found->second.ordinal == fault_->at.process);
  const bool calls = (watching() && concerned) || (known && found->second.failing);
  ::ptrace(calls ? PTRACE_SYSCALL : PTRACE_CONT, pid, nullptr, static_cast<long>(signal));
}

// What outlives the program goes on untraced. In any order: the first process of a pid namespace ends only after the
// others were waited for, by us.
void Tracer::let_go() {
  for (const auto& [pid, held] : early_) tracees_[pid] = {};
  for (const auto& [pid, held] : tracees_) interrupt(pid);
  for (int idle = 0; !tracees_.empty() && idle < 10'000;) {
    bool changed = false;
    for (const auto& [pid, held] : std::map(tracees_)) {
      int status = 0;
      const pid_t found = ::waitpid(pid, &status, __WALL | WNOHANG);
      if (found == 0) continue;
      changed = true;
      tracees_.erase(pid);
      if (found == pid && WIFSTOPPED(status)) detach(pid, status);
    }
    if (changed) continue;
    ++idle;
    ::usleep(1000);
  }
  for (const auto& [pid, held] : tracees_) result_.left.push_back(pid);
}

void Tracer::interrupt(pid_t pid) {
  if (result_.timed_out) ::kill(pid, SIGKILL);
  ::ptrace(PTRACE_INTERRUPT, pid, nullptr, nullptr);
}

void Tracer::detach(pid_t pid, int status) {
  result_.left.push_back(pid);
  const int event = status >> 16;
  unsigned long child = 0;
  if (event >= PTRACE_EVENT_FORK && event <= PTRACE_EVENT_CLONE &&
      ::ptrace(PTRACE_GETEVENTMSG, pid, nullptr, &child) == 0) {
    tracees_[static_cast<pid_t>(child)] = {};
    interrupt(static_cast<pid_t>(child));
  }
  const bool signalled = event == 0 && WSTOPSIG(status) != kSystemCall;
  ::ptrace(PTRACE_DETACH, pid, nullptr, signalled ? static_cast<long>(WSTOPSIG(status)) : 0L);
}

}  // namespace

std::string Watched::describe() const {
  const std::string end = timed_out     ? "hangs"
                          : signal != 0 ? fmt::format("signal {}", signal)
                                        : fmt::format("exit {}", exit_code);
  return fmt::format("{}: {}", end, err);
}

Watched watch(const test::Command& command, const std::string& scratch, std::optional<Fault> fault,
              pid_t waiting) {
  return Tracer(command, scratch, fault, waiting).run();
}

}  // namespace cloche::faults
