#include "runtime/copy_tree.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <set>

#include "sys/contents.h"
#include "sys/files.h"

namespace cloche::runtime {
namespace {

constexpr uid_t kUnchanged = ~0U;  // to chown(2)

class Copy {
 public:
  explicit Copy(const sys::Fd& proc) : proc_(proc) {}

  sys::Result<> directory(const sys::Fd& from, const sys::Fd& to);
  sys::Result<> attributes(const sys::Fd& from, const sys::Fd& to, struct stat like);
  // Below the first directory; after a failure, of the entry that failed.
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string left() const { return fmt::format("{}", fmt::join(left_, ", ")); }

 private:
  sys::Result<> entry(const sys::Fd& from, const sys::Fd& to, const std::string& name);
  sys::Result<> file(const sys::Fd& node, const sys::Fd& to, const std::string& name, const struct stat& st);
  sys::Result<> link(const sys::Fd& node, const sys::Fd& to, const std::string& name, const struct stat& st);
  sys::Result<> node(const sys::Fd& to, const std::string& name, const struct stat& st);
  sys::Result<bool> owner(int dirfd, const std::string& name, const struct stat& st);
  sys::Result<> extended(const sys::Fd& from, const sys::Fd& to);

  const sys::Fd& proc_;
  std::string path_;
  std::set<std::string> left_;
};

sys::Result<> Copy::directory(const sys::Fd& from, const sys::Fd& to) {
  CLOCHE_TRY_ASSIGN(names, sys::list_directory(from));
  for (const std::string& name : names) {
    const size_t length = path_.size();
    path_ += "/" + name;
    CLOCHE_TRY(entry(from, to, name));
    path_.resize(length);
  }
  return {};
}

// Looked at through the descriptor that is then read: what is exchanged meanwhile is never opened for what it was.
sys::Result<> Copy::entry(const sys::Fd& from, const sys::Fd& to, const std::string& name) {
  auto found = sys::open_at(from.get(), name, O_PATH | O_NOFOLLOW);
  if (!found && found.error().code == ENOENT) return {};  // gone meanwhile
  CLOCHE_TRY_ASSIGN(place, std::move(found));
  CLOCHE_TRY_ASSIGN(st, sys::stat_fd(place));
  if (S_ISREG(st.st_mode)) return file(place, to, name, st);
  if (S_ISLNK(st.st_mode)) return link(place, to, name, st);
  if (!S_ISDIR(st.st_mode)) return node(to, name, st);
  CLOCHE_TRY(sys::make_directory(to.get(), name, 0700));
  CLOCHE_TRY_ASSIGN(target, sys::open_at(to.get(), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  CLOCHE_TRY_ASSIGN(source, sys::open_at(place.get(), ".", O_RDONLY | O_DIRECTORY));
  CLOCHE_TRY(directory(source, target));
  return attributes(source, target, st);
}

sys::Result<> Copy::file(const sys::Fd& node, const sys::Fd& to, const std::string& name,
                         const struct stat& st) {
  CLOCHE_TRY_ASSIGN(source,
                    sys::open_at(proc_.get(), fmt::format("self/fd/{}", node.get()), O_RDONLY | O_NOCTTY));
  CLOCHE_TRY_ASSIGN(target, sys::open_at(to.get(), name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
  CLOCHE_TRY(sys::copy_content(source, target));
  return attributes(source, target, st);
}

sys::Result<> Copy::link(const sys::Fd& node, const sys::Fd& to, const std::string& name,
                         const struct stat& st) {
  CLOCHE_TRY_ASSIGN(target, sys::read_link(node.get(), ""));
  CLOCHE_TRY(sys::make_symlink(target, to.get(), name));
  CLOCHE_TRY_ASSIGN(kept, owner(to.get(), name, st));
  (void)kept;
  return sys::set_times(to.get(), name, st);
}

sys::Result<> Copy::node(const sys::Fd& to, const std::string& name, const struct stat& st) {
  auto made = sys::make_node(to.get(), name, st.st_mode, st.st_rdev);
  if (!made && made.error().code == EPERM && (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))) {
    left_.insert("devices");
    return {};
  }
  CLOCHE_TRY(made);
  CLOCHE_TRY_ASSIGN(kept, owner(to.get(), name, st));
  (void)kept;
  return sys::set_times(to.get(), name, st);
}

// False where an id has no place in the user namespace: the file is its root's then.
sys::Result<bool> Copy::owner(int dirfd, const std::string& name, const struct stat& st) {
  auto changed = sys::change_owner(dirfd, name, st.st_uid, st.st_gid);
  if (!changed && changed.error().code == EINVAL) {
    left_.insert("owners outside the id map");
    return false;
  }
  CLOCHE_TRY(changed);
  return true;
}

// In this order: a change of owner takes set-user-id bits and file capabilities away.
sys::Result<> Copy::attributes(const sys::Fd& from, const sys::Fd& to, struct stat like) {
  CLOCHE_TRY_ASSIGN(kept, owner(to.get(), "", like));
  // Set-user-id means somebody else's rights: never those of the root that the file fell to.
  CLOCHE_TRY(sys::change_mode(to, like.st_mode & (kept ? 07777U : 01777U)));
  CLOCHE_TRY(extended(from, to));
  return sys::set_times(to.get(), "", like);
}

sys::Result<> Copy::extended(const sys::Fd& from, const sys::Fd& to) {
  CLOCHE_TRY_ASSIGN(names, sys::list_attributes(from));
  for (const std::string& name : names) {
    // The first is the policy's to give, the others are how an overlay marks its layers.
    if (name == "security.selinux" || name.starts_with("trusted.overlay.")) continue;
    auto value = sys::get_attribute(from, name);
    if (!value && value.error().code == ENODATA) continue;
    CLOCHE_TRY(value);
    auto set = sys::set_attribute(to, name, *value);
    if (!set && (set.error().code == EOPNOTSUPP || set.error().code == EPERM))
      left_.insert("the attribute " + name);
    else
      CLOCHE_TRY(set);
  }
  return {};
}

}  // namespace

sys::Result<std::string> copy_tree(const sys::Fd& from, const sys::Fd& to, const sys::Fd& proc,
                                   const CopiedTop& top) {
  CLOCHE_TRY_ASSIGN(source, sys::open_at(from.get(), ".", O_RDONLY | O_DIRECTORY));
  CLOCHE_TRY_ASSIGN(target, sys::open_at(to.get(), ".", O_RDONLY | O_DIRECTORY));
  CLOCHE_TRY_ASSIGN(like, sys::stat_fd(source));
  CLOCHE_TRY_ASSIGN(own, sys::stat_fd(target));
  Copy copy(proc);
  if (auto copied = copy.directory(source, target); !copied)
    return sys::wrap(std::move(copied).error(), "copying ." + copy.path());
  if (!top.uid) like.st_uid = kUnchanged;
  if (!top.gid) like.st_gid = kUnchanged;
  if (!top.mode) like.st_mode = own.st_mode;
  CLOCHE_TRY(copy.attributes(source, target, like));
  return copy.left();
}

}  // namespace cloche::runtime
