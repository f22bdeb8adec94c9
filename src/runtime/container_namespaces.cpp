// The container side's verbs on namespaces and what lives in them.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cstring>

#include "runtime/container_side.h"
#include "spec/sysctl.h"
#include "sys/call.h"
#include "sys/files.h"
#include "sys/mounts.h"
#include "sys/process.h"

namespace cloche::runtime {
namespace {

// Detached. EPERM in a user namespace where no procfs can be seen that nothing is mounted on (mount_namespaces(7)).
sys::Result<sys::Fd> new_procfs() {
  CLOCHE_TRY_ASSIGN(context, sys::FsContext::open("proc"));
  CLOCHE_TRY(context.create());
  return context.mount(MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
}

}  // namespace

sys::Result<> ContainerSide::act(const plan::JoinNamespace& step) {
  const auto found = prepared_.namespaces.find(step.type);
  if (found == prepared_.namespaces.end())
    return sys::fail_because("the namespace was not opened before the clone");
  return sys::join_namespace(found->second, sys::namespace_flag(step.type), step.path);
}

sys::Result<> ContainerSide::act(const plan::UnshareNamespace& step) {
  return sys::unshare_namespaces(sys::namespace_flag(step.type));
}

// Offsets can only be written while nothing is in the namespace, and unshare(2) puts only children there: setns to
// our own time_for_children enters it on every kernel (time_namespaces(7)).
sys::Result<> ContainerSide::act(const plan::EnterTimeNamespace& step) {
  const uint64_t flag = sys::namespace_flag("time");
  if (!timens_offsets_) return std::unexpected(timens_offsets_.error());
  CLOCHE_TRY(sys::unshare_namespaces(flag));
  const auto line = [](const char* clock, const spec::TimeOffset& offset) {
    return fmt::format("{} {} {}\n", clock, offset.secs, offset.nanosecs);
  };
  CLOCHE_TRY(sys::write_once(*timens_offsets_,
                             line("monotonic", step.monotonic) + line("boottime", step.boottime),
                             "/proc/self/timens_offsets"));
  CLOCHE_TRY_ASSIGN(ns, sys::open_at(host_proc_.get(), "self/ns/time_for_children", O_RDONLY));
  return sys::join_namespace(ns, flag, "/proc/self/ns/time_for_children");
}

sys::Result<> ContainerSide::act(const plan::BecomeRoot& step) {
  if (step.clear_groups) CLOCHE_TRY(sys::set_groups({}));
  CLOCHE_TRY(sys::set_gid(0));
  return sys::set_uid(0);
}

sys::Result<> ContainerSide::act(const plan::SetHostname& step) { return sys::set_hostname(step.name); }
sys::Result<> ContainerSide::act(const plan::SetDomainname& step) { return sys::set_domainname(step.name); }

sys::Result<> ContainerSide::act(const plan::LoopbackUp&) {
  const long raw = sys::raw_call(SYS_socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (raw < 0) return sys::fail(static_cast<int>(-raw), "socket(AF_INET, SOCK_DGRAM)");
  const sys::Fd socket(static_cast<int>(raw));
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  const long set = sys::raw_call(SYS_ioctl, socket.get(), SIOCSIFFLAGS, &request);
  if (set < 0) return sys::fail(static_cast<int>(-set), "ioctl(SIOCSIFFLAGS, {lo, IFF_UP|IFF_RUNNING})");
  return {};
}

// Where Cloche runs in a container itself, /proc/sys often cannot be written. A procfs of our own can: which variables
// are the container's, the namespaces of the process decide that writes, not the mount.
sys::Result<> ContainerSide::act(const plan::WriteSysctl& step) {
  const std::string file = "sys/" + spec::sysctl_file(step.key).value_or(step.key);
  auto written = sys::write_file(host_proc_.get(), file, step.value);
  if (written || written.error().code != EROFS) return written;
  const auto proc = new_procfs();
  if (!proc) return written;
  note_fallback(record_, index_, "by a new procfs: /proc/sys is read-only");
  return sys::write_file(proc->get(), file, step.value);
}

}  // namespace cloche::runtime
