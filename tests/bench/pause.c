// What a container runs that others are executed in: it waits for the signal that ends it.
#include <signal.h>
#include <unistd.h>

static void end(int signal) { _exit(128 + signal); }

int main(void) {
  // The first process of a pid namespace ignores signals that it has no handler for.
  signal(SIGTERM, end);
  for (;;) pause();
}
