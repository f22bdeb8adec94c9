// What code a program executes: cloche_bench_text OUTPUT PROGRAM [ARGUMENT...]
// Runs PROGRAM and its children instruction by instruction (ptrace(2), PTRACE_SINGLESTEP) and appends each address of
// its text to OUTPUT when it is executed for the first time: sixteen hexadecimal digits a line, behind "first " for the
// first process, behind "child " for any of the others. PROGRAM must be static and not position independent. A child
// that executes another file is left alone from there on; one that is still there when PROGRAM has ended goes on by
// itself.
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { kMost = 64 };
struct process {
  pid_t pid;
  int ours;  // it executes PROGRAM
};
static struct process processes[kMost];
static off_t size;  // PROGRAM's; also a sealed copy of it is known by that
static unsigned long text, text_end;
static unsigned char* seen;
static FILE* output;

static void give_up(const char* what) {
  fprintf(stderr, "cloche_bench_text: %s: %s\n", what, strerror(errno));
  exit(125);
}

static int executes_ours(pid_t pid) {
  char link[64];
  struct stat status;
  snprintf(link, sizeof link, "/proc/%d/exe", pid);
  return stat(link, &status) == 0 && status.st_size == size;
}

static struct process* process_of(pid_t pid) {
  struct process* free_one = NULL;
  for (int i = 0; i < kMost; ++i) {
    if (processes[i].pid == pid) return &processes[i];
    if (processes[i].pid == 0 && free_one == NULL) free_one = &processes[i];
  }
  if (free_one == NULL) give_up("too many processes");
  free_one->pid = pid;
  free_one->ours = executes_ours(pid);
  return free_one;
}

// The executable segment.
static void read_program(const char* path) {
  Elf64_Ehdr header;
  Elf64_Phdr segment;
  struct stat status;
  FILE* file = fopen(path, "rb");
  if (file == NULL || fstat(fileno(file), &status) < 0 || fread(&header, sizeof header, 1, file) != 1)
    give_up(path);
  size = status.st_size;
  for (int i = 0; i < header.e_phnum; ++i) {
    if (fseek(file, (long)(header.e_phoff + i * sizeof segment), SEEK_SET) < 0 ||
        fread(&segment, sizeof segment, 1, file) != 1)
      give_up(path);
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_X) == 0) continue;
    text = segment.p_vaddr;
    text_end = segment.p_vaddr + segment.p_memsz;
  }
  fclose(file);
  seen = calloc(1, text_end - text);
  if (seen == NULL) give_up("calloc");
}

static void note(pid_t pid, pid_t first) {
  const unsigned char whose = pid == first ? 1 : 2;
  const unsigned long at = (unsigned long)ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user_regs_struct, rip), 0);
  if (at < text || at >= text_end || (seen[at - text] & whose) != 0) return;
  seen[at - text] |= whose;
  fprintf(output, "%s %016lx\n", pid == first ? "first" : "child", at);
}

static void let_the_others_go(void) {
  for (int i = 0; i < kMost; ++i) {
    const pid_t pid = processes[i].pid;
    if (pid == 0) continue;
    kill(pid, SIGSTOP);
    waitpid(pid, NULL, __WALL);
    ptrace(PTRACE_DETACH, pid, 0, 0);
    kill(pid, SIGCONT);
  }
}

static pid_t start(char** argv) {
  const pid_t pid = fork();
  if (pid != 0) return pid;
  ptrace(PTRACE_TRACEME, 0, 0, 0);
  execv(argv[0], argv);
  _exit(127);
}

// Until `first` has ended; its exit status.
static int follow(pid_t first) {
  for (;;) {
    int status = 0;
    const pid_t pid = waitpid(-1, &status, __WALL);
    if (pid < 0) give_up("waitpid");
    struct process* process = process_of(pid);
    if (WIFEXITED(status) || WIFSIGNALED(status)) {
      process->pid = 0;
      if (pid != first) continue;
      let_the_others_go();
      return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    const int event = status >> 16, signal = WSTOPSIG(status);
    if (event == PTRACE_EVENT_EXEC) process->ours = executes_ours(pid);
    if (process->ours && signal == SIGTRAP && event == 0) note(pid, first);
    const int pass_on = event != 0 || signal == SIGTRAP || signal == SIGSTOP ? 0 : signal;
    ptrace(process->ours ? PTRACE_SINGLESTEP : PTRACE_CONT, pid, 0, pass_on);
  }
}

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  read_program(argv[2]);
  output = fopen(argv[1], "a");
  if (output == NULL) give_up(argv[1]);
  const pid_t first = start(argv + 2);
  if (first < 0 || waitpid(first, NULL, 0) < 0) give_up("fork");
  ptrace(PTRACE_SETOPTIONS, first, 0,
         PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL);
  process_of(first);
  ptrace(PTRACE_SINGLESTEP, first, 0, 0);
  const int status = follow(first);
  return fclose(output) == 0 ? status : 125;
}
