// Standing by while a command runs: signals go on to it, the caller's terminal becomes its terminal, and its end is
// waited for.
#pragma once

#include <termios.h>

#include <optional>

#include "sys/error.h"
#include "sys/fd.h"
#include "sys/process.h"

namespace cloche::runtime {

class Foreground {
 public:
  // Before the clone, so that no signal is lost: blocks what will be forwarded and opens a signalfd(2) for it. The
  // container side unblocks its own (the step "signals").
  // `patience`: that many requests to end (INT, TERM, QUIT) and the last one is a KILL, since process 1 of a pid
  // namespace gets none that it does not handle; 0: every one is handed on as it is.
  static sys::Result<Foreground> prepare(int patience = 0);
  Foreground(Foreground&& other) noexcept;
  Foreground& operator=(Foreground&&) = delete;
  Foreground(const Foreground&) = delete;
  Foreground& operator=(const Foreground&) = delete;
  // Unblocks the signals and gives the caller's terminal back its mode.
  ~Foreground();

  // Until the child `pid` has ended; reaps it. With a valid `terminal` (the master of its pseudoterminal), bytes are
  // relayed between it and descriptors 0 and 1, and window sizes follow; without `interactive`, only its output.
  sys::Result<sys::Ending> stand_by(pid_t pid, const sys::Fd& pidfd, const sys::Fd& terminal,
                                    bool interactive);

 private:
  Foreground(sys::Fd signals, sigset_t before, int patience)
      : signals_(std::move(signals)), before_(before), patience_(patience) {}
  void take_terminal();
  void forward_signals(pid_t pid, const sys::Fd& pidfd, const sys::Fd& terminal);

  sys::Fd signals_;
  sigset_t before_;
  int patience_ = 0, requests_ = 0;
  bool active_ = true;
  std::optional<termios> mode_;  // the caller's terminal as it was
};

}  // namespace cloche::runtime
