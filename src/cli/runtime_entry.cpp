// What cloche-runtime does before the C library has begun.
#include <fcntl.h>
#include <sys/syscall.h>

#include "runtime/overlaid_program.h"
#include "sys/entry.h"
#include "sys/kernel_calls.h"

// `exec` runs from a file that nobody can write: processes of the container see it as soon as it has joined, and may be
// allowed to trace it (docs/decisions/0004). To begin once more here, instead of in main, saves a start of the C library.
// Where it cannot be done, or the word means something else, main does what is right.
void cloche_at_entry(char** argv, char** envp) {
  const auto is_exec = [](const char* word) {
    return word[0] == 'e' && word[1] == 'x' && word[2] == 'e' && word[3] == 'c' && word[4] == '\0';
  };
  bool exec = false;
  for (char** word = argv; *word != nullptr && !exec; ++word) exec = is_exec(*word);
  if (!exec || cloche_runs_overlaid()) return;
  const long program = cloche_open_overlaid_program();
  if (program < 0) return;
  kernel_call(SYS_execveat, program, reinterpret_cast<long>(""), reinterpret_cast<long>(argv),
              reinterpret_cast<long>(envp), AT_EMPTY_PATH);
  kernel_call(SYS_close, program);
}
