#include "faults/tracee.h"

#include <fmt/format.h>
#include <linux/sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string_view>

#include "runtime/shared_record.h"

namespace cloche::faults {
namespace {

// Where a call's path is among its arguments, or its descriptor: -1 for neither.
struct Operand {
  long number;
  int path, descriptor;
};
constexpr Operand kOperands[] = {
    {SYS_openat, 1, 0},     {SYS_openat2, 1, 0},     {SYS_newfstatat, 1, 0}, {SYS_faccessat2, 1, 0},
    {SYS_readlinkat, 1, 0}, {SYS_mkdirat, 1, 0},     {SYS_unlinkat, 1, 0},   {SYS_renameat, 1, 0},
    {SYS_symlinkat, 2, 1},  {SYS_mknodat, 1, 0},     {SYS_fchownat, 1, 0},   {SYS_open_tree, 1, 0},
    {SYS_statfs, 0, -1},    {SYS_chdir, 0, -1},      {SYS_execve, 0, -1},    {SYS_execveat, 1, 0},
    {SYS_read, -1, 0},      {SYS_pread64, -1, 0},    {SYS_write, -1, 0},     {SYS_fstat, -1, 0},
    {SYS_fstatfs, -1, 0},   {SYS_getdents64, -1, 0}, {SYS_fcntl, -1, 0},     {SYS_ioctl, -1, 0},
    {SYS_flock, -1, 0},     {SYS_lseek, -1, 0},      {SYS_fchmod, -1, 0},    {SYS_fchown, -1, 0},
    {SYS_fchdir, -1, 0},    {SYS_setns, -1, 0},      {SYS_connect, -1, 0},   {SYS_pidfd_send_signal, -1, 0}};

std::string string_at(pid_t pid, uint64_t address) {
  // Not over the end of a page, which may be the last of its mapping.
  char text[256] = {};
  const size_t size = std::min(sizeof text - 1, static_cast<size_t>(4096 - address % 4096));
  if (address == 0 || !read_memory(pid, address, text, size)) return {};
  return text;
}

}  // namespace

std::string about(pid_t pid, long number, const uint64_t* arguments) {
  const auto* operand = std::ranges::find(kOperands, number, &Operand::number);
  if (operand == std::end(kOperands)) return {};
  std::string path;
  if (operand->path >= 0) path = string_at(pid, arguments[operand->path]);
  if (path.starts_with('/') || operand->descriptor < 0) return path;
  const int descriptor = static_cast<int>(arguments[operand->descriptor]);
  if (descriptor < 0) return path;
  char target[256] = {};
  (void)::readlink(fmt::format("/proc/{}/fd/{}", pid, descriptor).c_str(), target, sizeof target - 1);
  return path.empty() ? target : fmt::format("{}/{}", target, path);
}

bool read_memory(pid_t pid, uint64_t from, void* to, size_t size) {
  iovec here{.iov_base = to, .iov_len = size};
  iovec there{.iov_base = reinterpret_cast<void*>(from),  // NOLINT(performance-no-int-to-ptr)
              .iov_len = size};
  return ::process_vm_readv(pid, &here, 1, &there, 1, 0) == static_cast<ssize_t>(size);
}

bool is_ours(pid_t pid, const std::string& program) {
  const std::string link = fmt::format("/proc/{}/exe", pid);
  struct stat running{}, own{};
  if (::stat(link.c_str(), &running) != 0 || ::stat(program.c_str(), &own) != 0) return false;
  if (running.st_dev == own.st_dev && running.st_ino == own.st_ino) return true;
  char target[64] = {};
  if (::readlink(link.c_str(), target, sizeof target - 1) <= 0) return false;
  const std::string_view leads_to = target;
  const bool overlaid = leads_to == program.substr(program.rfind('/')) && running.st_size == own.st_size;
  return overlaid || leads_to.starts_with("/memfd:cloche");
}

bool makes_container(pid_t pid, long number, const uint64_t* arguments) {
  uint64_t flags = 0;
  if (number != SYS_clone3 || !read_memory(pid, arguments[0], &flags, sizeof flags)) return false;
  return (flags & (CLONE_NEWNS | CLONE_NEWPID | CLONE_INTO_CGROUP | CLONE_PARENT)) != 0;
}

uint64_t find_record(pid_t pid) {
  std::ifstream maps(fmt::format("/proc/{}/maps", pid));
  constexpr size_t kPage = 4096, kSize = (sizeof(runtime::SharedRecord) + kPage - 1) / kPage * kPage;
  for (std::string line; std::getline(maps, line);) {
    unsigned long from = 0, to = 0;
    char dash = 0;
    std::string rights;
    std::istringstream words(line);
    if (words >> std::hex >> from >> dash >> to >> rights && rights.ends_with('s') && to - from == kSize)
      return from;
  }
  return 0;
}

}  // namespace cloche::faults
