// What cloche-runtime does before the C library has begun.
#include <fcntl.h>
#include <sys/syscall.h>

#include "cli/runtime_globals.h"
#include "runtime/overlaid_program.h"
#include "sys/entry.h"
#include "sys/kernel_calls.h"

namespace cloche::cli {
namespace {

bool is(const char* word, std::string_view name) {
  for (const char c : name)
    if (*word++ != c) return false;
  return *word == '\0';
}

bool takes_the_next_word(const char* flag) {
  while (*flag == '-') ++flag;
  for (const Flag& global : kGlobals)
    if (is(flag, global.name)) return !global.value.empty();
  return false;
}

bool is_exec(const char* word) {
  return word[0] == 'e' && word[1] == 'x' && word[2] == 'e' && word[3] == 'c' && word[4] == '\0';
}

bool has_exec(char** words) {
  for (; *words != nullptr; ++words)
    if (is_exec(*words)) return true;
  return false;
}

// Of most commands it is told without the table of flags, whose pages nothing has mapped yet.
bool commands_exec(char** words) {
  if (!has_exec(words)) return false;
  for (; *words != nullptr && **words == '-'; ++words)
    if (takes_the_next_word(*words) && words[1] != nullptr) ++words;
  return *words != nullptr && is_exec(*words);
}

}  // namespace
}  // namespace cloche::cli

// `exec` runs from a file that nobody can write: processes of the container see it as soon as it has joined, and may be
// allowed to trace it (docs/decisions/0004). To begin once more here, instead of in main, saves a start of the C library.
// Where it cannot be done, main does it.
void cloche_at_entry(char** argv, char** envp) {
  if (*argv == nullptr || !cloche::cli::commands_exec(argv + 1) || cloche_runs_overlaid()) return;
  const long program = cloche_open_overlaid_program();
  if (program < 0) return;
  kernel_call(SYS_execveat, program, reinterpret_cast<long>(""), reinterpret_cast<long>(argv),
              reinterpret_cast<long>(envp), AT_EMPTY_PATH);
  kernel_call(SYS_close, program);
}
