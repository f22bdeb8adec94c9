#include "engine/run_directory.h"

#include <dirent.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/random.h>
#include <unistd.h>

#include "engine/run.h"
#include "engine/values.h"
#include "plan/undo.h"
#include "runtime/undo.h"
#include "sys/files.h"

namespace cloche::engine {
namespace {

// `run`: what to undo, one a line.
constexpr const char* kNote = "run";
constexpr const char* kUnnamed = ".new-";
constexpr int kMostTries = 16;

std::string note_of(const plan::Plan& plan) {
  std::string note;
  for (const plan::UndoAction& action : plan::undo_of(plan))
    note += fmt::format("{} {}\n", plan::name(action.kind), action.path);
  return note;
}

// The directory, locked, as long as the path leads to it; invalid when somebody else has the lock.
sys::Result<sys::Fd> lock(const std::string& path) {
  CLOCHE_TRY_ASSIGN(directory, sys::open_at(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  CLOCHE_TRY_ASSIGN(locked, sys::lock_file(directory, false));
  if (!locked) return sys::Fd();
  CLOCHE_TRY_ASSIGN(there, sys::leads_to(path, directory));
  if (!there) return sys::fail(ENOENT, "flock()");
  return directory;
}

void remove_run(const std::string& path) {
  (void)sys::remove_at(AT_FDCWD, path + "/scratch", AT_REMOVEDIR);
  (void)sys::remove_at(AT_FDCWD, path + "/" + kNote);
  (void)sys::remove_at(AT_FDCWD, path, AT_REMOVEDIR);
}

void sweep_run(const std::string& path) {
  const auto held = lock(path);
  if (!held || !held->valid()) return;
  // Without a note its maker was killed before anything was done.
  const auto note = sys::read_file(AT_FDCWD, path + "/" + kNote);
  std::vector<plan::UndoAction> actions;
  for (const std::string& line : split(note ? *note : std::string(), '\n')) {
    const size_t space = line.find(' ');
    if (space == std::string::npos) continue;
    if (const auto kind = plan::undo_kind(line.substr(0, space)))
      actions.push_back({.kind = *kind, .path = line.substr(space + 1), .text = line});
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

// Complete and locked before it has its name: nobody ever finds one that is neither running nor dead.
sys::Result<RunDirectory> RunDirectory::make(const std::string& runtime_dir, const plan::Plan& plan) {
  const std::string path = runtime_dir + "/" + plan.container;
  for (int tries = 0;; ++tries) {
    auto made = make_unnamed(runtime_dir, plan);
    if (made) {
      const auto renamed = sys::rename_new_at(AT_FDCWD, made->path_, path);
      if (renamed) {
        made->path_ = path;
        return made;
      }
      if (renamed.error().code == EEXIST)
        return sys::fail_because(fmt::format(
            "a container named {} is running: choose another --name, or end that one", plan.container));
      if (renamed.error().code != ENOENT) return unusable(runtime_dir, sys::errno_text(renamed.error().code));
    } else if (made.error().code != ENOENT) {
      return unusable(runtime_dir, made.error().message());
    }
    // A sweep took it before it was locked, or the last of other runs the runtime directory with it.
    if (tries == kMostTries) return unusable(runtime_dir, "other runs keep removing it");
    CLOCHE_TRY(make_runtime_directory(runtime_dir));
  }
}

sys::Result<RunDirectory> RunDirectory::make_unnamed(const std::string& runtime_dir, const plan::Plan& plan) {
  uint64_t random = 0;
  if (::getrandom(&random, sizeof random, 0) != sizeof random) return sys::fail(errno, "getrandom()");
  const std::string path = fmt::format("{}/{}{:016x}", runtime_dir, kUnnamed, random);
  CLOCHE_TRY(sys::make_directory(AT_FDCWD, path, 0700));
  auto held = lock(path);
  if (held && !held->valid()) return sys::fail(ENOENT, "flock()");
  if (!held) return std::unexpected(std::move(held).error());
  RunDirectory directory(path, *std::move(held));
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
    if (entry->d_name[0] != '.' || std::string_view(entry->d_name).starts_with(kUnnamed))
      sweep_run(runtime_dir + "/" + entry->d_name);
  ::closedir(directory);
}

}  // namespace cloche::engine
