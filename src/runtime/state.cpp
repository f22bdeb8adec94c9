#include "runtime/state.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "runtime/checkpoint_view.h"
#include "runtime/criu.h"
#include "runtime/json_text.h"
#include "spec/reader.h"
#include "sys/call.h"
#include "sys/files.h"
#include "sys/sockets.h"

namespace cloche::runtime {
namespace {

constexpr char kState[] = "state.json", kConfig[] = "config.json", kInit[] = "init", kStart[] = "start",
               kMade[] = "made";
constexpr char kUnfinished[] = "state.json.new";
constexpr size_t kLargestConfig = size_t{16} << 20;
// The annotations are part of the config, and a byte of theirs is six at most in our JSON (\u007f).
constexpr size_t kLargestState = 8 * kLargestConfig;

std::string json_of(const SavedUndo& undo) {
  return fmt::format(R"({{"kind":{},"path":{},"text":{}}})", json_string(undo.kind), json_string(undo.path),
                     json_string(undo.text));
}

// A root in a directory that everybody may write to could be somebody else's.
sys::Result<> check_owner(const sys::Fd& directory, const std::string& path) {
  CLOCHE_TRY_ASSIGN(st, sys::stat_fd(directory));
  const auto own = static_cast<uid_t>(sys::raw_call(SYS_geteuid));
  if (st.st_uid != own)
    return sys::fail_because(fmt::format("{} belongs to uid {}, not to uid {}", path, st.st_uid, own));
  if ((st.st_mode & 022) != 0)
    return sys::fail_because(
        fmt::format("{} can be written to by others (mode {:o})", path, st.st_mode & 07777));
  return {};
}

}  // namespace

std::string to_json(const SavedState& state) {
  std::string undo;
  for (const SavedUndo& action : state.undo) (undo += undo.empty() ? "" : ",") += json_of(action);
  return fmt::format(
      R"({{"version":{},"id":{},"ociVersion":{},"bundle":{},"rootfs":{},"created":{},"owner":{},"annotations":{},)"
      R"("cgroup":{},"agent":{},"streams":{},"undo":[{}],"creator":{{"pid":{},"start":{}}}}})"
      "\n",
      state.version, json_string(state.id), json_string(state.ociVersion), json_string(state.bundle),
      json_string(state.rootfs), json_string(state.created), json_string(state.owner),
      json_object(state.annotations), json_string(state.cgroup), json_string(state.agent),
      streams_to_json(state.streams), undo, state.creator.pid, state.creator.start);
}

sys::Result<SavedState> parse_state(std::string_view json) {
  auto read = spec::read_described<SavedState>(json);
  if (!read) return sys::fail_because(read.error().message());
  if (read->value.version != SavedState::kVersion)
    return sys::fail_because(fmt::format("it is of version {}, this program writes version {}",
                                         read->value.version, SavedState::kVersion));
  // Other runtimes have files of this name, in the directory that their callers name with --root.
  if (read->value.id.empty() || read->value.bundle.empty())
    return sys::fail_because("it names no id or no bundle: another runtime's, or damaged");
  return std::move(read->value);
}

std::vector<SavedUndo> saved(const std::vector<plan::UndoAction>& actions) {
  std::vector<SavedUndo> undo;
  for (const plan::UndoAction& action : actions)
    undo.push_back({.kind = std::string(plan::name(action.kind)), .path = action.path, .text = action.text});
  return undo;
}

std::vector<plan::UndoAction> undo_actions(const SavedState& state) {
  std::vector<plan::UndoAction> actions;
  for (const SavedUndo& undo : state.undo)
    if (const auto kind = plan::undo_kind(undo.kind))
      actions.push_back({.kind = *kind, .path = undo.path, .text = undo.text});
  return actions;
}

std::string_view name(Status status) {
  switch (status) {
    case Status::creating:
      return "creating";
    case Status::created:
      return "created";
    case Status::running:
      return "running";
    case Status::paused:
      return "paused";
    case Status::stopped:
      return "stopped";
  }
  return "";
}

std::optional<std::string> id_problem(std::string_view id) {
  constexpr size_t kLongest = 255;  // a file's name, NAME_MAX
  if (id.empty()) return "a container needs an id";
  if (id.size() > kLongest)
    return fmt::format("invalid container id: {} characters, at most {}", id.size(), kLongest);
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '+' || c == '-' || c == '.';
  };
  if (!std::ranges::all_of(id, fits))
    return "invalid container id: letters, digits, _ + - . are what it may hold";
  if (id == "." || id == "..") return fmt::format("invalid container id: \"{}\"", id);
  return {};
}

