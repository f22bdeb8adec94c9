#include "support/host_state.h"

#include <dirent.h>
#include <fmt/format.h>
#include <glob.h>
#include <linux/bpf.h>
#include <poll.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <utility>

#include "support/command.h"

namespace cloche::test {
namespace {

namespace fs = std::filesystem;
using Names = std::set<std::string>;

std::string slurp(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// Calls `visit` for every entry below `top`, going on where something vanishes or is closed to us.
template <class Visit>
void walk(const fs::path& top, Visit visit) {
  std::error_code error;
  for (fs::directory_iterator entry(top, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code ignored;
    const bool directory = entry->symlink_status(ignored).type() == fs::file_type::directory;
    visit(entry->path(), directory);
    if (directory) walk(entry->path(), visit);
  }
}

Names mounts() {
  Names result;
  std::istringstream lines(slurp("/proc/self/mountinfo"));
  for (std::string line; std::getline(lines, line);) result.insert(line);
  return result;
}

// Units that systemd starts and stops on its own while we look.
bool is_systemds(const fs::path& cgroup) {
  return std::ranges::any_of(cgroup, [](const fs::path& part) {
    static const std::set<std::string> kinds{".service", ".scope", ".slice", ".mount", ".socket", ".swap"};
    return kinds.contains(part.extension().string()) && !part.string().contains("cloche");
  });
}

Names cgroups() {
  Names result;
  std::istringstream lines(slurp("/proc/self/mounts"));
  for (std::string device, path, type, rest; lines >> device >> path >> type && std::getline(lines, rest);) {
    if (type != "cgroup2") continue;
    walk(path, [&](const fs::path& entry, bool directory) {
      if (directory && !is_systemds(entry.lexically_relative(path))) result.insert(entry.string());
    });
  }
  return result;
}

struct Process {
  pid_t parent = 0;
  char state = '?';
  std::string start;
  std::string name;
};

// proc_pid_stat(5); the command name is in parentheses and may hold any byte, so what follows its last one
// counts.
std::optional<Process> read_process(const fs::path& directory) {
  const std::string text = slurp(directory / "stat");
  const size_t open = text.find('('), close = text.rfind(')');
  if (open == std::string::npos || close == std::string::npos) return std::nullopt;
  Process process;
  process.name = text.substr(open + 1, close - open - 1);
  std::istringstream fields(text.substr(close + 1));
  fields >> process.state >> process.parent;
  std::string skipped;
  for (int field = 5; field < 22; ++field) fields >> skipped;
  fields >> process.start;
  return process;
}

void reap_orphans() {
  // As a subreaper we inherit what a detached process leaves; ended ones are ours to collect.
  while (waitpid(-1, nullptr, WNOHANG) > 0) {
  }
}

Names processes() {
  std::map<pid_t, Process> all;
  std::set<pid_t> ours;
  const std::string mark = fmt::format("{}={}", kMarkerVariable, marker());
  std::error_code error;
  for (fs::directory_iterator entry("/proc", error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const pid_t pid = static_cast<pid_t>(std::stol(name));
    if (auto process = read_process(entry->path())) all.emplace(pid, *std::move(process));
    if (slurp(entry->path() / "environ").contains(mark)) ours.insert(pid);
  }
  const auto descends = [&](pid_t pid) {
    for (auto at = all.find(pid); at != all.end(); at = all.find(at->second.parent))
      if (at->second.parent == getpid()) return true;
    return false;
  };
  Names result;
  for (const auto& [pid, process] : all)
    if (pid != getpid() && process.state != 'Z' && (ours.contains(pid) || descends(pid)))
      result.insert(fmt::format("{} ({}, started {})", pid, process.name, process.start));
  return result;
}

void end_leftover_processes(const HostState& before) {
  for (const std::string& process : processes())
    if (!before.things.at("process").contains(process)) kill(static_cast<pid_t>(std::stol(process)), SIGKILL);
}

Names links() {
  Names result;
  walk("/sys/class/net", [&](const fs::path& entry, bool) { result.insert(entry.filename()); });
  return result;
}

Names files() {
  Names result;
  std::vector<std::string> patterns{"/run/cloche*", "/tmp/cloche*", "/run/user/*/cloche*"};
  if (const char* runtime = std::getenv("XDG_RUNTIME_DIR"))
    patterns.push_back(fmt::format("{}/cloche*", runtime));
  for (const std::string& pattern : patterns) {
    glob_t found{};
    glob(pattern.c_str(), GLOB_NOSORT, nullptr, &found);
    for (size_t i = 0; i < found.gl_pathc; ++i) {
      result.insert(found.gl_pathv[i]);
      walk(found.gl_pathv[i], [&](const fs::path& entry, bool) { result.insert(entry); });
    }
    globfree(&found);
  }
  return result;
}

long bpf(int command, bpf_attr& attributes) {
  return syscall(SYS_bpf, command, &attributes, sizeof(attributes));
}

// Device programs only: systemd loads others whenever it likes. Without CAP_SYS_ADMIN the list is empty.
Names device_programs() {
  Names result;
  bpf_attr next{};
  while (bpf(BPF_PROG_GET_NEXT_ID, next) == 0) {
    bpf_attr by_id{};
    by_id.prog_id = next.next_id;
    next.start_id = next.next_id;
    const sys::Fd program(static_cast<int>(bpf(BPF_PROG_GET_FD_BY_ID, by_id)));
    if (!program.valid()) continue;
    bpf_prog_info info{};
    bpf_attr query{};
    query.info.bpf_fd = static_cast<unsigned>(program.get());
    query.info.info_len = sizeof(info);
    query.info.info = reinterpret_cast<uintptr_t>(&info);
    if (bpf(BPF_OBJ_GET_INFO_BY_FD, query) == 0 && info.type == BPF_PROG_TYPE_CGROUP_DEVICE)
      result.insert(fmt::format("{} ({})", info.id, info.name));
  }
  return result;
}

Names hostname() {
  utsname name{};
  uname(&name);
  return {name.nodename};
}

// One integration test at a time per network namespace: an abstract socket's name is freed by the kernel
// whenever its holder dies, and leaves no file.
sys::Fd take_turn() {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string name = "cloche-integration-tests";
  name.copy(address.sun_path + 1, name.size());
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  for (int tries = 0; tries < 12000; ++tries) {
    sys::Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (socket.valid() && bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), length) == 0)
      return socket;
    poll(nullptr, 0, 50);
  }
  return {};
}

}  // namespace

std::vector<std::string> mounts_below(const std::string& path) {
  std::vector<std::string> result;
  std::istringstream lines(slurp("/proc/self/mounts"));
  for (std::string device, point, rest; lines >> device >> point && std::getline(lines, rest);)
    if (point == path || point.starts_with(path + "/")) result.push_back(point);
  return result;
}

bool remove_tree(const std::string& path) {
  // The last mounted first.
  std::vector<std::string> mounted = mounts_below(path);
  std::ranges::reverse(mounted);
  for (const std::string& point : mounted) umount2(point.c_str(), MNT_DETACH);
  if (!mounts_below(path).empty()) return false;
  std::error_code error;
  fs::remove_all(path, error);
  return !error;
}

HostState HostState::take() {
  return {{{"mount", mounts()},
           {"cgroup", cgroups()},
           {"process", processes()},
           {"link", links()},
           {"file", files()},
           {"bpf", device_programs()},
           {"hostname", hostname()}}};
}

std::vector<std::string> difference(const HostState& before, const HostState& after) {
  std::vector<std::string> result;
  const auto missing_in = [&](const HostState& from, const HostState& in, const char* verdict) {
    for (const auto& [kind, names] : from.things)
      for (const std::string& name : names)
        if (!in.things.at(kind).contains(name))
          result.push_back(fmt::format("{} {}: {}", kind, verdict, name));
  };
  missing_in(after, before, "left behind");
  missing_in(before, after, "gone");
  // A process or a program that ended meanwhile belonged to an earlier test's slow end, not to this one.
  std::erase_if(result, [](const std::string& line) {
    return line.starts_with("process gone") || line.starts_with("bpf gone");
  });
  return result;
}

std::vector<std::string> left_behind(const HostState& before, std::chrono::milliseconds patience) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (true) {
    std::vector<std::string> left = difference(before, HostState::take());
    if (left.empty() || std::chrono::steady_clock::now() >= deadline) return left;
    poll(nullptr, 0, 20);
  }
}

void LeaksNothing::SetUp() {
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  turn_ = take_turn();
  ASSERT_TRUE(turn_.valid()) << "another integration test program holds the machine for ten minutes";
  before_ = HostState::take();
}

void LeaksNothing::TearDown() {
  if (!before_) {  // it had no turn: a directory left would be a finding of who has it
    if (!scratch_.empty()) remove_tree(scratch_);
    return;
  }
  reap_orphans();
  const HostState before = std::exchange(before_, std::nullopt).value_or(HostState{});
  if (!scratch_.empty()) {
    for (const std::string& mount : mounts_below(scratch_)) ADD_FAILURE() << "mount left behind: " << mount;
    EXPECT_TRUE(remove_tree(scratch_)) << "cannot remove " << scratch_;
  }
  for (const std::string& line : left_behind(before)) ADD_FAILURE() << line;
  // Reported is enough: the tests after this one are not to live with it.
  end_leftover_processes(before);
  reap_orphans();
  turn_.reset();
}

const std::string& LeaksNothing::scratch() {
  if (scratch_.empty()) {
    std::string path = "/tmp/cloche-test.XXXXXX";
    if (mkdtemp(path.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
    fs::permissions(path, fs::perms(0755));
    scratch_ = path;
  }
  return scratch_;
}

}  // namespace cloche::test
