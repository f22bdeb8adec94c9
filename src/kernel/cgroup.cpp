#include "kernel/cgroup.h"

#include <dirent.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <poll.h>
#include <sys/syscall.h>

#include <algorithm>
#include <charconv>

#include "sys/call.h"
#include "sys/files.h"

namespace cloche::kernel {
namespace {

// How long the kernel is given to empty or freeze a cgroup. Each wait ends at the event; this is only its bound.
constexpr int kPatienceMilliseconds = 10'000;

std::string parent_of(const std::string& path) { return path.substr(0, path.rfind('/')); }

// Directories below `path`, by name.
std::vector<std::string> children_of(const std::string& path) {
  std::vector<std::string> names;
  DIR* directory = ::opendir(path.c_str());
  if (directory == nullptr) return names;
  while (const dirent* entry = ::readdir(directory))
    if (entry->d_type == DT_DIR && entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  ::closedir(directory);
  return names;
}

// Waits until cgroup.events holds `line`; the file signals each change by POLLPRI.
sys::Result<bool> await_event(const std::string& cgroup, std::string_view line) {
  CLOCHE_TRY_ASSIGN(events, sys::open_at(AT_FDCWD, cgroup + "/cgroup.events", O_RDONLY));
  for (int rounds = 0; rounds < 100; ++rounds) {
    char text[256];
    const long got = sys::raw_call(SYS_pread64, events.get(), text, sizeof text, 0);
    if (got < 0) return sys::fail(static_cast<int>(-got), fmt::format("read({}/cgroup.events)", cgroup));
    if (std::string_view(text, static_cast<size_t>(got)).find(line) != std::string_view::npos) return true;
    pollfd change{.fd = events.get(), .events = POLLPRI, .revents = 0};
    if (::poll(&change, 1, kPatienceMilliseconds / 100) < 0 && errno != EINTR) break;
  }
  return false;
}

}  // namespace

sys::Result<MadeCgroup> make_cgroup(const std::string& path) {
  bool existed = false;
  auto made = sys::make_directory(AT_FDCWD, path, 0755);
  if (!made && made.error().code == ENOENT) {
    CLOCHE_TRY(sys::make_directories(parent_of(path), 0755));
    made = sys::make_directory(AT_FDCWD, path, 0755);
  }
  if (!made && made.error().code == EEXIST) {
    CLOCHE_TRY_ASSIGN(inside, processes_in(path));
    if (!inside.empty()) {
      auto busy = sys::fail(EBUSY, std::move(made.error().call));
      busy.error().context.push_back(
          fmt::format("the cgroup is there already and holds {} processes", inside.size()));
      return busy;
    }
    existed = true;
    made = {};
  }
  CLOCHE_TRY(made);
  auto directory = sys::open_at(AT_FDCWD, path, O_RDONLY | O_DIRECTORY);
  if (!directory) {
    if (!existed) (void)sys::remove_at(AT_FDCWD, path, AT_REMOVEDIR);
    return std::unexpected(std::move(directory).error());
  }
  return MadeCgroup{.directory = *std::move(directory), .existed = existed};
}

sys::Result<> enable_controllers(const std::string& from, const std::string& cgroup,
                                 const std::vector<std::string>& controllers) {
  const std::string line = fmt::format("+{}", fmt::join(controllers, " +"));
  std::string at = from;
  while (at.ends_with('/')) at.pop_back();
  const std::string last = parent_of(cgroup);
  for (;;) {
    CLOCHE_TRY(sys::write_file(AT_FDCWD, at + "/cgroup.subtree_control", line));
    if (at.size() >= last.size() || !last.starts_with(at + "/")) return {};
    at = last.substr(0, last.find('/', at.size() + 1));
  }
}

sys::Result<> move_to_leaf(const std::string& leaf) {
  auto made = sys::make_directory(AT_FDCWD, leaf, 0755);
  if (!made && made.error().code != EEXIST) return made;
  // 0 is the writer itself, whatever pid namespace it is in.
  auto moved = sys::write_file(AT_FDCWD, leaf + "/cgroup.procs", "0");
  if (!moved && made) (void)sys::remove_at(AT_FDCWD, leaf, AT_REMOVEDIR);
  return moved;
}

sys::Result<> return_from_leaf(const std::string& leaf) {
  const auto inside = processes_in(leaf);
  if (!inside) return {};
  const auto self = static_cast<int>(sys::raw_call(SYS_getpid));
  const std::string above = parent_of(leaf);
  if (std::ranges::find(*inside, self) != inside->end()) {
    if (children_of(above).size() > 1) return {};  // somebody's limits would go
    CLOCHE_TRY_ASSIGN(given, sys::read_file(AT_FDCWD, above + "/cgroup.subtree_control", 4096));
    std::string taken;
    for (size_t at = 0; (at = given.find_first_not_of(" \n", at)) != std::string::npos;) {
      const size_t end = given.find_first_of(" \n", at);
      taken += fmt::format("{}-{}", taken.empty() ? "" : " ", given.substr(at, end - at));
      at = end;
    }
    if (!taken.empty()) CLOCHE_TRY(sys::write_file(AT_FDCWD, above + "/cgroup.subtree_control", taken));
    CLOCHE_TRY(sys::write_file(AT_FDCWD, above + "/cgroup.procs", "0"));
  }
  (void)sys::remove_at(AT_FDCWD, leaf, AT_REMOVEDIR);
  return {};
}

sys::Result<std::vector<int>> processes_in(const std::string& cgroup) {
  CLOCHE_TRY_ASSIGN(text, sys::read_file(AT_FDCWD, cgroup + "/cgroup.procs", 16 << 20));
  std::vector<int> pids;
  const char* at = text.data();
  const char* end = at + text.size();
  while (at < end) {
    int pid = 0;
    at = std::from_chars(at, end, pid).ptr;
    pids.push_back(pid);
    while (at < end && *at == '\n') ++at;
  }
  for (const std::string& name : children_of(cgroup)) {
    auto below = processes_in(cgroup + "/" + name);
    if (below) pids.insert(pids.end(), below->begin(), below->end());
  }
  return pids;
}

sys::Result<> freeze(const std::string& cgroup, bool frozen) {
  CLOCHE_TRY(sys::write_file(AT_FDCWD, cgroup + "/cgroup.freeze", frozen ? "1" : "0"));
  CLOCHE_TRY_ASSIGN(reached, await_event(cgroup, frozen ? "frozen 1" : "frozen 0"));
  if (reached) return {};
  if (frozen) (void)sys::write_file(AT_FDCWD, cgroup + "/cgroup.freeze", "0");
  return sys::fail_because(fmt::format("a process in {} does not {}: it is stuck in the kernel, or traced",
                                       cgroup, frozen ? "freeze" : "thaw"));
}

sys::Result<bool> is_frozen(const std::string& cgroup) {
  CLOCHE_TRY_ASSIGN(text, sys::read_file(AT_FDCWD, cgroup + "/cgroup.freeze", 64));
  return text.starts_with('1');
}

sys::Result<> kill_all(const std::string& cgroup) {
  return sys::write_file(AT_FDCWD, cgroup + "/cgroup.kill", "1");
}

sys::Result<> remove_cgroup(const std::string& path) {
  auto removed = sys::remove_at(AT_FDCWD, path, AT_REMOVEDIR);
  if (removed || removed.error().code == ENOENT) return {};
  if (removed.error().code != EBUSY && removed.error().code != ENOTEMPTY) return removed;
  for (const std::string& name : children_of(path)) CLOCHE_TRY(remove_cgroup(path + "/" + name));
  // What was killed leaves the cgroup a moment later than its parent hears of it.
  auto empty = await_event(path, "populated 0");
  if (!empty && empty.error().code == ENOENT) return {};
  removed = sys::remove_at(AT_FDCWD, path, AT_REMOVEDIR);
  if (removed || removed.error().code == ENOENT) return {};
  return removed;
}

}  // namespace cloche::kernel