// By the calendar of <chrono>: gmtime_r(3) would read /etc/localtime first.
std::string timestamp() {
  using namespace std::chrono;
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  const sys_seconds second{seconds{now.tv_sec}};
  const auto day = floor<days>(second);
  const year_month_day date{day};
  const hh_mm_ss time{second - day};
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:09}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     time.hours().count(), time.minutes().count(), time.seconds().count(), now.tv_nsec);
}

// ---- one container ----------------------------------------------------------------------------------------------

sys::Result<> ContainerDirectory::write(const char* name, std::string_view content) const {
  return sys::create_file(directory_.get(), name, content, 0600);
}

// A write may stop half-way when its process is killed; a rename does not.
sys::Result<> ContainerDirectory::write_state(const SavedState& state) const {
  const std::string json = to_json(state);
  if (json.size() > kLargestState)
    return sys::fail(
        EFBIG, fmt::format("{}/{}: {} bytes, the limit is {}", path(), kState, json.size(), kLargestState));
  CLOCHE_TRY(write(kUnfinished, json));
  return sys::rename_at(directory_.get(), kUnfinished, kState);
}

sys::Result<> ContainerDirectory::write_config(std::string_view json) const { return write(kConfig, json); }
sys::Result<sys::Fd> ContainerDirectory::make_init() const {
  return sys::open_at(directory_.get(), kInit, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
}

sys::Result<SavedState> ContainerDirectory::read_state() const {
  CLOCHE_TRY_ASSIGN(json, sys::read_file(directory_.get(), kState, kLargestState));
  auto state = parse_state(json);
  if (!state) return sys::wrap(std::move(state).error(), path() + "/" + kState);
  return state;
}

sys::Result<std::string> ContainerDirectory::read_config() const {
  return sys::read_file(directory_.get(), kConfig, kLargestConfig);
}

sys::Result<> ContainerDirectory::mark_made() const {
  CLOCHE_TRY_ASSIGN(mark,
                    sys::open_at(directory_.get(), kMade, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
  return {};
}
bool ContainerDirectory::is_made() const { return sys::stat_at(directory_.get(), kMade, false).has_value(); }

std::optional<ProcessMark> ContainerDirectory::read_init() const {
  const auto line = sys::read_file(directory_.get(), kInit, 256);
  if (!line) return {};
  return parse_mark(*line);
}

sys::Result<sys::Fd> ContainerDirectory::listen_for_start() const {
  return sys::listen_at(directory_, kStart);
}
sys::Result<sys::Fd> ContainerDirectory::connect_for_start() const {
  return sys::connect_at(directory_, kStart);
}
bool ContainerDirectory::awaits_start() const {
  return sys::stat_at(directory_.get(), kStart, false).has_value();
}

sys::Result<> ContainerDirectory::forget_start() const {
  auto removed = sys::remove_at(directory_.get(), kStart);
  if (!removed && removed.error().code == ENOENT) return {};
  return removed;
}

sys::Result<sys::Fd> ContainerDirectory::lock(int patience) const {
  constexpr int kPause = 5;  // milliseconds; flock(2) itself knows no timeout
  CLOCHE_TRY_ASSIGN(file, sys::open_at(directory_.get(), ".", O_RDONLY | O_DIRECTORY));
  for (int waited = 0;; waited += kPause) {
    CLOCHE_TRY_ASSIGN(locked, sys::lock_file(file, patience == kUnbounded));
    if (locked) break;
    if (waited >= patience) return sys::fail(ETIMEDOUT, "flock(LOCK_EX)");
    const timespec pause{.tv_sec = 0, .tv_nsec = kPause * 1'000'000L};
    sys::raw_call(SYS_nanosleep, &pause, nullptr);
  }
  // Whoever held it before may have removed the directory, and somebody may have made another one since.
  CLOCHE_TRY_ASSIGN(there, sys::leads_to(path(), file));
  if (!there) return sys::fail(ENOENT, fmt::format("flock({})", path()));
  return file;
}

sys::Result<> ContainerDirectory::remove() const {
  CLOCHE_TRY(CriuPlace::remove(path() + "/criu"));
  for (const char* file : {kMade, kStart, kInit, kConfig, kUnfinished, kState})
    if (auto removed = sys::remove_at(directory_.get(), file); !removed && removed.error().code != ENOENT)
      return sys::wrap(std::move(removed).error(), path());
  auto removed = sys::remove_at(AT_FDCWD, path(), AT_REMOVEDIR);
  if (!removed && removed.error().code == ENOENT) return {};
  return removed;
}

// ---- all of them ------------------------------------------------------------------------------------------------

std::string StateRoot::default_path(uint32_t uid, bool in_user_namespace, const char* xdg_runtime_dir) {
  constexpr char kOfRoot[] = "/run/cloche-runtime";
  if (uid == 0 && !in_user_namespace) return kOfRoot;
  if (xdg_runtime_dir != nullptr && xdg_runtime_dir[0] == '/')
    return fmt::format("{}/cloche-runtime", xdg_runtime_dir);
  if (uid == 0) return kOfRoot;
  return fmt::format("/tmp/cloche-runtime-{}", uid);
}

sys::Result<sys::Fd> StateRoot::open(bool make) const {
  auto opened = sys::open_at(AT_FDCWD, path_, O_PATH | O_DIRECTORY);
  if (!opened && opened.error().code == ENOENT && make) {
    CLOCHE_TRY(sys::make_directories(path_, 0700));
    opened = sys::open_at(AT_FDCWD, path_, O_PATH | O_DIRECTORY);
  }
  CLOCHE_TRY_ASSIGN(directory, std::move(opened));
  CLOCHE_TRY(check_owner(directory, path_));
  return directory;
}

sys::Result<ContainerDirectory> StateRoot::make(const std::string& id) const {
  if (const auto problem = id_problem(id)) return sys::fail_because(*problem);
  CLOCHE_TRY_ASSIGN(root, open(true));
  CLOCHE_TRY(sys::make_directory(root.get(), id, 0700));
  CLOCHE_TRY_ASSIGN(directory, sys::open_at(root.get(), id, O_PATH | O_DIRECTORY | O_NOFOLLOW));
  return ContainerDirectory(path_, id, std::move(directory));
}

sys::Result<ContainerDirectory> StateRoot::find(const std::string& id) const {
  if (const auto problem = id_problem(id)) return sys::fail_because(*problem);
  CLOCHE_TRY_ASSIGN(root, open(false));
  CLOCHE_TRY_ASSIGN(directory, sys::open_at(root.get(), id, O_PATH | O_DIRECTORY | O_NOFOLLOW));
  return ContainerDirectory(path_, id, std::move(directory));
}

sys::Result<std::vector<std::string>> StateRoot::ids() const {
  auto opened = open(false);
  if (!opened && opened.error().code == ENOENT) return std::vector<std::string>{};
  if (!opened) return std::unexpected(std::move(opened).error());
  std::vector<std::string> ids;
  DIR* listing = ::opendir(path_.c_str());
  if (listing == nullptr) return sys::fail(errno, fmt::format("opendir({})", path_));
  while (const dirent* entry = ::readdir(listing))
    if (!id_problem(entry->d_name)) ids.emplace_back(entry->d_name);
  ::closedir(listing);
  std::ranges::sort(ids);
  return ids;
}

}  // namespace cloche::runtime
