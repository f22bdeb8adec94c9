// The default profile, call by call, without the kernel.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include <cerrno>
#include <set>

#include "bpf_interpreter.h"
#include "kernel/seccomp.h"

namespace cloche::kernel {
namespace {

using test::answer;
using test::Call;
using test::kAllow;
using test::kKillProcess;
using test::refuse;

uint32_t by_default(const Call& call) { return answer(default_seccomp_program().code, call); }

TEST(DefaultSeccomp, IsWhatTheProfileCompilesToNow) {
  const auto profile = default_seccomp_profile({});
  ASSERT_TRUE(profile) << profile.error().message();
  const auto program = compile_seccomp(*profile);
  ASSERT_TRUE(program) << program.error().message();
  const SeccompProgram& built = default_seccomp_program();
  ASSERT_EQ(program->code.size(), built.code.size());
  for (size_t i = 0; i < built.code.size(); ++i) {
    EXPECT_EQ(program->code[i].code, built.code[i].code) << i;
    EXPECT_EQ(program->code[i].jt, built.code[i].jt) << i;
    EXPECT_EQ(program->code[i].jf, built.code[i].jf) << i;
    EXPECT_EQ(program->code[i].k, built.code[i].k) << i;
  }
  EXPECT_EQ(program->flags, built.flags);
  EXPECT_TRUE(program->unknown_calls.empty()) << program->unknown_calls.front();
}

// Every call number that is not plainly allowed, with all arguments zero. What is not in this list is
// allowed.
TEST(DefaultSeccomp, RefusesTheseCallsAndNoOthers) {
  const std::set<uint32_t> refused = {
      SYS_modify_ldt,
      SYS_pivot_root,
      SYS__sysctl,
      SYS_chroot,
      SYS_acct,
      SYS_settimeofday,
      SYS_mount,
      SYS_umount2,
      SYS_swapon,
      SYS_swapoff,
      SYS_reboot,
      SYS_sethostname,
      SYS_setdomainname,
      SYS_iopl,
      SYS_ioperm,
      SYS_create_module,
      SYS_init_module,
      SYS_delete_module,
      SYS_get_kernel_syms,
      SYS_query_module,
      SYS_quotactl,
      SYS_nfsservctl,
      SYS_getpmsg,
      SYS_putpmsg,
      SYS_afs_syscall,
      SYS_tuxcall,
      SYS_security,
      SYS_lookup_dcookie,
      SYS_epoll_ctl_old,
      SYS_epoll_wait_old,
      SYS_clock_settime,
      SYS_vserver,
      SYS_mbind,
      SYS_set_mempolicy,
      SYS_get_mempolicy,
      SYS_kexec_load,
      SYS_add_key,
      SYS_request_key,
      SYS_keyctl,
      SYS_migrate_pages,
      SYS_unshare,
      SYS_move_pages,
      SYS_perf_event_open,
      SYS_fanotify_init,
      SYS_open_by_handle_at,
      SYS_setns,
      SYS_kcmp,
      SYS_finit_module,
      SYS_kexec_file_load,
      SYS_bpf,
      SYS_userfaultfd,
      SYS_uselib,
      SYS_ustat,
      SYS_sysfs,
      SYS_vhangup,
      SYS_syslog,
      SYS_io_uring_setup,
      SYS_io_uring_enter,
      SYS_io_uring_register,
      SYS_open_tree,
      SYS_move_mount,
      SYS_fsopen,
      SYS_fsconfig,
      SYS_fsmount,
      SYS_fspick,
      SYS_pidfd_getfd,
      SYS_process_madvise,
      SYS_mount_setattr,
      SYS_quotactl_fd,
      SYS_set_mempolicy_home_node,
      SYS_socket,
      457,  // statmount
      458,  // listmount
      460,  // lsm_set_self_attr
      467,  // open_tree_attr
  };
  for (uint32_t number = 0; number <= 469; ++number) {
    if (number == SYS_clone3) continue;
    if (number > 334 && number < 424) continue;  // numbers x86-64 does not use
    const bool expected = refused.contains(number);
    EXPECT_EQ(by_default({.number = number}), expected ? refuse(EPERM) : kAllow) << number;
  }
}

TEST(DefaultSeccomp, RefusesNumbersThatAreNoCalls) {
  for (uint32_t number = 335; number < 424; ++number)
    EXPECT_EQ(by_default({.number = number}), refuse(EPERM));
}

TEST(DefaultSeccomp, NewerCallsDoNotExist) {
  for (const uint32_t number : {470U, 471U, 999U, 0x3fffffffU})
    EXPECT_EQ(by_default({.number = number}), refuse(ENOSYS)) << number;
  EXPECT_EQ(by_default({.number = SYS_clone3}), refuse(ENOSYS));
}

TEST(DefaultSeccomp, KillsEveryOtherArchitecture) {
  for (uint32_t number = 0; number <= 470; ++number) {
    EXPECT_EQ(by_default({.number = number, .arch = AUDIT_ARCH_I386}), kKillProcess) << number;
    EXPECT_EQ(by_default({.number = number, .arch = AUDIT_ARCH_AARCH64}), kKillProcess) << number;
    EXPECT_EQ(by_default({.number = number | 0x40000000}), kKillProcess) << "x32 " << number;
  }
  EXPECT_EQ(by_default({.number = SYS_read, .arch = 0}), kKillProcess);
}

TEST(DefaultSeccomp, SocketFamilies) {
  const std::set<uint64_t> allowed = {1, 2, 10, 16};
  for (uint64_t family = 0; family <= 45; ++family) {
    const uint32_t expected = allowed.contains(family) ? kAllow : refuse(EPERM);
    EXPECT_EQ(by_default({.number = SYS_socket, .args = {family}}), expected) << family;
    EXPECT_EQ(by_default({.number = SYS_socket, .args = {family | uint64_t{1} << 32}}), refuse(EPERM))
        << family;
  }
}

TEST(DefaultSeccomp, TiocstiHasNoDisguise) {
  const auto ioctl_answer = [](uint64_t request) {
    return by_default({.number = SYS_ioctl, .args = {0, request}});
  };
  for (const uint64_t upper : {uint64_t{0}, uint64_t{1} << 32, uint64_t{0xffffffff} << 32})
    EXPECT_EQ(ioctl_answer(upper | TIOCSTI), refuse(EPERM)) << upper;
  EXPECT_EQ(ioctl_answer(TCGETS), kAllow);
  EXPECT_EQ(ioctl_answer(0), kAllow);
  for (int bit = 0; bit < 32; ++bit) EXPECT_EQ(ioctl_answer(TIOCSTI ^ (uint64_t{1} << bit)), kAllow) << bit;
}

TEST(DefaultSeccomp, NoNewNamespaces) {
  const auto clone_answer = [](uint64_t flags) { return by_default({.number = SYS_clone, .args = {flags}}); };
  for (const uint64_t flag :
       {CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET})
    EXPECT_EQ(clone_answer(flag | 17), refuse(EPERM)) << flag;
  EXPECT_EQ(clone_answer(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD), kAllow);
}

TEST(DefaultSeccomp, Personality) {
  const auto persona = [](uint64_t value) {
    return by_default({.number = SYS_personality, .args = {value}});
  };
  EXPECT_EQ(persona(0), kAllow);
  EXPECT_EQ(persona(0xffffffff), kAllow);
  EXPECT_EQ(persona(0x0040000), refuse(EPERM)) << "ADDR_NO_RANDOMIZE";
}

TEST(DefaultSeccomp, CapabilitiesOpenTheirCalls) {
  const CapabilitySet admin{21};
  EXPECT_TRUE(default_seccomp_conditions().contains(admin));
  const auto program = default_seccomp_program_for(admin);
  ASSERT_TRUE(program) << program.error().message();
  for (const uint32_t number :
       {uint32_t{SYS_mount}, uint32_t{SYS_unshare}, uint32_t{SYS_clone3}, uint32_t{SYS_bpf}})
    EXPECT_EQ(answer(program->code, {.number = number}), kAllow) << number;
  EXPECT_EQ(answer(program->code, {.number = SYS_clone, .args = {CLONE_NEWNS}}), kAllow);
  EXPECT_EQ(answer(program->code, {.number = SYS_reboot}), refuse(EPERM));
  EXPECT_EQ(answer(program->code, {.number = SYS_io_uring_setup}), refuse(EPERM));
  const CapabilitySet chown{0};
  const auto plain = default_seccomp_program_for(chown);
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->code.size(), default_seccomp_program().code.size());
}

}  // namespace
}  // namespace cloche::kernel
