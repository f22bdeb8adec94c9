// What is on disk of a container, in <root>/<id>/ (directory 0700, files 0600):
//   state.json   everything needed to remove it again; written before anything is left on the host, never changed
//   config.json  the config as it was read: `exec` and the later hooks need it
//   init         pid and start time of its first process; written once, when there is one
//   criu/        while criu dumps or restores it: a CriuPlace
//   start        the socket on which that process waits for `start`; gone when it has been started
// What a container is doing is not written down but looked up, so that it cannot be out of date.
#pragma once

#include <boost/describe.hpp>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plan/undo.h"
#include "runtime/process_mark.h"
#include "sys/error.h"
#include "sys/fd.h"

namespace cloche::runtime {

// One plan::UndoAction as it is stored; `kind` is plan::name(UndoAction::Kind).
struct SavedUndo {
  std::string kind, path, text;
};
BOOST_DESCRIBE_STRUCT(SavedUndo, (), (kind, path, text))

struct SavedState {
  static constexpr int64_t kVersion = 1;
  int64_t version = kVersion;
  std::string id, ociVersion, bundle, rootfs;
  std::string created;  // RFC 3339, UTC, nanoseconds
  std::string owner;  // the user's name, or its number where it has none
  std::map<std::string, std::string> annotations;
  std::string cgroup;  // absolute; empty: none of its own
  std::string
      agent;  // the socket that `start` connects to for the filter (linux.seccomp.listenerPath); empty: none
  // What criu calls the standard streams that it was made with, as far as they lead outside; empty: not known.
  std::vector<std::string> streams;
  std::vector<SavedUndo> undo;
  ProcessMark creator;
};
BOOST_DESCRIBE_STRUCT(SavedState, (),
                      (version, id, ociVersion, bundle, rootfs, created, owner, annotations, cgroup, agent,
                       streams, undo, creator))

[[nodiscard]] std::string to_json(const SavedState& state);
sys::Result<SavedState> parse_state(std::string_view json);
[[nodiscard]] std::vector<SavedUndo> saved(const std::vector<plan::UndoAction>& actions);
[[nodiscard]] std::vector<plan::UndoAction> undo_actions(const SavedState& state);

enum class Status { creating, created, running, paused, stopped };
[[nodiscard]] std::string_view name(Status status);

// What is wrong with an id, as one sentence; nothing when it is fine. Letters, digits and _ + - . as in runc, at most
// 255 of them; "." and ".." are none.
[[nodiscard]] std::optional<std::string> id_problem(std::string_view id);

// The directory of one container.
class ContainerDirectory {
 public:
  ContainerDirectory(std::string root, std::string id, sys::Fd directory)
      : root_(std::move(root)), id_(std::move(id)), directory_(std::move(directory)) {}

  [[nodiscard]] const std::string& id() const { return id_; }
  [[nodiscard]] const sys::Fd& fd() const { return directory_; }
  [[nodiscard]] std::string path() const { return root_ + "/" + id_; }

  // Complete or not there at all, also after a kill -9. EFBIG: more than read_state() would read.
  sys::Result<> write_state(const SavedState& state) const;
  sys::Result<> write_config(std::string_view json) const;
  // The file for the first process to write itself into.
  sys::Result<sys::Fd> make_init() const;
  // ENOENT: the creation was interrupted before it left anything on the host.
  sys::Result<SavedState> read_state() const;
  sys::Result<std::string> read_config() const;
  // Its creation has ended well. Before, its maker may still undo by path what it did, without the lock.
  sys::Result<> mark_made() const;
  [[nodiscard]] bool is_made() const;
  [[nodiscard]] std::optional<ProcessMark> read_init() const;

  sys::Result<sys::Fd> listen_for_start() const;
  sys::Result<sys::Fd> connect_for_start() const;
  [[nodiscard]] bool awaits_start() const;
  sys::Result<> forget_start() const;

  // One at a time of those that change what is there: the making, `start`, `delete`, the end of `run`. The lock ends
  // with the descriptor. ENOENT: this directory was removed meanwhile, whatever has its name now. ETIMEDOUT: somebody
  // else still holds it after so many milliseconds.
  sys::Result<sys::Fd> lock(int patience = kUnbounded) const;
  static constexpr int kUnbounded = -1;

  // Its files, the state last, and itself. By whoever holds the lock.
  sys::Result<> remove() const;

 private:
  sys::Result<> write(const char* name, std::string_view content) const;
  std::string root_, id_;
  sys::Fd directory_;
};

// The directory of all containers.
class StateRoot {
 public:
  // /run/cloche-runtime for root, $XDG_RUNTIME_DIR/cloche-runtime or /tmp/cloche-runtime-UID for others. Root of a user
  // namespace is mostly an ordinary user, whose engine runs us there: it has the others' place where that is named.
  static std::string default_path(uint32_t uid, bool in_user_namespace, const char* xdg_runtime_dir);
  // Nothing is made or checked until a container is.
  explicit StateRoot(std::string path) : path_(std::move(path)) {}

  [[nodiscard]] const std::string& path() const { return path_; }
  // Where criu works while it dumps or restores that container (CriuPlace).
  [[nodiscard]] std::string criu_place(const std::string& id) const { return path_ + "/" + id + "/criu"; }
  // EEXIST: a container of that id is there.
  sys::Result<ContainerDirectory> make(const std::string& id) const;
  // ENOENT: there is none.
  sys::Result<ContainerDirectory> find(const std::string& id) const;
  // Sorted. A root that is not there has none.
  sys::Result<std::vector<std::string>> ids() const;

 private:
  sys::Result<sys::Fd> open(bool make) const;
  std::string path_;
};

// Now, as RFC 3339 with nanoseconds: "2026-01-02T03:04:05.000000006Z".
[[nodiscard]] std::string timestamp();

}  // namespace cloche::runtime
