// The floor: what any runtime must ask of the kernel to run a static program under the default OCI spec, and nothing
// else. No configuration is read, no state is written, nothing is checked twice. It is a measure, not a runtime.
//
//   cloche_floor [--bare] [--skip LIST] [--use LIST] [--ballast MIB] [--repeat N] [--trace] ROOTFS
//
// --bare     clone3, exec and wait only
// --skip     leaves parts out, to see what they cost; the names are those given to part() below
// --use      takes another way for a part, to compare; the names are those given to use() below
// --ballast  touches so much memory first, as a larger runtime would have
// --trace    microseconds of each call on stderr; with --repeat, over so many runs in this process
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <net/if.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// The C library's <sys/mount.h> and <linux/mount.h> cannot be included together.
#define MS_SLAVE_REC ((1UL << 19) | 16384UL)
#define MS_NOSUID_NODEV_NOEXEC (2UL | 4UL | 8UL)
#define MNT_DETACH 2
#ifndef SYS_open_tree_attr
#define SYS_open_tree_attr 467  // Linux 6.15
#endif

enum { kMaxCalls = 256, kMaxRuns = 1000 };
static struct {
  const char* name[kMaxCalls];
  float us[kMaxCalls][kMaxRuns];
  int calls;
}* trace;
static int run_index, call_index;
static bool tracing;
static const char *skipped = "", *used = "";

static bool listed(const char* list, const char* name) {
  size_t length = strlen(name);
  for (const char* at = list; (at = strstr(at, name)) != NULL; at += length)
    if ((at == list || at[-1] == ',') && (at[length] == ',' || at[length] == 0)) return true;
  return false;
}
static bool part(const char* name) { return !listed(skipped, name); }
static bool use(const char* name) { return listed(used, name); }

static double now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}
static void __attribute__((noinline)) record(const char* name, double us) {
  if (call_index < kMaxCalls && run_index < kMaxRuns) {
    trace->name[call_index] = name;
    trace->us[call_index][run_index] = (float)us;
    if (++call_index > trace->calls) trace->calls = call_index;
  }
}
static pid_t owner;
static int cgroup_tree = -1;
static char cgroup_name[40];

static void die(const char* what) {
  dprintf(2, "floor: %s: %s\n", what, strerror(errno));
  if (getpid() == owner && cgroup_tree >= 0) unlinkat(cgroup_tree, cgroup_name, AT_REMOVEDIR);
  _exit(125);
}
// One kernel call: it must succeed; timed where asked for.
#define DO(name, call)                            \
  ({                                              \
    double begin_ = tracing ? now_us() : 0;       \
    long result_ = (long)(call);                  \
    if (tracing) record(name, now_us() - begin_); \
    if (result_ < 0) die(name);                   \
    result_;                                      \
  })

static int root = -1, null_file = -1, empty_dir = -1, cgroup = -1;

// ---- mounts ---------------------------------------------------------------------------------------------------

// A new superblock: "key=value" parameters, then the mount's attributes. Returns the detached mount.
static int make_mount(const char* type, unsigned attributes, ...) {
  char name[64];
  snprintf(name, sizeof name, "fsopen+fsconfig+fsmount %s", type);
  double begin = tracing ? now_us() : 0;
  int context = (int)syscall(SYS_fsopen, type, FSOPEN_CLOEXEC);
  if (context < 0) die(name);
  va_list parameters;
  va_start(parameters, attributes);
  for (const char *key, *value; (key = va_arg(parameters, const char*)) != NULL;) {
    value = va_arg(parameters, const char*);
    if (syscall(SYS_fsconfig, context, value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, key, value, 0) < 0)
      die(key);
  }
  va_end(parameters);
  double create = tracing ? now_us() : 0;
  if (syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0) die(name);
  if (tracing) {
    char* label = strdup(name);  // of the shared address space, or of a copy that is read in the same place
    snprintf(label, strlen(name) + 1, "create sb %s", type);
    record(label, now_us() - create);
  }
  int mount = (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, attributes);
  if (mount < 0) die(name);
  if (!use("no-close")) close(context);
  if (tracing) {
    char* label = strdup(name);
    snprintf(label, strlen(name) + 1, "whole new mount %s", type);
    record(label, now_us() - begin);
  }
  return mount;
}
static void attach(int mount, int directory, const char* path) {
  DO("move_mount", syscall(SYS_move_mount, mount, "", directory, path, MOVE_MOUNT_F_EMPTY_PATH));
}
static void new_mount_classic(const char* type, const char* target, unsigned long flags, const char* data) {
  DO(type, syscall(SYS_mount, type, target, type, flags, data));
}
// A private copy of the mount at `path`, with attributes set.
static int copy_mount(int directory, const char* path, unsigned attributes) {
  struct mount_attr attr = {.attr_set = attributes};
  unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (*path ? 0 : AT_EMPTY_PATH);
  if (attributes && use("open_tree_attr"))
    return (int)DO("open_tree_attr", syscall(SYS_open_tree_attr, directory, path, flags, &attr, sizeof attr));
  int copy = (int)DO("open_tree clone", syscall(SYS_open_tree, directory, path, flags));
  if (attributes)
    DO("mount_setattr", syscall(SYS_mount_setattr, copy, "", AT_EMPTY_PATH, &attr, sizeof attr));
  return copy;
}

