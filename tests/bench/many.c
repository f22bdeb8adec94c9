// One command many times: cloche_bench_many COUNT AT_ONCE PROGRAM [ARGUMENT...]
// "{n}" in an argument is the number of the start, from 1 on. Ends when all have ended; 1 when one of them failed.
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char* with_number(const char* text, long number) {
  const char* at = strstr(text, "{n}");
  char* made = NULL;
  if (at == NULL) return strdup(text);
  return asprintf(&made, "%.*s%ld%s", (int)(at - text), text, number, at + 3) < 0 ? NULL : made;
}

static int start(char* const* words, int count, long number) {
  char* argv[count + 1];
  for (int i = 0; i < count; ++i)
    if ((argv[i] = with_number(words[i], number)) == NULL) return -1;
  argv[count] = NULL;
  pid_t child = vfork();
  if (child == 0) {
    execv(argv[0], argv);
    _exit(127);
  }
  for (int i = 0; i < count; ++i) free(argv[i]);
  return child < 0 ? -1 : 0;
}

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  const long count = atol(argv[1]), at_once = atol(argv[2]);
  long started = 0, ended = 0;
  int failed = 0;
  while (ended < count) {
    if (started < count && started - ended < at_once) {
      if (start(argv + 3, argc - 3, ++started) < 0) return 1;
      continue;
    }
    int status = 0;
    if (wait(&status) < 0) {
      if (errno == EINTR) continue;
      return 1;
    }
    ++ended;
    failed |= status != 0;
  }
  return failed;
}
