#include "runtime/overlaid_program.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include "sys/kernel_calls.h"

// What the kernel writes, the analyzer does not see.
// NOLINTBEGIN(clang-analyzer-core.UndefinedBinaryOperatorResult)

namespace {

constexpr const char* kSelf = "/proc/self/exe";
constexpr long kLongestPath = 4096;  // PATH_MAX
constexpr long kReadOnly = 1;  // ST_RDONLY of statfs(2)

long pointer(const void* to) { return reinterpret_cast<long>(to); }

// sys::Fd closes by way of the C library.
class File {
 public:
  explicit File(long descriptor) : descriptor_(descriptor) {}
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() {
    if (descriptor_ >= 0) kernel_call(SYS_close, descriptor_);
  }
  [[nodiscard]] long get() const { return descriptor_; }
  long release() {
    const long descriptor = descriptor_;
    descriptor_ = -1;
    return descriptor;
  }

 private:
  long descriptor_;
};

// The layers are its directory, and one that only has to be there and be none of the first: an overlay without an upper
// layer has at least two.
long overlay_of(const char* directory) {
  const File context(kernel_call(SYS_fsopen, pointer("overlay"), FSOPEN_CLOEXEC));
  if (context.get() < 0) return context.get();
  long done =
      kernel_call(SYS_fsconfig, context.get(), FSCONFIG_SET_STRING, pointer("lowerdir"), pointer(directory));
  if (done == 0) done = kernel_call(SYS_fsconfig, context.get(), FSCONFIG_CMD_CREATE, 0, 0);
  if (done < 0) return done;
  return kernel_call(SYS_fsmount, context.get(), FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY);
}

// Not what has its name now, if it was replaced meanwhile.
bool same_file(long one, long other) {
  struct stat a, b;  // not initialized: that would be a memset(3)
  return kernel_call(SYS_fstat, one, pointer(&a)) == 0 && kernel_call(SYS_fstat, other, pointer(&b)) == 0 &&
         a.st_size == b.st_size && a.st_mtim.tv_sec == b.st_mtim.tv_sec &&
         a.st_mtim.tv_nsec == b.st_mtim.tv_nsec;
}

}  // namespace

// Through a read-only mount of the file itself it could not be written either, but each attempt to open it for that would
// count as a writer for a moment, and whoever executes the file just then would get ETXTBSY.
long cloche_open_overlaid_program() {
  constexpr char kSecondLayer[] = ":/sys";
  char path[kLongestPath + sizeof kSecondLayer];
  const long length = kernel_call(SYS_readlinkat, AT_FDCWD, pointer(kSelf), pointer(path), kLongestPath);
  if (length < 0) return length;
  if (length == kLongestPath) return -ENAMETOOLONG;
  long slash = 0;
  for (long i = 0; i < length; ++i) {
    if (path[i] == ':' || path[i] == '\\') return -EINVAL;  // no layer can be named so
    if (path[i] == '/') slash = i;
  }
  if (slash == 0) return -EINVAL;
  char name[kLongestPath];
  for (long i = slash + 1; i < length; ++i) name[i - slash - 1] = path[i];
  name[length - slash - 1] = '\0';
  for (unsigned long i = 0; i < sizeof kSecondLayer; ++i)
    path[slash + static_cast<long>(i)] = kSecondLayer[i];

  const File mount(overlay_of(path));
  if (mount.get() < 0) return mount.get();
  File program(kernel_call(SYS_openat, mount.get(), pointer(name), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (program.get() < 0) return program.get();
  const File own(kernel_call(SYS_openat, AT_FDCWD, pointer(kSelf), O_RDONLY | O_CLOEXEC));
  if (own.get() < 0) return own.get();
  return same_file(program.get(), own.get()) ? program.release() : -ESTALE;
}

bool cloche_runs_overlaid() {
  struct statfs fs;
  return kernel_call(SYS_statfs, pointer(kSelf), pointer(&fs)) == 0 && fs.f_type == OVERLAYFS_SUPER_MAGIC &&
         (fs.f_flags & kReadOnly) != 0;
}

// NOLINTEND(clang-analyzer-core.UndefinedBinaryOperatorResult)