static void fill_dev(int dev) {
  static const struct {
    const char* name;
    unsigned major, minor;
  } nodes[] = {{"null", 1, 3},   {"zero", 1, 5},    {"full", 1, 7},
               {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}};
  static const char* const links[][2] = {{"/proc/self/fd", "fd"},       {"/proc/self/fd/0", "stdin"},
                                         {"/proc/self/fd/1", "stdout"}, {"/proc/self/fd/2", "stderr"},
                                         {"/proc/kcore", "core"},       {"pts/ptmx", "ptmx"}};
  double begin = now_us();
  for (size_t i = 0; i < sizeof nodes / sizeof nodes[0]; ++i)
    if (mknodat(dev, nodes[i].name, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)) < 0)
      die("mknodat");
  if (tracing) record("6 x mknodat", now_us() - begin);
  begin = now_us();
  for (size_t i = 0; i < sizeof links / sizeof links[0]; ++i)
    if (symlinkat(links[i][0], dev, links[i][1]) < 0) die("symlinkat");
  if (mkdirat(dev, "pts", 0755) < 0 || mkdirat(dev, "shm", 0755) < 0 || mkdirat(dev, "mqueue", 0755) < 0)
    die("mkdirat");
  if (tracing) record("6 x symlinkat, 3 x mkdirat", now_us() - begin);
}

static void mounts_by_descriptor(void) {
  const unsigned safe = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  if (part("proc")) attach(make_mount("proc", 0, NULL), root, "proc");
  if (part("dev")) {
    int dev = make_mount("tmpfs", MOUNT_ATTR_NOSUID | MOUNT_ATTR_STRICTATIME, "mode", "755", "size", "65536k",
                         NULL);
    fill_dev(dev);
    attach(dev, root, "dev");
    if (part("pts"))
      attach(make_mount("devpts", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, "newinstance", NULL, "ptmxmode",
                        "0666", "mode", "0620", "gid", "5", NULL),
             dev, "pts");
    if (part("shm")) attach(make_mount("tmpfs", safe, "mode", "1777", "size", "65536k", NULL), dev, "shm");
    if (part("mqueue")) attach(make_mount("mqueue", safe, NULL), dev, "mqueue");
    null_file = (int)DO("openat /dev/null", openat(dev, "null", O_PATH | O_CLOEXEC));
  }
  if (part("sysfs")) {
    attach(make_mount("sysfs", safe | MOUNT_ATTR_RDONLY, NULL), root, "sys");
    if (part("cgroup2")) attach(make_mount("cgroup2", safe | MOUNT_ATTR_RDONLY, NULL), root, "sys/fs/cgroup");
  }
}
static void mounts_by_path(void) {
  new_mount_classic("proc", "proc", 0, NULL);
  new_mount_classic("tmpfs", "dev", 2UL | (1UL << 24), "mode=755,size=65536k");
  int dev = openat(root, "dev", O_PATH | O_DIRECTORY | O_CLOEXEC);
  fill_dev(dev);
  new_mount_classic("devpts", "dev/pts", 2UL | 8UL, "newinstance,ptmxmode=0666,mode=0620,gid=5");
  new_mount_classic("tmpfs", "dev/shm", MS_NOSUID_NODEV_NOEXEC, "mode=1777,size=65536k");
  new_mount_classic("mqueue", "dev/mqueue", MS_NOSUID_NODEV_NOEXEC, NULL);
  new_mount_classic("sysfs", "sys", MS_NOSUID_NODEV_NOEXEC | 1UL, NULL);
  new_mount_classic("cgroup2", "sys/fs/cgroup", MS_NOSUID_NODEV_NOEXEC | 1UL, NULL);
  null_file = openat(dev, "null", O_PATH | O_CLOEXEC);
}

