// The container side's verbs that make the new root and enter it.
#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include "runtime/container_side.h"
#include "runtime/mount_words.h"
#include "sys/call.h"
#include "sys/files.h"
#include "sys/mounts.h"

namespace cloche::runtime {
namespace {

// "size=64m" or "userxattr" into a context.
sys::Result<> configure(sys::FsContext& context, const std::vector<std::string>& options) {
  for (const std::string& option : options) {
    const size_t equals = option.find('=');
    if (equals == std::string::npos)
      CLOCHE_TRY(context.set_flag(option));
    else
      CLOCHE_TRY(context.set_string(option.substr(0, equals), option.substr(equals + 1)));
  }
  return {};
}

sys::Result<sys::Fd> new_tmpfs(const std::vector<std::string>& options, uint64_t attributes) {
  CLOCHE_TRY_ASSIGN(context, sys::FsContext::open("tmpfs"));
  CLOCHE_TRY(context.set_string("source", "tmpfs"));
  CLOCHE_TRY(configure(context, options));
  CLOCHE_TRY(context.create());
  return context.mount(attributes);
}

// Paths of upper and work directories are the plan's, below the scratch mount; here they are used relative to it.
std::string below_scratch(const std::string& path, const std::string& scratch) {
  std::string_view rest = path;
  if (!scratch.empty() && rest.starts_with(scratch)) rest.remove_prefix(scratch.size());
  while (rest.starts_with('/')) rest.remove_prefix(1);
  return std::string(rest);
}

sys::Result<> make_below(const sys::Fd& top, const std::string& path, mode_t mode) {
  CLOCHE_TRY_ASSIGN(made, sys::make_directory_in_root(top, path, mode));
  return {};
}

// A path can lead anywhere, "../../.." for one.
sys::Result<> check_root(const sys::Fd& tree, const std::string& path) {
  CLOCHE_TRY_ASSIGN(st, sys::stat_fd(tree));
  CLOCHE_TRY_ASSIGN(host, sys::stat_at(AT_FDCWD, "/"));
  if (!S_ISDIR(st.st_mode)) return sys::fail(ENOTDIR, fmt::format("open_tree(AT_FDCWD, \"{}\")", path));
  if (st.st_dev == host.st_dev && st.st_ino == host.st_ino)
    return sys::fail_because(fmt::format("{} is the host's own root, which cannot be a container's", path));
  return {};
}

std::string scratch_path(const plan::Plan& plan) {
  for (const plan::Step& step : plan.steps)
    if (const auto* scratch = std::get_if<plan::MountScratch>(&step.action)) return scratch->path;
  return {};
}

// In one `lowerdir`, joined by colons: a colon or backslash of a path is escaped.
std::string joined_lowers(const std::vector<std::string>& lowers) {
  std::string joined;
  for (const std::string& lower : lowers) {
    if (!joined.empty()) joined += ':';
    for (const char c : lower) {
      if (c == ':' || c == '\\') joined += '\\';
      joined += c;
    }
  }
  return joined;
}

struct Layers {
  std::vector<std::string> lowers;
  std::string upper, work;
};

sys::Result<sys::Fd> new_overlay(const Layers& layers, const std::vector<std::string>& options,
                                 bool appended) {
  CLOCHE_TRY_ASSIGN(context, sys::FsContext::open("overlay"));
  CLOCHE_TRY(context.set_string("source", "overlay"));
  if (appended)
    for (const std::string& lower : layers.lowers) CLOCHE_TRY(context.set_string("lowerdir+", lower));
  else
    CLOCHE_TRY(context.set_string("lowerdir", joined_lowers(layers.lowers)));
  CLOCHE_TRY(context.set_string("upperdir", layers.upper));
  CLOCHE_TRY(context.set_string("workdir", layers.work));
  CLOCHE_TRY(configure(context, options));
  CLOCHE_TRY(context.create());
  return context.mount(0);
}

}  // namespace

sys::Result<> ContainerSide::act(const plan::SetPropagation& step) {
  CLOCHE_TRY_ASSIGN(bits, propagation_bits(step.propagation));
  return sys::set_mount_attributes(AT_FDCWD, "/", {.propagation = bits}, true);
}

// The new root is stacked on the old one: "/" is the one directory that is there in every mount namespace, and
// pivot_root wants the new root to be a mount point that is reachable from the current root.
sys::Result<> ContainerSide::attach_new_root(sys::Fd root) {
  CLOCHE_TRY(sys::attach_mount(root, AT_FDCWD, "/"));
  root_ = std::move(root);
  return {};
}

sys::Result<> ContainerSide::act(const plan::BindRoot& step) {
  sys::Fd tree;
  if (step.slot.empty()) {
    CLOCHE_TRY_ASSIGN(cloned, tree_at(step.path, step.recursive));
    tree = std::move(cloned);
  } else {
    tree = std::move(prepared_.trees[step.slot]);
  }
  CLOCHE_TRY(check_root(tree, step.path));
  CLOCHE_TRY_ASSIGN(bits, propagation_bits(step.propagation.empty() ? "private" : step.propagation));
  CLOCHE_TRY(sys::set_mount_attributes(tree, {.propagation = bits}, true));
  return attach_new_root(std::move(tree));
}

sys::Result<> ContainerSide::act(const plan::TmpfsRoot& step) {
  CLOCHE_TRY_ASSIGN(root, new_tmpfs(step.options, 0));
  return attach_new_root(std::move(root));
}

sys::Result<> ContainerSide::act(const plan::MountScratch& step) {
  CLOCHE_TRY_ASSIGN(scratch, new_tmpfs(step.options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV));
  const auto place = places_.find(step.path);
  CLOCHE_TRY(place == places_.end() ? sys::attach_mount(scratch, AT_FDCWD, step.path)
                                    : sys::attach_mount(scratch, place->second));
  scratch_ = std::move(scratch);
  return {};
}

sys::Result<> ContainerSide::act(const plan::MountOverlay& step) {
  const std::string scratch = scratch_path(plan_);
  const std::string upper = below_scratch(step.upper, scratch);
  const std::string work = below_scratch(step.work, scratch);
  CLOCHE_TRY(make_below(scratch_, upper, 0755));
  CLOCHE_TRY(make_below(scratch_, work, 0755));
  for (const std::string& directory : step.skeleton) {
    std::string relative = upper;
    if (!directory.starts_with('/')) relative += '/';
    CLOCHE_TRY(make_below(scratch_, relative + directory, 0755));
  }
  std::vector<std::string> lowers = step.lowers;
  if (!step.lower_slot.empty()) {
    // The kernel takes layers only from mounts that are attached in the mounter's namespace.
    CLOCHE_TRY_ASSIGN(place, sys::make_directory_in_root(scratch_, "lower", 0755));
    CLOCHE_TRY(sys::attach_mount(prepared_.trees[step.lower_slot], place));
    lowers = {"lower"};
  }
  // Relative to the scratch mount: its own path may be out of the mapped root's reach.
  CLOCHE_TRY(sys::change_directory(scratch_));
  // One `lowerdir+` for each layer from Linux 6.8 on. Before, the key is refused at once, or (before 6.5) taken like any
  // other and refused when the file system is made.
  const Layers layers{.lowers = lowers, .upper = upper, .work = work};
  auto made = new_overlay(layers, step.options, true);
  if (!made && made.error().code == EINVAL) {
    made = new_overlay(layers, step.options, false);
    if (made) note_fallback(record_, index_, "lowerdir= (no lowerdir+ before Linux 6.8)");
  }
  CLOCHE_TRY_ASSIGN(overlay, std::move(made));
  if (step.target == "/") return attach_new_root(std::move(overlay));
  CLOCHE_TRY_ASSIGN(target, directory_target(step.target));
  return sys::attach_mount(overlay, target);
}

sys::Result<> ContainerSide::act(const plan::PivotRoot&) {
  CLOCHE_TRY(sys::change_directory(root_));
  CLOCHE_TRY(sys::pivot_to_working_directory());
  const long raw = sys::raw_call(SYS_chdir, "/");
  if (raw < 0) return sys::fail(static_cast<int>(-raw), "chdir(\"/\")");
  return {};
}

sys::Result<> ContainerSide::act(const plan::RootReadonly&) {
  return sys::set_mount_attributes(root_, {.set = MOUNT_ATTR_RDONLY}, false);
}

sys::Result<> ContainerSide::act(const plan::RootPropagation& step) {
  CLOCHE_TRY_ASSIGN(bits, propagation_bits(step.propagation));
  return sys::set_mount_attributes(root_, {.propagation = bits}, recursive_propagation(step.propagation));
}

}  // namespace cloche::runtime
