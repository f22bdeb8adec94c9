// Process 1 of the guest. Out of the host's files it makes a machine that keeps every controller on cgroup v2, runs
// one command there, leaves its exit status in the share and ends the machine.
// The name of the share comes as cloche_vm_share=DIRECTORY: what the kernel's command line holds and the kernel does
// not know is in the environment of process 1.
#include <dirent.h>
#include <fcntl.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <set>
#include <string>

namespace {

// Ends the machine without a status; tests/vm/guest then shows the end of the console, with this.
[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "guest init: %s: %s\n", what.c_str(), std::strerror(errno));
  reboot(RB_AUTOBOOT);
  _exit(1);
}

void write_file(const std::string& path, const std::string& text) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0 || write(fd, text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    fail("write " + text + " to " + path);
  close(fd);
}

void make_directories(const std::string& path) {
  for (size_t end = 1; end != std::string::npos;) {
    end = path.find('/', end + 1);
    mkdir(path.substr(0, end).c_str(), 0755);
  }
}

void mount_at(const std::string& target, const char* source, const char* type, unsigned long flags,
              const std::string& options = "") {
  make_directories(target);
  if (mount(source, target.c_str(), type, flags, options.c_str()) != 0)
    fail(std::string("mount ") + type + " at " + target);
}

// A module that needs another is refused with ENOENT until that one is there, so no list of dependencies is needed.
void load_modules(const std::string& directory) {
  std::set<std::string> waiting;
  DIR* const listing = opendir(directory.c_str());
  if (listing == nullptr) fail("open " + directory);
  while (const dirent* entry = readdir(listing))
    if (entry->d_name[0] != '.') waiting.insert(directory + "/" + entry->d_name);
  closedir(listing);
  for (size_t before = 0; before != waiting.size();) {
    before = waiting.size();
    std::erase_if(waiting, [](const std::string& module) {
      const int fd = open(module.c_str(), O_RDONLY | O_CLOEXEC);
      const long result = syscall(SYS_finit_module, fd, "", 0);
      const int error = errno;
      close(fd);
      errno = error;
      return result == 0 || error == EEXIST;
    });
  }
  if (!waiting.empty()) fail("load " + *waiting.begin());
}

const std::string k9p = "trans=virtio,version=9p2000.L,msize=512000";

// The host's files, never written: a tmpfs takes the changes. It is no part of the root, as an upper layer must be.
void make_root(const std::string& root, const std::string& share) {
  mount_at("/host", "host", "9p", MS_RDONLY, k9p + ",cache=loose");
  mount_at("/changes", "changes", "tmpfs", 0, "mode=0755");
  make_directories("/changes/upper");
  make_directories("/changes/work");
  mount_at(root, "root", "overlay", 0, "lowerdir=/host,upperdir=/changes/upper,workdir=/changes/work");
  mount_at(root + "/proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC);
  mount_at(root + "/sys", "sysfs", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC);
  mount_at(root + "/sys/fs/cgroup", "cgroup2", "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC,
           "nsdelegate,memory_recursiveprot");
  mount_at(root + "/dev", "devtmpfs", "devtmpfs", MS_NOSUID);
  mount_at(root + "/dev/pts", "devpts", "devpts", MS_NOSUID | MS_NOEXEC, "gid=5,mode=0620,ptmxmode=0666");
  mount_at(root + "/dev/shm", "shm", "tmpfs", MS_NOSUID | MS_NODEV);
  mount_at(root + "/dev/mqueue", "mqueue", "mqueue", 0);
  mount_at(root + "/run", "run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755");
  // What others do on the host in its /tmp is not to be seen, unless this very directory is there.
  if (!share.starts_with("/tmp/")) mount_at(root + "/tmp", "tmp", "tmpfs", 0, "mode=1777");
  mount_at(root + share, "share", "9p", 0, k9p + ",cache=mmap");
}

void enter_root(const std::string& root) {
  // It would stay in the mount namespace, and the kernel takes a proc that nothing covers, wherever it is, as leave to
  // give user namespaces one of their own.
  if (umount2("/proc", 0) != 0) fail("unmount /proc");
  if (chdir(root.c_str()) != 0 || mount(".", "/", nullptr, MS_MOVE, nullptr) != 0 || chroot(".") != 0)
    fail("enter " + root);
  // What systemd does at boot: programs are to see the propagation of an ordinary machine.
  if (mount(nullptr, "/", nullptr, MS_SHARED | MS_REC, nullptr) != 0) fail("make / shared");
  if (symlink("/proc/self/fd", "/dev/fd") != 0) fail("link /dev/fd");
}

// QEMU reads the host's files as the user that runs it, who may not be allowed to read these; useradd must be.
void replace_unreadable(const char* path) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 && errno != ENOENT) {
    unlink(path);
    write_file(path, "");
    chmod(path, 0640);
  }
  close(fd);
}

// The whole tree offers every controller to its children.
void hand_down_controllers() {
  std::ifstream file("/sys/fs/cgroup/cgroup.controllers");
  for (std::string controller; file >> controller;)
    write_file("/sys/fs/cgroup/cgroup.subtree_control", "+" + controller);
}

void bring_loopback_up() {
  const int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP;
  if (control < 0 || ioctl(control, SIOCSIFFLAGS, &request) != 0) fail("bring lo up");
  close(control);
}

// Status as a shell counts it.
int run(const std::string& script) {
  const pid_t child = fork();
  if (child < 0) fail("fork");
  if (child == 0) {
    setsid();
    const int terminal = open("/dev/hvc0", O_RDWR);
    if (terminal < 0) fail("open /dev/hvc0");
    ioctl(terminal, TIOCSCTTY, 0);
    for (int fd = 0; fd < 3; ++fd) dup2(terminal, fd);
    execl("/bin/bash", "bash", script.c_str(), static_cast<char*>(nullptr));
    fail("exec bash");
  }
  int status = 0;
  // As process 1 we inherit whatever is left behind, and reap it.
  for (pid_t ended = 0; ended != child;) ended = wait(&status);
  tcdrain(open("/dev/hvc0", O_WRONLY | O_NOCTTY));
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

int main() {
  mount_at("/proc", "proc", "proc", 0);
  load_modules("/modules");
  const char* const share = std::getenv("cloche_vm_share");
  if (share == nullptr) fail("cloche_vm_share");
  make_root("/root", share);
  enter_root("/root");
  for (const char* path : {"/etc/shadow", "/etc/gshadow"}) replace_unreadable(path);
  hand_down_controllers();
  bring_loopback_up();
  sethostname("guest", 5);

  const int status = run(std::string(share) + "/vm-command");
  write_file(std::string(share) + "/vm-status", std::to_string(status) + "\n");
  umount2(share, 0);
  // With QEMU's -no-reboot this is the end.
  reboot(RB_AUTOBOOT);
}
