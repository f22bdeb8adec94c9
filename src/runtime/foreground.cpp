#include "runtime/foreground.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <utility>

#include "sys/call.h"

namespace cloche::runtime {
namespace {

// Everything but what concerns this process alone, and what nobody can block.
sigset_t forwarded() {
  sigset_t set;
  sigfillset(&set);
  for (const int signal :
       {SIGKILL, SIGSTOP, SIGCHLD, SIGPIPE, SIGTTIN, SIGTTOU, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT})
    sigdelset(&set, signal);
  return set;
}

bool write_all(int to, const char* bytes, size_t count) {
  while (count > 0) {
    const ssize_t wrote = ::write(to, bytes, count);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0 && errno == EAGAIN) {
      pollfd room{.fd = to, .events = POLLOUT, .revents = 0};
      ::poll(&room, 1, -1);
      continue;
    }
    if (wrote < 0) return false;
    bytes += wrote;
    count -= static_cast<size_t>(wrote);
  }
  return true;
}

// A process that calls PTRACE_TRACEME makes its parent its tracer: it stops at its next signal and would stay so.
void release_if_traced(pid_t pid) {
  siginfo_t info{};
  while (::waitid(P_PID, static_cast<id_t>(pid), &info, WSTOPPED | WNOHANG) == 0 && info.si_pid == pid) {
    if (info.si_code == CLD_TRAPPED)
      ::ptrace(PTRACE_DETACH, pid, nullptr,
               info.si_status == SIGTRAP ? 0L : static_cast<long>(info.si_status));
    info = {};
  }
}

bool asks_to_end(int signal) { return signal == SIGINT || signal == SIGTERM || signal == SIGQUIT; }

enum class Pumped { some, nothing, end };
Pumped pump(int from, int to) {
  std::array<char, 16384> bytes{};
  const ssize_t got = ::read(from, bytes.data(), bytes.size());
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return Pumped::nothing;
  // EIO: every slave of the terminal is closed (pty(7)).
  if (got <= 0) return Pumped::end;
  return write_all(to, bytes.data(), static_cast<size_t>(got)) ? Pumped::some : Pumped::end;
}

void copy_window_size(const sys::Fd& terminal) {
  winsize size{};
  if (::ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0 || ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
    ::ioctl(terminal.get(), TIOCSWINSZ, &size);
}

}  // namespace

sys::Result<Foreground> Foreground::prepare(int patience) {
  sigset_t set = forwarded();
  sigaddset(&set, SIGCHLD);
  sigset_t before;
  if (::sigprocmask(SIG_BLOCK, &set, &before) != 0) return sys::fail(errno, "sigprocmask(SIG_BLOCK)");
  const int raw = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (raw < 0) {
    const int code = errno;
    ::sigprocmask(SIG_SETMASK, &before, nullptr);
    return sys::fail(code, "signalfd()");
  }
  return Foreground(sys::Fd(raw), before, patience);
}

Foreground::Foreground(Foreground&& other) noexcept
    : signals_(std::move(other.signals_)),
      before_(other.before_),
      patience_(other.patience_),
      requests_(other.requests_),
      active_(std::exchange(other.active_, false)),
      mode_(std::exchange(other.mode_, {})) {}

Foreground::~Foreground() {
  if (mode_) ::tcsetattr(STDIN_FILENO, TCSADRAIN, &*mode_);
  if (active_) ::sigprocmask(SIG_SETMASK, &before_, nullptr);
}

void Foreground::take_terminal() {
  termios mode{};
  if (::tcgetattr(STDIN_FILENO, &mode) != 0) return;
  mode_ = mode;
  ::cfmakeraw(&mode);
  ::tcsetattr(STDIN_FILENO, TCSADRAIN, &mode);
}

void Foreground::forward_signals(pid_t pid, const sys::Fd& pidfd, const sys::Fd& terminal) {
  signalfd_siginfo info{};
  while (::read(signals_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    const int signal = static_cast<int>(info.ssi_signo);
    if (signal == SIGCHLD)
      release_if_traced(pid);
    else if (signal == SIGWINCH && terminal.valid())
      copy_window_size(terminal);
    else if (signal == SIGTSTP && !terminal.valid())
      ::raise(SIGSTOP);  // the shell's ^Z stops this process; the container goes on
    else if (asks_to_end(signal) && ++requests_ == patience_)
      (void)sys::signal_process(pidfd, SIGKILL);
    else
      (void)sys::signal_process(pidfd, signal);
  }
}

sys::Result<sys::Ending> Foreground::stand_by(pid_t pid, const sys::Fd& pidfd, const sys::Fd& terminal,
                                              bool interactive) {
  if (terminal.valid()) {
    copy_window_size(terminal);
    if (interactive) take_terminal();
    ::fcntl(terminal.get(), F_SETFL, O_RDWR | O_NONBLOCK);
  }
  enum { kEnded, kSignals, kOutput, kInput };
  std::array<pollfd, 4> watched{};
  watched[kEnded] = {.fd = pidfd.get(), .events = POLLIN, .revents = 0};
  watched[kSignals] = {.fd = signals_.get(), .events = POLLIN, .revents = 0};
  watched[kOutput] = {.fd = terminal.valid() ? terminal.get() : -1, .events = POLLIN, .revents = 0};
  watched[kInput] = {
      .fd = terminal.valid() && interactive ? STDIN_FILENO : -1, .events = POLLIN, .revents = 0};
  for (;;) {
    if (::poll(watched.data(), watched.size(), -1) < 0 && errno != EINTR) return sys::fail(errno, "poll()");
    if (watched[kSignals].revents != 0) forward_signals(pid, pidfd, terminal);
    if (watched[kOutput].revents != 0 && pump(terminal.get(), STDOUT_FILENO) == Pumped::end)
      watched[kOutput].fd = -1;
    if (watched[kInput].revents != 0 && pump(STDIN_FILENO, terminal.get()) == Pumped::end) {
      // The end of our input is ^D to a terminal in its usual mode.
      constexpr char kEndOfTransmission = 4;
      write_all(terminal.get(), &kEndOfTransmission, 1);
      watched[kInput].fd = -1;
    }
    if (watched[kEnded].revents != 0) break;
  }
  // What was written before the end is still in the terminal. Another process may hold the slave: no waiting.
  while (watched[kOutput].fd >= 0 && pump(terminal.get(), STDOUT_FILENO) == Pumped::some) {
  }
  return sys::wait_for(pid);
}

}  // namespace cloche::runtime
