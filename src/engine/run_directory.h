// The directory of one run below the runtime directory: the place of its scratch mount, and the note of what would
// have to be taken away if this process died. On tmpfs wherever /run is: nothing is synced.
#pragma once

#include <string>

#include "plan/plan.h"
#include "sys/error.h"
#include "sys/fd.h"

namespace cloche::engine {

// Makes the runtime directory, or makes sure that the one there is this user's alone. Before anything in it is read.
sys::Result<> make_runtime_directory(const std::string& runtime_dir);

class RunDirectory {
 public:
  // Makes <runtime_dir>/<id>/ with its notes, mode 0700, and holds its lock (flock(2)) until the run is over, however
  // that comes: whoever gets the lock knows that the run's process is gone, in whichever pid namespace it was.
  // EEXIST: a run of that name is there.
  static sys::Result<RunDirectory> make(const std::string& runtime_dir, const plan::Plan& plan);
  RunDirectory(RunDirectory&& other) noexcept
      : path_(std::exchange(other.path_, {})), lock_(std::move(other.lock_)) {}
  RunDirectory& operator=(RunDirectory&&) = delete;
  RunDirectory(const RunDirectory&) = delete;
  RunDirectory& operator=(const RunDirectory&) = delete;
  ~RunDirectory();

 private:
  static sys::Result<RunDirectory> make_unnamed(const std::string& runtime_dir, const plan::Plan& plan);
  RunDirectory(std::string path, sys::Fd lock) : path_(std::move(path)), lock_(std::move(lock)) {}
  std::string path_;
  sys::Fd lock_;
};

}  // namespace cloche::engine
