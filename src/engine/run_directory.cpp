#include "engine/run_directory.h"

#include <dirent.h>
#include <fmt/format.h>
#include <unistd.h>

#include <charconv>

#include "engine/run.h"
#include "engine/values.h"
#include "plan/undo.h"
#include "runtime/undo.h"
#include "sys/files.h"

namespace cloche::engine {
namespace {

// `run`: pid and start time of the engine's process, then what to undo, one a line.
constexpr const char* kNote = "run";
constexpr int kMostTries = 16;

// Field 22 of /proc/PID/stat: with the pid it names one process for as long as the machine runs (proc_pid_stat(5)).
std::string start_time(const std::string& pid) {
  auto text = sys::read_file(AT_FDCWD, "/proc/" + pid + "/stat");
  if (!text) return {};
  const size_t name_end = text->rfind(") ");
  if (name_end == std::string::npos) return {};
  const auto fields = split(std::string_view(*text).substr(name_end + 2), ' ');
  return fields.size() > 19 ? fields[19] : std::string();
}

std::string note_of(const plan::Plan& plan) {
  const std::string pid = fmt::format("{}", ::getpid());
  std::string note = fmt::format("{} {}\n", pid, start_time(pid));
  for (const plan::UndoAction& action : plan::undo_of(plan))
    note += fmt::format("{} {}\n", plan::name(action.kind), action.path);
  return note;
}

void remove_run(const std::string& path) {
  (void)sys::remove_at(AT_FDCWD, path + "/scratch", AT_REMOVEDIR);
  (void)sys::remove_at(AT_FDCWD, path + "/" + kNote);
  (void)sys::remove_at(AT_FDCWD, path, AT_REMOVEDIR);
}

void sweep_run(const std::string& path) {
  auto note = sys::read_file(AT_FDCWD, path + "/" + kNote);
  // Without a note its maker is between two calls, or was killed there: an empty directory harms nobody.
  if (!note) return;
  const auto lines = split(*note, '\n');
  const auto owner = split(lines[0], ' ');
  if (owner.size() != 2 || start_time(owner[0]) == owner[1]) return;
  std::vector<plan::UndoAction> actions;
  for (size_t i = 1; i < lines.size(); ++i) {
    const size_t space = lines[i].find(' ');
    if (space == std::string::npos) continue;
    if (const auto kind = plan::undo_kind(lines[i].substr(0, space)))
      actions.push_back({.kind = *kind, .path = lines[i].substr(space + 1), .text = lines[i]});
  }
  if (runtime::undo(actions)) remove_run(path);
}

sys::Failure unusable(const std::string& runtime_dir, const std::string& why) {
  return sys::fail_because(
      fmt::format("the runtime directory {} cannot be used: {}; set XDG_RUNTIME_DIR to a directory of this "
                  "user's, mode 0700",
                  runtime_dir, why));
}

}  // namespace

sys::Result<> make_runtime_directory(const std::string& runtime_dir) {
  if (auto made = sys::make_directories(runtime_dir, 0700); !made)
    return unusable(runtime_dir, made.error().message());
  // In /tmp anyone can make it first: what lies in there would be taken for the notes of our own runs.
  const auto directory = sys::open_at(AT_FDCWD, runtime_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!directory && (directory.error().code == ELOOP || directory.error().code == ENOTDIR))
    return unusable(runtime_dir, "it is a symbolic link or a file");
  if (!directory) return unusable(runtime_dir, directory.error().message());
  CLOCHE_TRY_ASSIGN(st, sys::stat_fd(*directory));
  if (st.st_uid != ::geteuid())
    return unusable(runtime_dir, fmt::format("it belongs to the user {}, not to {}", st.st_uid, ::geteuid()));
  if ((st.st_mode & 022) != 0)
    return unusable(runtime_dir,
                    fmt::format("others may write in it (its mode is {:04o})", st.st_mode & 07777));
  return {};
}

sys::Result<RunDirectory> RunDirectory::make(const std::string& runtime_dir, const plan::Plan& plan) {
  const std::string path = runtime_dir + "/" + plan.container;
  auto made = sys::make_directory(AT_FDCWD, path, 0700);
  // The last of other runs took the runtime directory with it meanwhile.
  for (int tries = 0; !made && made.error().code == ENOENT && tries < kMostTries; ++tries) {
    CLOCHE_TRY(make_runtime_directory(runtime_dir));
    made = sys::make_directory(AT_FDCWD, path, 0700);
  }
  if (!made && made.error().code == EEXIST)
    return sys::fail_because(fmt::format(
        "a container named {} is running: choose another --name, or end that one", plan.container));
  if (!made) return unusable(runtime_dir, made.error().message());
  RunDirectory directory(path);
  CLOCHE_TRY(sys::create_file(AT_FDCWD, path + "/" + kNote, note_of(plan), 0600));
  CLOCHE_TRY(sys::make_directory(AT_FDCWD, path + "/scratch", 0700));
  return directory;
}

// Nothing stays, not even the runtime directory once it is empty: rmdir(2) takes no other.
RunDirectory::~RunDirectory() {
  if (path_.empty()) return;
  remove_run(path_);
  (void)sys::remove_at(AT_FDCWD, path_.substr(0, path_.rfind('/')), AT_REMOVEDIR);
}

void sweep(const std::string& runtime_dir) {
  DIR* directory = ::opendir(runtime_dir.c_str());
  if (directory == nullptr) return;
  while (const dirent* entry = ::readdir(directory))
    if (entry->d_name[0] != '.') sweep_run(runtime_dir + "/" + entry->d_name);
  ::closedir(directory);
}

}  // namespace cloche::engine
