// The image "host": the host's own files as a read-only lower layer, with a fresh upper layer in a tmpfs.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "plan/builder.h"

namespace cloche::plan {
namespace {

constexpr const char* kImage = "host";
// In a user namespace overlayfs keeps its marks in user.* attributes: trusted.* are the host's root's alone.
const Strings kOverlayOptions = {"userxattr"};

Why image() { return {Why::Kind::image, kImage}; }
Why privacy() { return Builder::standard("private files of the host are not shown unless asked for"); }

Step inside(std::string id, Action action, Why why) {
  return {.id = std::move(id), .action = std::move(action), .why = std::move(why), .side = Side::container};
}

struct Cover {
  const char *path, *options;
};
constexpr std::array kCovers = {Cover{"/tmp", "mode=1777"}, Cover{"/var/tmp", "mode=1777"},
                                Cover{"/run", "mode=755"}, Cover{"/root", "mode=700"},
                                Cover{"/home", "mode=755"}};
// Mail and timetables: unreadable to subordinate ids, but the caller's own are his, rootless.
constexpr std::array kPrivate = {"/var/mail", "/var/spool/mail", "/var/spool/cron"};
// Directories that programs and people add to and that the host's root owns: made anew in the upper layer, so that
// the container's root can, and so that a mount's target can be made there (-v /data:/mnt/data).
constexpr std::array<std::string_view, 7> kSkeleton = {"etc", "media", "mnt", "opt", "srv", "usr", "var"};
// Never shown from the host: the kernel's own file systems, the covers, removable and foreign disks.
constexpr std::array<std::string_view, 12> kHidden = {"proc", "sys", "dev",   "tmp",  "run",        "root",
                                                      "home", "mnt", "media", "boot", "lost+found", "efi"};
// Whose mounts are part of the host's programs and settings.
constexpr std::array<std::string_view, 5> kProgramRoots = {"/usr", "/opt", "/nix", "/gnu", "/etc"};
constexpr std::array<std::string_view, 24> kKernelTypes = {
    "proc",     "sysfs",    "devtmpfs", "devpts",    "cgroup",  "cgroup2",    "securityfs", "debugfs",
    "tracefs",  "mqueue",   "bpf",      "pstore",    "ramfs",   "tmpfs",      "autofs",     "binfmt_misc",
    "configfs", "efivarfs", "nsfs",     "hugetlbfs", "fusectl", "rpc_pipefs", "nfsd",       "selinuxfs"};

bool is_one_of(const auto& list, std::string_view word) {
  return std::ranges::find(list, word) != list.end();
}
bool readable_by_all(const RootEntry& entry) { return (entry.mode & 05) == 05; }

class HostImage {
 public:
  HostImage(Builder& b, const HostRoot& root, MountPlan& mounts) : b_(b), root_(root), mounts_(mounts) {}

  Planned run() {
    if (!b_.name_space("user").is_new())
      return refuse("linux.namespaces",
                    "the image host needs a new user namespace: without one the container's "
                    "root would be the host's, with the host's own files before it");
    CLOCHE_PLAN(check_ids(b_.os.uidMappings, b_.facts.subuids, "uid"));
    CLOCHE_PLAN(check_ids(b_.os.gidMappings, b_.facts.subgids, "gid"));
    if (root_.scratch.empty() || !root_.scratch.starts_with('/'))
      return refuse("root", "the image host needs an absolute path for its scratch directory");
    for (const auto& path : root_.shown)
      if (!path.starts_with('/') || absolute_in_container(path) == "/")
        return refuse("root",
                      fmt::format("\"{}\" cannot be shown: give an absolute path below the root", path));
    Strings scratch = {"mode=755"};
    if (!root_.size.empty()) scratch.push_back("size=" + root_.size);
    attach("scratch", MountScratch{root_.scratch, scratch}, image());
    if (b_.facts.privileged)
      one_overlay();
    else
      assembled();
    nested_covers();
    for (const auto& path : root_.shown)
      bind(absolute_in_container(path), Why{Why::Kind::flag, "--show " + path});
    return {};
  }

 private:
  // Root may map any id; but whose ids the container has, his files it can read. A user's map is the kernel's and
  // newuidmap's to refuse.
  [[nodiscard]] Planned check_ids(const std::vector<spec::IDMapping>& map, const std::vector<IdRange>& given,
                                  const char* kind) const {
    if (!b_.facts.privileged) return {};
    for (const auto& line : map) {
      const uint64_t end = uint64_t{line.hostID} + line.size;
      if (std::ranges::any_of(given, [&](const IdRange& range) {
            return line.hostID >= range.first && end <= uint64_t{range.first} + range.count;
          }))
        continue;
      std::string mine;
      for (const IdRange& range : given)
        mine += fmt::format("{}{}-{}", mine.empty() ? "" : ", ", range.first,
                            uint64_t{range.first} + range.count - 1);
      return refuse(
          fmt::format("linux.{}Mappings", kind),
          fmt::format("the host's {0}s {1}-{2} are not all subordinate ones, and with the image host "
                      "the container could read their owners' files: map {0}s of {3} (a line for root "
                      "in /etc/sub{0} gives others)",
                      kind, line.hostID, end - 1, mine.empty() ? "none" : mine));
    }
    return {};
  }

  void attach(std::string id, Action action, Why why) {
    mounts_.attach.push_back(inside(std::move(id), std::move(action), std::move(why)));
  }

  bool shown(std::string_view path) const {
    return std::ranges::any_of(root_.shown, [&](const auto& p) { return absolute_in_container(p) == path; });
  }

