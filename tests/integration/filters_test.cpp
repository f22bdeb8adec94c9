// Seccomp filters and device programs in this kernel.
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "kernel/device_policy.h"
#include "kernel/seccomp.h"
#include "support/command.h"
#include "support/host_state.h"
#include "support/needs.h"
#include "sys/files.h"
#include "sys/process.h"

namespace cloche::test {
namespace {

using kernel::SeccompProgram;
using sys::Fd;

// Runs `body` in a child process: its exit code, or the signal that ended it.
template <class Body>
sys::Ending in_child(const Body& body) {
  const pid_t child = fork();
  if (child == 0) _exit(body());
  const auto ending = sys::wait_for(child);
  return ending ? *ending : sys::Ending{.status = -1};
}

// The errno of a raw call; 0 where it succeeded.
template <class... Args>
int errno_of(long number, Args... args) {
  return syscall(number, args...) < 0 ? errno : 0;
}

bool load(const SeccompProgram& program) {
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && kernel::load_seccomp(program).has_value();
}

// What `body` exits with under the default filter; 99 where it could not be loaded.
template <class Body>
sys::Ending filtered(const Body& body) {
  return in_child([&] { return load(kernel::default_seccomp_program()) ? body() : 99; });
}

class SeccompFilter : public LeaksNothing {};

TEST_F(SeccompFilter, RefusesBlockedCalls) {
  EXPECT_EQ(filtered([] { return errno_of(SYS_unshare, CLONE_NEWUSER); }).status, EPERM);
  EXPECT_EQ(filtered([] { return errno_of(SYS_mount, "none", "/", "tmpfs", 0, 0); }).status, EPERM);
  EXPECT_EQ(filtered([] { return errno_of(SYS_keyctl, 0, 0, 0, 0, 0); }).status, EPERM);
  EXPECT_EQ(filtered([] { return errno_of(SYS_bpf, 9999, 0, 0); }).status, EPERM);
  EXPECT_EQ(filtered([] { return errno_of(SYS_io_uring_setup, 1, 0); }).status, EPERM);
  EXPECT_EQ(filtered([] { return errno_of(SYS_userfaultfd, 0); }).status, EPERM);
  EXPECT_EQ(filtered([] { return errno_of(SYS_clone3, 0, 0); }).status, ENOSYS);
  EXPECT_EQ(filtered([] { return errno_of(9999); }).status, ENOSYS);
  EXPECT_EQ(filtered([] { return errno_of(SYS_ioctl, 0, TIOCSTI, "x"); }).status, EPERM);
}

TEST_F(SeccompFilter, LetsProgramsRun) {
  EXPECT_EQ(filtered([] { return errno_of(SYS_getppid); }).status, 0);
  EXPECT_EQ(filtered([] {
              const pid_t child = fork();
              if (child == 0) _exit(0);
              return child > 0 && waitpid(child, nullptr, 0) == child ? 0 : 1;
            }).status,
            0);
  EXPECT_EQ(filtered([] {
              execl("/bin/sh", "sh", "-c", "ls / | cat >/dev/null && exit 7", nullptr);
              return 98;
            }).status,
            7);
}

TEST_F(SeccompFilter, SocketFamilies) {
  for (const int family : {AF_UNIX, AF_INET, AF_NETLINK})
    EXPECT_EQ(filtered([&] {
                return errno_of(SYS_socket, family, family == AF_NETLINK ? SOCK_RAW : SOCK_STREAM, 0);
              }).status,
              0)
        << family;
  for (int family = 0; family <= 45; ++family) {
    if (family == AF_UNIX || family == AF_INET || family == AF_INET6 || family == AF_NETLINK) continue;
    EXPECT_EQ(filtered([&] { return errno_of(SYS_socket, family, SOCK_STREAM, 0); }).status, EPERM) << family;
  }
}

#if defined(__x86_64__)
TEST_F(SeccompFilter, KillsForeignArchitectures) {
  EXPECT_EQ(filtered([] { return errno_of(0x40000000 | SYS_getppid); }).signal, SIGSYS) << "x32";
  const auto int80 = [] {
    long result = 359;  // socket(AF_ALG, SOCK_SEQPACKET, 0) of i386
    asm volatile("int $0x80" : "+a"(result) : "b"(38L), "c"(5L), "d"(0L) : "memory");
    return 0;
  };
  const sys::Ending without = in_child(int80);
  if (without.signal != 0) GTEST_SKIP() << "needs a kernel with 32-bit system calls";
  EXPECT_EQ(filtered(int80).signal, SIGSYS);
}
#endif

TEST_F(SeccompFilter, NeedsNoNewPrivilegesOrSysAdmin) {
  const sys::Ending ending = in_child([] {
    if (setresuid(65534, 65534, 65534) != 0 && geteuid() == 0) return 1;
    const auto loaded = kernel::load_seccomp(kernel::default_seccomp_program());
    return loaded ? 0 : loaded.error().code;
  });
  EXPECT_EQ(ending.status, EACCES);
}

TEST_F(SeccompFilter, ASupervisorIsAsked) {
  const auto program = kernel::compile_seccomp(
      {.defaultAction = "SCMP_ACT_ALLOW", .syscalls = {{.names = {"getppid"}, .action = "SCMP_ACT_NOTIFY"}}});
  ASSERT_TRUE(program) << program.error().message();
  const sys::Ending ending = in_child([&] {
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return 1;
    const auto listener = kernel::load_seccomp_with_listener(*program);
    if (!listener) return 2;
    const pid_t asking = fork();
    if (asking == 0) _exit(errno_of(SYS_getppid));
    seccomp_notif request{};
    if (ioctl(listener->get(), SECCOMP_IOCTL_NOTIF_RECV, &request) != 0) return 3;
    seccomp_notif_resp response{.id = request.id, .error = -EXDEV};
    if (ioctl(listener->get(), SECCOMP_IOCTL_NOTIF_SEND, &response) != 0) return 4;
    const auto answered = sys::wait_for(asking);
    return answered && answered->status == EXDEV && request.data.nr == SYS_getppid ? 0 : 5;
  });
  EXPECT_EQ(ending.status, 0);
}

class DeviceProgram : public LeaksNothing {
 protected:
  // A cgroup of this test; its removal is the test's end.
  void SetUp() override {
    LeaksNothing::SetUp();
    top_ = shell("awk '$3 == \"cgroup2\" {printf \"%s\", $2; exit}' /proc/mounts").out;
  }
  void TearDown() override {
    EXPECT_TRUE(path_.empty() || rmdir(path_.c_str()) == 0) << errno;
    LeaksNothing::TearDown();
  }
  Fd make_cgroup() {
    path_ = top_ + "/cloche-device-test";
    EXPECT_EQ(mkdir(path_.c_str(), 0755), 0) << errno;
    auto directory = sys::open_at(AT_FDCWD, path_, O_RDONLY | O_DIRECTORY);
    return directory ? *std::move(directory) : Fd();
  }
  // The errno of opening `path` from inside the cgroup; 0 where it opens.
  static int open_inside(const Fd& cgroup, const std::string& path, int flags) {
    const auto cloned = sys::clone_process({.cgroup = cgroup.get()});
    if (!cloned) return -1;
    if (std::holds_alternative<sys::Child>(*cloned)) _exit(open(path.c_str(), flags) < 0 ? errno : 0);
    const auto ending = sys::wait_for(std::get<sys::Parent>(*cloned).child);
    return ending ? ending->exit_code() : -1;
  }
  // A node of our own, so that no test depends on what /dev holds.
  std::string node(const char* name, mode_t type, unsigned major, unsigned minor) {
    std::string path = scratch() + "/" + name;
    EXPECT_EQ(mknod(path.c_str(), type | 0666, makedev(major, minor)), 0) << errno;
    return path;
  }
  std::string top_, path_;
};

TEST_F(DeviceProgram, AllowsAndRefuses) {
  CLOCHE_NEEDS(needs::root());
  CLOCHE_NEEDS(needs::cgroup2());
  const Fd cgroup = make_cgroup();
  ASSERT_TRUE(cgroup.valid());
  const std::string null = node("null", S_IFCHR, 1, 3), mem = node("mem", S_IFCHR, 1, 1);
  const std::string loop = node("loop", S_IFBLK, 7, 0);
  ASSERT_NE(open_inside(cgroup, mem, O_RDONLY), EPERM) << "without a program nothing is refused";

  const auto program = kernel::load_device_program(
      std::vector<spec::DeviceCgroup>{{.allow = true, .type = "a", .access = "m"},
                                      {.allow = true, .type = "c", .major = 1, .minor = 3, .access = "rwm"},
                                      {.allow = true, .type = "c", .major = 136, .access = "rwm"}});
  ASSERT_TRUE(program) << program.error().message();
  const auto attached = kernel::attach_device_program(cgroup, *program);
  ASSERT_TRUE(attached) << attached.error().message();
  EXPECT_EQ(open_inside(cgroup, null, O_RDWR), 0);
  EXPECT_EQ(open_inside(cgroup, mem, O_RDONLY), EPERM);
  EXPECT_EQ(open_inside(cgroup, loop, O_RDONLY), EPERM);
}

TEST_F(DeviceProgram, ANewOneReplacesTheOld) {
  CLOCHE_NEEDS(needs::root());
  CLOCHE_NEEDS(needs::cgroup2());
  const Fd cgroup = make_cgroup();
  ASSERT_TRUE(cgroup.valid());
  const std::string null = node("null", S_IFCHR, 1, 3);
  const auto attach = [&](const std::vector<spec::DeviceCgroup>& rules) {
    const auto program = kernel::load_device_program(rules);
    ASSERT_TRUE(program) << program.error().message();
    const auto attached = kernel::attach_device_program(cgroup, *program);
    ASSERT_TRUE(attached) << attached.error().message();
  };
  attach({{.allow = false}});
  EXPECT_EQ(open_inside(cgroup, null, O_RDONLY), EPERM);
  attach({{.allow = true, .type = "c", .major = 1, .minor = 3, .access = "r"}});
  EXPECT_EQ(open_inside(cgroup, null, O_RDONLY), 0) << "were the old one still there, it would refuse";
  EXPECT_EQ(open_inside(cgroup, null, O_RDWR), EPERM);
  attach({{.allow = true}});
  EXPECT_EQ(open_inside(cgroup, null, O_RDWR), 0);
}

// Every rule's shape passes the verifier of this kernel.
TEST_F(DeviceProgram, EveryShapeLoads) {
  CLOCHE_NEEDS(needs::root());
  for (const bool allow : {false, true})
    for (const char* type : {"a", "b", "c"})
      for (const char* access : {"r", "rw", "rwm"})
        for (const int64_t major : {-1, 1})
          for (const int64_t minor : {-1, 3}) {
            const std::vector<spec::DeviceCgroup> rules = {
                {.allow = true, .type = "c", .major = 5},
                {.allow = allow, .type = type, .major = major, .minor = minor, .access = access}};
            const auto program = kernel::load_device_program(rules);
            EXPECT_TRUE(program) << program.error().message();
          }
  const std::vector<spec::DeviceCgroup> nothing;
  EXPECT_TRUE(kernel::load_device_program(nothing));
}

}  // namespace
}  // namespace cloche::test
