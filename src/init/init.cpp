// cloche-init: process 1 of a container run with --init. Starts the command, forwards every signal to it, reaps what
// is left to process 1, and ends as the command ended.
//
//   cloche-init FD,STEP[,exec] REASONS PATH ARGV0 [ARG...]
//
// With `,exec` it becomes the command at once: then it is only there so that /proc/self/exe leads to it, a sealed memory
// file, and not to the runtime that a container could overwrite through it. REASONS are lines "ERRNO=why" for a failure
// of the exec. FD is the executor's socket: it is closed by a successful exec of PATH, or gets one FailureRecord
// (runtime/shared_record.h) that names step STEP. The program runs from a sealed memory file, so that /proc/1/exe
// leads to nothing of the host's.
#include <asm/ioctls.h>
#include <linux/fcntl.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/wait.h>
#include <signal.h>
#include <sys/syscall.h>

#include "init/failure_packet.h"
#include "sys/kernel_calls.h"

// The kernel enters with argc, argv and envp on the stack (x86-64 psABI, 3.4.1).
#if defined(__x86_64__)
asm(".globl _start\n_start:\n  xor %ebp, %ebp\n  mov %rsp, %rdi\n  and $-16, %rsp\n  call init_main\n  "
    "hlt\n");
#elif defined(__aarch64__)
asm(".globl _start\n_start:\n  mov x29, #0\n  mov x30, #0\n  mov x0, sp\n  bl init_main\n  brk #0\n");
#endif

namespace {

using cloche::init::FailurePacket;

[[noreturn]] void leave(int status) {
  for (;;) kernel_call(SYS_exit_group, status);
}

// All 64 signals as the kernel counts them; the C library's sigset_t is larger.
using SignalSet = unsigned long;
constexpr SignalSet kAll = ~0UL;

void block(SignalSet set) {
  kernel_call(SYS_rt_sigprocmask, SIG_SETMASK, reinterpret_cast<long>(&set), 0, sizeof set);
}

long number_at(const char*& text) {
  long number = 0;
  while (*text >= '0' && *text <= '9') number = number * 10 + (*text++ - '0');
  return number;
}

// A process group of its own, in the foreground of the terminal if there is one, so that ^C reaches the command once.
void take_the_foreground() {
  kernel_call(SYS_setpgid, 0, 0);
  int group = static_cast<int>(kernel_call(SYS_getpid));
  kernel_call(SYS_ioctl, 0, TIOCSPGRP, reinterpret_cast<long>(&group));
}

// What follows "ERRNO=" in `reasons`, up to the end of the line; "" when no line is about it.
const char* reason_for(const char* reasons, long error) {
  while (*reasons != '\0') {
    if (number_at(reasons) == error && *reasons == '=') return reasons + 1;
    while (*reasons != '\0' && *reasons != '\n') ++reasons;
    if (*reasons == '\n') ++reasons;
  }
  return reasons;
}

// argv: the reasons, the path, the arguments. The socket must not be the command's: without that it is not executed.
[[noreturn]] void become_command(long socket, long step, char** argv, char** envp) {
  long error = -kernel_call(SYS_fcntl, socket, F_SETFD, FD_CLOEXEC);
  if (error == 0)
    error = -kernel_call(SYS_execve, reinterpret_cast<long>(argv[1]), reinterpret_cast<long>(argv + 2),
                         reinterpret_cast<long>(envp));
  static FailurePacket packet;
  packet.fill(static_cast<unsigned>(step), static_cast<int>(error), argv[1], reason_for(argv[0], error));
  kernel_call(SYS_write, socket, reinterpret_cast<long>(&packet), sizeof packet);
  leave(error == 2 /* ENOENT */ ? 127 : 126);
}

// 0..255, as a shell shows it.
int shell_status(int status) {
  const int signal = status & 0x7f;
  return signal != 0 ? 128 + signal : (status >> 8) & 0xff;
}

[[noreturn]] void look_after(long command) {
  for (;;) {
    SignalSet all = kAll;
    const long signal = kernel_call(SYS_rt_sigtimedwait, reinterpret_cast<long>(&all), 0, 0, sizeof all);
    if (signal < 0) continue;
    if (signal != SIGCHLD) {
      kernel_call(SYS_kill, command, signal);
      continue;
    }
    int status = 0;
    for (long ended; (ended = kernel_call(SYS_wait4, -1, reinterpret_cast<long>(&status), WNOHANG, 0)) > 0;)
      if (ended == command) leave(shell_status(status));
  }
}

}  // namespace

extern "C" [[noreturn]] void init_main(long* stack) {
  const long argc = stack[0];
  char** argv = reinterpret_cast<char**>(stack + 1);
  char** envp = argv + argc + 1;
  if (argc < 5) leave(125);
  const char* numbers = argv[1];
  const long socket = number_at(numbers);
  if (*numbers == ',') ++numbers;
  const long step = number_at(numbers);
  if (*numbers == ',') become_command(socket, step, argv + 2, envp);
  // In a pid namespace shared with others this is not process 1, and orphans would go elsewhere.
  kernel_call(SYS_prctl, PR_SET_CHILD_SUBREAPER, 1);
  block(kAll);
  // clone(2) with nothing shared is fork(2); the argument order of the stack and flags differs by architecture, and
  // is the same where both are all but zero.
  const long command = kernel_call(SYS_clone, SIGCHLD, 0, 0, 0, 0);
  if (command == 0) {
    take_the_foreground();
    block(0);
    become_command(socket, step, argv + 2, envp);
  }
  if (command < 0) leave(125);
  kernel_call(SYS_close, socket);
  look_after(command);
}

// What the compiler may ask for even here.
extern "C" void* memset(void* to, int value, unsigned long count) {
  auto* bytes = static_cast<volatile unsigned char*>(to);
  while (count-- > 0) *bytes++ = static_cast<unsigned char>(value);
  return to;
}