  // With root's rights the host's root directory is opened before the clone, in the host's own mount
  // namespace. An overlay shows no mounts below its lower layer: those that hold programs are bound after it.
  void one_overlay() {
    mounts_.open.push_back(
        {.id = "open-tree:/", .action = OpenTree{"/", "lower", false}, .why = image(), .side = Side::host});
    MountOverlay overlay{.target = "/", .lower_slot = "lower", .upper = "upper", .work = "work"};
    for (const auto& entry : b_.facts.root_entries)
      if (is_one_of(kSkeleton, entry.name) && entry.kind == RootEntry::Kind::directory && entry.uid == 0 &&
          readable_by_all(entry))
        overlay.skeleton.push_back("/" + entry.name);
    overlay.options = kOverlayOptions;
    attach("rootfs", std::move(overlay), image());
    for (const auto& target : topmost_program_mounts()) bind(target, image());
    for (const auto& cover : kCovers)
      if (!shown(cover.path) && std::string_view(cover.path).rfind('/') == 0)
        cover_with_tmpfs(cover.path, cover.options);
  }

  // Without them every mount of the host is locked to those below it, and the kernel makes no overlay over a
  // lower layer that has such mounts (clone_private_mount(), EINVAL). So the root is assembled: an overlay
  // for each directory that has none below it, a read-only bind mount for each that has.
  void assembled() {
    attach("rootfs", TmpfsRoot{{"mode=755"}}, image());
    for (const auto& entry : b_.facts.root_entries) {
      const auto path = "/" + entry.name;
      if (is_one_of(kHidden, entry.name)) continue;
      if (entry.kind == RootEntry::Kind::symlink) {
        attach("symlink:" + path, MakeSymlink{path, entry.link}, image());
      } else if (entry.kind == RootEntry::Kind::directory) {
        if (!readable_by_all(entry))
          attach("directory:" + path, MakeDirectory{path, 0755}, privacy());
        else if (has_mounts(path))
          bind(path, image());
        else
          overlay_of(entry);
      }
    }
    for (const auto& cover : kCovers)
      if (std::string_view(cover.path).rfind('/') == 0)
        attach(fmt::format("directory:{}", cover.path), MakeDirectory{cover.path, mode_of(cover.path)},
               privacy());
    for (const char* path : {"/proc", "/sys", "/dev"})
      attach(fmt::format("directory:{}", path), MakeDirectory{path, 0755}, image());
  }

  void overlay_of(const RootEntry& entry) {
    const auto path = "/" + entry.name;
    MountOverlay overlay{.target = path,
                         .lowers = {path},
                         .upper = "upper/" + entry.name,
                         .work = "work/" + entry.name,
                         .options = kOverlayOptions};
    attach("overlay:" + path, std::move(overlay), image());
  }

  void nested_covers() {
    if (!shown("/var/tmp") && (b_.facts.privileged || (has_directory("var") && !has_mounts("/var"))))
      cover_with_tmpfs("/var/tmp", "mode=1777");
    for (const char* path : kPrivate)
      if (!shown(path) && has_directory("var"))
        attach(fmt::format("mask:{}", path), MaskPath{path}, privacy());
    const auto home = absolute_in_container(b_.facts.home);
    const auto covered = [&](const Cover& cover) { return is_below(home, cover.path); };
    const auto top = home.substr(1, home.find('/', 1) - 1);
    if (home == "/" || shown(home) || std::ranges::any_of(kCovers, covered) || is_one_of(kHidden, top))
      return;
    if (has_directory(top)) attach("mask:" + home, MaskPath{home}, privacy());
  }

  void cover_with_tmpfs(const char* path, const char* options) {
    attach(fmt::format("mount:{}", path),
           MountFs{.type = "tmpfs",
                   .source = "tmpfs",
                   .target = path,
                   .attributes = {"nosuid", "nodev"},
                   .options = {options}},
           privacy());
  }

  void bind(const std::string& path, Why why) {
    BindMount made{.source = path,
                   .target = path,
                   .recursive = true,
                   .recursive_attributes = {"ro"},
                   .propagation = "rprivate"};
    if (b_.facts.privileged) {
      made.slot = "source:" + path;
      mounts_.open.push_back({.id = "open-tree:" + path,
                              .action = OpenTree{path, made.slot, true},
                              .why = why,
                              .side = Side::host});
    }
    attach("mount:" + path, std::move(made), std::move(why));
  }

  bool has_mounts(const std::string& path) const {
    return std::ranges::any_of(b_.facts.mounts, [&](const HostMount& m) { return is_below(m.target, path); });
  }
  bool has_directory(std::string_view name) const {
    return std::ranges::any_of(b_.facts.root_entries, [&](const RootEntry& entry) {
      return entry.name == name && entry.kind == RootEntry::Kind::directory;
    });
  }

  // Sorted, without those below another: its recursive bind mount shows them.
  std::vector<std::string> topmost_program_mounts() const {
    std::set<std::string> targets;
    for (const auto& mount : b_.facts.mounts)
      if (!is_one_of(kKernelTypes, mount.type) && !mount.type.starts_with("fuse") &&
          std::ranges::any_of(kProgramRoots, [&](auto root) { return is_below(mount.target, root); }))
        targets.insert(mount.target);
    std::vector<std::string> top;
    for (const auto& target : targets)
      if (std::ranges::none_of(top, [&](const auto& above) { return is_below(target, above); }))
        top.push_back(target);
    return top;
  }

  static uint32_t mode_of(std::string_view path) {
    return path == "/tmp" ? 01777 : path == "/root" ? 0700 : 0755;
  }

  Builder& b_;
  const HostRoot& root_;
  MountPlan& mounts_;
};

}  // namespace

Planned plan_host_root(Builder& b, const HostRoot& root, MountPlan& mounts) {
  return HostImage(b, root, mounts).run();
}

}  // namespace cloche::plan