// Files are covered by /dev/null, directories by an empty read-only one; what is not there needs no mask.
static void mask_paths(void) {
  static const char* const paths[] = {
      "proc/acpi",       "proc/asound",      "proc/kcore",       "proc/keys",    "proc/latency_stats",
      "proc/timer_list", "proc/timer_stats", "proc/sched_debug", "sys/firmware", "proc/scsi"};
  if (!use("mask-tmpfs"))
    empty_dir =
        make_mount("tmpfs", MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
                   "nr_inodes", "2", NULL);
  bool attached = false;
  for (size_t i = 0; i < sizeof paths / sizeof paths[0]; ++i) {
    struct stat status;
    int target = openat(root, paths[i], O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (target < 0) continue;
    fstat(target, &status);
    int cover;
    if (!S_ISDIR(status.st_mode)) {
      cover = copy_mount(null_file, "", 0);
    } else if (use("mask-tmpfs")) {
      cover = make_mount("tmpfs", MOUNT_ATTR_RDONLY, "nr_inodes", "2", NULL);
    } else {
      // The first directory takes the mount itself, the others copies of it.
      cover = attached ? copy_mount(empty_dir, "", 0) : empty_dir;
      attached = true;
    }
    DO("move_mount mask",
       syscall(SYS_move_mount, cover, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH));
    if (!use("no-close")) {
      if (cover != empty_dir) close(cover);
      close(target);
    }
  }
}
static void readonly_paths(void) {
  static const char* const paths[] = {"proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger"};
  for (size_t i = 0; i < sizeof paths / sizeof paths[0]; ++i) {
    int target = openat(root, paths[i], O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (target < 0) continue;
    int cover = copy_mount(target, "", MOUNT_ATTR_RDONLY);
    DO("move_mount read-only",
       syscall(SYS_move_mount, cover, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH));
    if (!use("no-close")) close(cover), close(target);
  }
}

// The bundle's root as a mount of its own, all other mounts in it, then the root of this mount namespace.
static void enter_root(const char* rootfs) {
  if (part("private")) DO("mount / rslave", syscall(SYS_mount, NULL, "/", NULL, MS_SLAVE_REC, NULL));
  root = copy_mount(AT_FDCWD, rootfs, MOUNT_ATTR_RDONLY);
  bool late = use("attach-root-last");  // mounts onto a detached tree need Linux 6.15
  if (!late) {
    attach(root, AT_FDCWD, rootfs);
    DO("fchdir", fchdir(root));
  }
  if (use("classic"))
    mounts_by_path();
  else
    mounts_by_descriptor();
  if (part("masks")) mask_paths();
  if (part("readonly")) readonly_paths();
  if (late) {
    attach(root, AT_FDCWD, rootfs);
    DO("fchdir", fchdir(root));
  }
  DO("pivot_root", syscall(SYS_pivot_root, ".", "."));
  if (part("detach-old-root")) DO("umount2 old root", syscall(SYS_umount2, ".", MNT_DETACH));
}

// ---- the process ----------------------------------------------------------------------------------------------

static void drop_privileges(void) {
  const uint64_t keep = 1ULL << CAP_AUDIT_WRITE | 1ULL << CAP_KILL | 1ULL << CAP_NET_BIND_SERVICE;
  double begin = now_us();
  for (int cap = 0; cap <= 40; ++cap)
    if (!(keep >> cap & 1)) prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
  if (tracing) record("38 x PR_CAPBSET_DROP", now_us() - begin);
  // Raw calls: the C library's would signal threads that a shared address space does not have.
  DO("setgroups", syscall(SYS_setgroups, 0, NULL));
  DO("setresgid", syscall(SYS_setresgid, 0, 0, 0));
  DO("setresuid", syscall(SYS_setresuid, 0, 0, 0));
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2] = {{(uint32_t)keep, (uint32_t)keep, 0}, {0, 0, 0}};
  DO("capset", syscall(SYS_capset, &header, data));
  DO("no_new_privs", prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}
static void loopback_up(void) {
  struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
  int fd = (int)DO("socket", socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  DO("SIOCSIFFLAGS lo", ioctl(fd, SIOCSIFFLAGS, &request));
}

static double exec_begin;
static void write_pid(int child);
static void __attribute__((noreturn, noinline)) child_main(const char* rootfs, bool bare, double cloned) {
  if (tracing) record("clone3, until the child runs", now_us() - cloned);
  if (use("procs")) write_pid(0);
  char path[512];
  snprintf(path, sizeof path, "%s/true", bare ? rootfs : "");
  char* arguments[] = {path, NULL};
  char* environment[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm",
                         NULL};
  if (!bare) {
    // Here rather than in clone3, since the child surely is in its cgroup by now: that is to be the root.
    if (part("cgroupns")) DO("unshare cgroup", syscall(SYS_unshare, CLONE_NEWCGROUP));
    if (part("mnt")) enter_root(rootfs);
    if (part("uts")) DO("sethostname", sethostname("runc", 4));
    if (part("net") && part("loopback")) loopback_up();
    struct rlimit files = {1024, 1024};
    DO("prlimit", syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, &files, NULL));
    if (part("setsid")) DO("setsid", setsid());
    if (part("caps")) drop_privileges();
    DO("close_range", syscall(SYS_close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC));
  }
  umask(0022);
  exec_begin = now_us();
  execve(path, arguments, environment);
  die("execve");
  __builtin_unreachable();
}

// ---- the parent -----------------------------------------------------------------------------------------------

// The device rules every runtime loads for the default spec: the default devices, and mknod of anything, else no.
static int load_device_program(void) {
#define LOAD(register_, offset) {BPF_LDX | BPF_MEM | BPF_W, register_, BPF_REG_1, offset, 0}
#define JUMP(op, register_, value, skip_) {BPF_JMP | BPF_K | op, register_, 0, skip_, value}
#define SET0(value) {BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, value}
#define RETURN {BPF_JMP | BPF_EXIT, 0, 0, 0, 0}
  struct bpf_insn program[] = {LOAD(BPF_REG_2, 0),
                               LOAD(BPF_REG_4, 4),
                               LOAD(BPF_REG_5, 8),
                               {BPF_ALU | BPF_MOV | BPF_X, BPF_REG_3, BPF_REG_2, 0, 0},
                               {BPF_ALU | BPF_RSH | BPF_K, BPF_REG_3, 0, 0, 16},
                               JUMP(BPF_JEQ, BPF_REG_3, BPF_DEVCG_ACC_MKNOD, 14),
                               {BPF_ALU | BPF_AND | BPF_K, BPF_REG_2, 0, 0, 0xffff},
                               JUMP(BPF_JNE, BPF_REG_2, BPF_DEVCG_DEV_CHAR, 10),
                               JUMP(BPF_JEQ, BPF_REG_4, 136, 11),
                               JUMP(BPF_JNE, BPF_REG_4, 1, 5),
                               JUMP(BPF_JEQ, BPF_REG_5, 3, 9),
                               JUMP(BPF_JEQ, BPF_REG_5, 5, 8),
                               JUMP(BPF_JEQ, BPF_REG_5, 7, 7),
                               JUMP(BPF_JEQ, BPF_REG_5, 8, 6),
                               JUMP(BPF_JEQ, BPF_REG_5, 9, 5),
                               JUMP(BPF_JNE, BPF_REG_4, 5, 2),
                               JUMP(BPF_JGT, BPF_REG_5, 2, 1),
                               {BPF_JMP | BPF_JA, 0, 0, 2, 0},
                               SET0(0),
                               RETURN,
                               SET0(1),
                               RETURN};
  union bpf_attr load = {.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE,
                         .insns = (uintptr_t)program,
                         .insn_cnt = sizeof program / sizeof program[0],
                         .license = (uintptr_t)"Apache-2.0"};
  return (int)DO("bpf PROG_LOAD", syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof load));
}
static void attach_device_program(int program) {
  union bpf_attr attach_ = {.target_fd = (uint32_t)cgroup,
                            .attach_bpf_fd = (uint32_t)program,
                            .attach_type = BPF_CGROUP_DEVICE,
                            .attach_flags = BPF_F_ALLOW_MULTI};
  DO("bpf PROG_ATTACH", syscall(SYS_bpf, BPF_PROG_ATTACH, &attach_, sizeof attach_));
}

static void __attribute__((noinline)) write_pid(int child) {
  char text[16];
  int file = openat(cgroup, "cgroup.procs", O_WRONLY | O_CLOEXEC);
  int length = snprintf(text, sizeof text, "%d", child);
  DO("write cgroup.procs", write(file, text, (size_t)length));
  close(file);
}

static void run(const char* rootfs, bool bare) {
  double begin = now_us();
  struct clone_args clone_args = {.exit_signal = SIGCHLD};
  bool own_cgroup = !bare && part("cgroup");
  if (own_cgroup) {
    snprintf(cgroup_name, sizeof cgroup_name, "bench-floor-%d-%d", getpid(), run_index);
    cgroup_tree = (int)DO("open cgroup root", open("/sys/fs/cgroup", O_PATH | O_DIRECTORY | O_CLOEXEC));
    DO("mkdirat cgroup", mkdirat(cgroup_tree, cgroup_name, 0755));
    cgroup = (int)DO("openat cgroup", openat(cgroup_tree, cgroup_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (part("devices")) {
      int program = load_device_program();
      attach_device_program(program);
      close(program);
    }
    if (!use("procs")) {
      clone_args.flags |= CLONE_INTO_CGROUP;
      clone_args.cgroup = (uint64_t)cgroup;
    }
  }
  if (!bare) {
    if (part("mnt")) clone_args.flags |= CLONE_NEWNS;
    if (part("pid")) clone_args.flags |= CLONE_NEWPID;
    if (part("net")) clone_args.flags |= CLONE_NEWNET;
    if (part("ipc")) clone_args.flags |= CLONE_NEWIPC;
    if (part("uts")) clone_args.flags |= CLONE_NEWUTS;
  }
  if (!use("fork")) clone_args.flags |= CLONE_VM | CLONE_VFORK;
  double cloned = now_us();
  // Inline, because the child goes on upon this very stack and must never return from here, as after vfork(2). It does
  // nothing in this frame but one call, so that the parent finds its variables as they were.
  long child;
  __asm__ volatile("syscall"
                   : "=a"(child)
                   : "a"(SYS_clone3), "D"(&clone_args), "S"(sizeof clone_args)
                   : "rcx", "r11", "memory");
  if (child == 0) child_main(rootfs, bare, cloned);
  if (child < 0) errno = (int)-child, die("clone3");
  double released = now_us();
  if (tracing && !use("fork")) record("execve, until the parent runs", released - exec_begin);
  int status = 0;
  if (syscall(SYS_wait4, child, &status, 0, NULL) < 0) die("wait4");
  double waited = now_us();
  if (tracing) record("wait4: /true, exit, namespaces torn down", waited - released);
  if (own_cgroup) {
    DO("rmdir cgroup", unlinkat(cgroup_tree, cgroup_name, AT_REMOVEDIR));
    close(cgroup);
    close(cgroup_tree);
    cgroup_tree = -1;
  }
  if (tracing) record("TOTAL", now_us() - begin);
  if (status != 0) errno = 0, die("the program failed");
}

static int by_value(const void* a, const void* b) {
  float x = *(const float*)a, y = *(const float*)b;
  return (x > y) - (x < y);
}
static void print_trace(int runs) {
  dprintf(2, "   median       p10  microseconds of\n");
  for (int call = 0; call < trace->calls; ++call) {
    qsort(trace->us[call], (size_t)runs, sizeof(float), by_value);
    dprintf(2, "%9.1f %9.1f  %s\n", trace->us[call][runs / 2], trace->us[call][runs / 10], trace->name[call]);
  }
}

int main(int argc, char** argv) {
  bool bare = false;
  int runs = 1, at = 1;
  for (; at < argc && strncmp(argv[at], "--", 2) == 0; ++at) {
    const char* value = at + 1 < argc ? argv[at + 1] : "";
    if (strcmp(argv[at], "--bare") == 0)
      bare = true;
    else if (strcmp(argv[at], "--trace") == 0)
      tracing = true;
    else if (strcmp(argv[at], "--skip") == 0)
      skipped = value, ++at;
    else if (strcmp(argv[at], "--use") == 0)
      used = value, ++at;
    else if (strcmp(argv[at], "--repeat") == 0)
      runs = atoi(value), ++at;
    else if (strcmp(argv[at], "--ballast") == 0) {
      size_t size = (size_t)atoi(value) << 20;
      memset(malloc(size), 1, size);
      ++at;
    } else
      return dprintf(2, "floor: unknown option %s\n", argv[at]), 2;
  }
  if (at + 1 != argc || runs < 1 || runs > kMaxRuns)
    return dprintf(2, "floor: no ROOTFS, or a bad --repeat\n"), 2;
  if (tracing) {
    trace =
        mmap(NULL, sizeof *trace, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (trace == MAP_FAILED) die("mmap");
  }
  owner = getpid();
  umask(0);
  for (run_index = 0; run_index < runs; ++run_index) {
    call_index = 0;
    run(argv[at], bare);
  }
  if (tracing) print_trace(runs);
  return 0;
}
