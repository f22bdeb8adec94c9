// The container's file system: its root, the mounts of the config in their order, /dev, what is covered.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>

#include "plan/builder.h"
#include "plan/mount_options.h"
#include "sys/number.h"

namespace cloche::plan {
namespace {

Step step(Side side, std::string id, Action action, Why why) {
  return {.id = std::move(id), .action = std::move(action), .why = std::move(why), .side = side};
}

bool asks_for(const std::string& propagation, std::string_view word) {
  return propagation == word ||
         (propagation.starts_with('r') && std::string_view(propagation).substr(1) == word);
}

// One entry of "mounts", with its options read.
struct Wanted {
  const spec::Mount& mount;
  std::string field, target;
  MountOptions options;
};

// A fresh proc, sysfs or mqueue belongs to a pid, network or ipc namespace; the kernel gives it only to a
// user namespace that owns that one (FS_USERNS_MOUNT and the check in each file system's init_fs_context).
const char* owner_of(const std::string& type) {
  if (type == "proc") return "pid";
  if (type == "sysfs") return "network";
  if (type == "mqueue") return "ipc";
  return nullptr;
}
const char* host_instance(const std::string& type) {
  if (type == "proc") return "/proc";
  if (type == "sysfs") return "/sys";
  return "/dev/mqueue";
}

// "gid=5" of devpts and its like: the kernel says EINVAL where the id is not mapped.
Planned check_owner_options(const Builder& b, const Wanted& wanted) {
  for (const auto& word : wanted.options.data) {
    const bool uid = word.starts_with("uid=");
    if (!uid && !word.starts_with("gid=")) continue;
    const auto id = sys::whole_number<uint32_t>(std::string_view(word).substr(4));
    if (!id) continue;  // the file system's to judge
    if (!(uid ? b.maps_uid(*id) : b.maps_gid(*id)))
      return refuse(
          wanted.field + ".options",
          fmt::format("{} of \"{}\" has no place in the id map of the new user namespace: leave the option "
                      "out, or map the id in linux.{}Mappings",
                      *id, word, uid ? "uid" : "gid"));
  }
  return {};
}

// SELinux has no context= for what it labels by type (proc, sysfs) or by the host's own files (cgroup2).
std::optional<std::string> label_of(const Builder& b, const std::string& type, const Strings& options) {
  if (b.os.mountLabel.empty() || type == "proc" || type == "sysfs" || type == "cgroup2") return {};
  if (std::ranges::any_of(options, [](const auto& word) { return word.starts_with("context="); })) return {};
  return b.os.mountLabel;
}

// What is set for the whole tree at once, whoever mounts it (cgroup-v2.rst, "Mounting").
bool is_cgroup2_option(std::string_view word) {
  return word == "nsdelegate" || word == "favordynmods" || word.starts_with("memory_") ||
         word.starts_with("pids_");
}

// Those that were asked for; words of v1 hierarchies ("name=systemd", a controller's name) mean nothing here. A mount
// in the host's cgroup namespace sets them anew on the host too, so it repeats what is set there.
Strings cgroup2_options(const Builder& b, const Strings& asked) {
  Strings options;
  std::ranges::copy_if(asked, std::back_inserter(options), is_cgroup2_option);
  if (b.name_space("cgroup").is_new()) return options;
  for (const std::string& word : b.facts.cgroup.options)
    if (is_cgroup2_option(word) && std::ranges::find(options, word) == options.end()) options.push_back(word);
  return options;
}

void plan_new_fs(Builder& b, const Wanted& wanted, MountPlan& mounts) {
  const auto& [mount, field, target, options] = wanted;
  const auto id = "mount:" + target;
  Strings attributes = options.attributes;
  for (const auto& word : options.recursive_attributes)
    if (std::ranges::find(attributes, word) == attributes.end()) attributes.push_back(word);
  const char* owner = owner_of(mount.type);
  if (owner && b.name_space("user").is_new() && !b.name_space(owner).is_new()) {
    // A program that needs message queues says so itself; the host's are not those of a joined namespace.
    const bool there =
        std::ranges::any_of(b.facts.mounts, [&](const HostMount& m) { return m.target == "/dev/mqueue"; });
    if (mount.type == "mqueue" && (!there || b.name_space(owner).joined())) {
      b.note(target, there ? "left out: the host's message queues are not those of the joined ipc namespace"
                           : "left out: the host has no mqueue mounted that could be shown");
      return;
    }
    b.note(target,
           fmt::format("the host's own {} is shown: the kernel makes a new {} only for the owner of the {} "
                       "namespace, which is shared or joined",
                       host_instance(mount.type), mount.type, owner));
    mounts.attach.push_back(step(Side::container, id,
                                 BindMount{.source = host_instance(mount.type),
                                           .target = target,
                                           .recursive = true,
                                           .recursive_attributes = attributes,
                                           .propagation = "rprivate"},
                                 b.why(field)));
    return;
  }
  MountFs fs{.type = mount.type,
             .source = mount.source.empty() ? mount.type : mount.source,
             .target = target,
             .attributes = attributes,
             .options = options.data,
             .propagation = options.propagation};
  if (mount.type == "cgroup" || mount.type == "cgroup2") {
    fs.type = "cgroup2";
    fs.source = "cgroup";
    fs.fallback = "bind";
    fs.options = cgroup2_options(b, options.data);
  } else if (owner && b.name_space("user").joined()) {
    fs.fallback = "bind";
  }
  if (options.copy_up) fs.contents = "copied";
  fs.label = label_of(b, fs.type, fs.options);
  mounts.attach.push_back(step(Side::container, id, std::move(fs), b.why(field)));
}

Planned check_idmap(const Builder& b, const Wanted& wanted) {
  const auto& mount = wanted.mount;
  const bool maps = !mount.uidMappings.empty() || !mount.gidMappings.empty();
  if (wanted.options.idmap == MountOptions::Idmap::none && !maps) return {};
  if (mount.uidMappings.empty() != mount.gidMappings.empty())
    return refuse(wanted.field, "an id-mapped mount needs both uidMappings and gidMappings");
  if (!maps && !b.name_space("user").is_new())
    return refuse(wanted.field + ".options",
                  "without maps of its own an id-mapped mount takes those of the "
                  "container's new user namespace, and there is none");
  if (!b.facts.privileged)
    return refuse(wanted.field,
                  "an id-mapped mount needs root on the host: the kernel lets only the "
                  "owner of the file system shift its ids (mount_setattr(2))");
  return {};
}

Planned plan_bind(Builder& b, const Wanted& wanted, MountPlan& mounts) {
  const auto& [mount, field, target, options] = wanted;
  CLOCHE_PLAN(check_idmap(b, wanted));
  if (mount.source.empty()) return refuse(field + ".source", "a bind mount needs a source");
  std::string source = mount.source;
  if (!source.starts_with('/')) {
    if (b.request.bundle.empty())
      return refuse(field + ".source", fmt::format("\"{}\" must be an absolute path", source));
    source = b.request.bundle + absolute_in_container(source);
  }
  if (!options.data.empty())
    b.note(target, fmt::format("{} left out: a bind mount has the settings of its source's file system",
                               join(options.data, ", ")));
  BindMount bind{.source = source,
                 .target = target,
                 .recursive = options.recursive,
                 .attributes = options.attributes,
                 .cleared = options.cleared,
                 .recursive_attributes = options.recursive_attributes,
                 .propagation = options.propagation,
                 .recursive_cleared = options.recursive_cleared};
  if (bind.propagation.empty()) bind.propagation = options.recursive ? "rprivate" : "private";
  const bool idmap = options.idmap != MountOptions::Idmap::none || !mount.uidMappings.empty();
  const bool shared = asks_for(bind.propagation, "shared");
  if (shared && b.user_namespace())
    return refuse(
        field + ".options",
        fmt::format("\"{}\" would have mounts made inside appear on the host, which a user namespace "
                    "cannot: use rslave, which shows the host's mounts inside",
                    bind.propagation));
  if (idmap || shared || b.opens_for_container()) {
    bind.slot = "source:" + target;
    for (int count = 2; std::ranges::any_of(
             mounts.open, [&](const Step& s) { return std::get<OpenTree>(s.action).slot == bind.slot; });
         ++count)
      bind.slot = fmt::format("source:{}#{}", target, count);
    mounts.open.push_back(step(Side::host, "open-tree:" + target,
                               OpenTree{source, bind.slot, options.recursive, shared}, b.why(field)));
    if (idmap)
      mounts.idmap.push_back(step(Side::host, "idmap:" + target,
                                  IdmapTree{.slot = bind.slot,
                                            .recursive = options.idmap == MountOptions::Idmap::recursive,
                                            .uids = mount.uidMappings,
                                            .gids = mount.gidMappings},
                                  b.why(field)));
  }
  mounts.attach.push_back(step(Side::container, "mount:" + target, std::move(bind), b.why(field)));
  return {};
}

std::expected<Wanted, Refusal> read_mount(const Builder& b, size_t index) {
  const auto& mount = b.spec.mounts[index];
  auto field = fmt::format("mounts[{}]", index);
  if (mount.destination.empty()) return refuse(field + ".destination", "a mount needs a destination");
  auto options = parse_mount_options(mount.options, field, mount.type == "bind");
  if (!options) return std::unexpected(std::move(options).error());
  if (!options->bind && (mount.type.empty() || mount.type == "none"))
    return refuse(field + ".type", "a mount needs a file system's type, or the option bind");
  Wanted wanted{mount, std::move(field), absolute_in_container(mount.destination), std::move(*options)};
  if (wanted.target == "/") return refuse(wanted.field + ".destination", "the root is given by root.path");
  if (!wanted.options.bind &&
      (wanted.options.idmap != MountOptions::Idmap::none || !mount.uidMappings.empty()))
    return refuse(wanted.field, "only a bind mount can be id-mapped");
  if (wanted.options.copy_up && (wanted.options.bind || mount.type != "tmpfs"))
    return refuse(wanted.field + ".options", "tmpcopyup is for a tmpfs: nothing else begins empty");
  return wanted;
}

struct DefaultDevice {
  const char* path;
  int64_t major, minor;
};
// config-linux.md, "Default Devices"; numbers from Documentation/admin-guide/devices.txt.
constexpr std::array kDefaultDevices = {
    DefaultDevice{"/dev/null", 1, 3},   DefaultDevice{"/dev/zero", 1, 5},    DefaultDevice{"/dev/full", 1, 7},
    DefaultDevice{"/dev/random", 1, 8}, DefaultDevice{"/dev/urandom", 1, 9}, DefaultDevice{"/dev/tty", 5, 0}};
struct DefaultLink {
  const char *path, *target;
};
constexpr std::array kDefaultLinks = {
    DefaultLink{"/dev/fd", "/proc/self/fd"},       DefaultLink{"/dev/stdin", "/proc/self/fd/0"},
    DefaultLink{"/dev/stdout", "/proc/self/fd/1"}, DefaultLink{"/dev/stderr", "/proc/self/fd/2"},
    DefaultLink{"/dev/core", "/proc/kcore"},       DefaultLink{"/dev/ptmx", "pts/ptmx"}};

std::expected<MakeDevice, Refusal> read_device(const spec::Device& device, const std::string& field) {
  MakeDevice made{.path = absolute_in_container(device.path), .type = device.type == "u" ? "c" : device.type};
  if (!device.path.starts_with('/')) return refuse(field + ".path", "a device needs an absolute path");
  if (made.type != "c" && made.type != "b" && made.type != "p")
    return refuse(field + ".type", fmt::format("\"{}\" is none of c, u, b and p", device.type));
  if (made.type != "p" && (!device.major || !device.minor))
    return refuse(field + ".major", "a device needs its major and minor numbers");
  made.major = device.major.value_or(0);
  made.minor = device.minor.value_or(0);
  made.mode = device.fileMode.value_or(0666) & 07777;
  made.uid = device.uid.value_or(0);
  made.gid = device.gid.value_or(0);
  return made;
}

}  // namespace

std::expected<std::string, Refusal> namespace_propagation(const Builder& b) {
  const auto& wanted = b.os.rootfsPropagation;
  constexpr std::array<std::string_view, 4> kWords = {"private", "slave", "shared", "unbindable"};
  if (!wanted.empty() && std::ranges::none_of(kWords, [&](auto word) { return asks_for(wanted, word); }))
    return refuse("linux.rootfsPropagation",
                  fmt::format("\"{}\" is none of private, slave, shared and unbindable "
                              "(with or without a leading r)",
                              wanted));
  bool slave = asks_for(wanted, "slave");
  for (const auto& mount : b.spec.mounts)
    for (const auto& option : mount.options) slave = slave || asks_for(option, "slave");
  // A bind mount can only follow what is followed here. Never shared: the new root is mounted on "/", and as a peer of
  // the host's "/" it would cover that too. What is to stay a peer is opened before (plan_bind).
  return slave ? "slave" : "private";
}

Planned plan_root(Builder& b, MountPlan& mounts) {
  auto propagation = namespace_propagation(b);
  if (!propagation) return std::unexpected(std::move(propagation).error());
  if (b.name_space("mount").is_new()) {
    const bool from_config = *propagation != "private";
    mounts.attach.push_back(
        step(Side::container, "mount-propagation", SetPropagation{*propagation},
             from_config ? b.why(b.os.rootfsPropagation.empty() ? "mounts" : "linux.rootfsPropagation")
                         : Builder::standard("no mount made here reaches the host")));
  }
  if (const auto* host = std::get_if<HostRoot>(&b.request.root)) return plan_host_root(b, *host, mounts);

  const auto& bundle = std::get<BundleRoot>(b.request.root);
  if (bundle.path.empty() || !bundle.path.starts_with('/'))
    return refuse("root.path", "the root file system needs an absolute path");
  if (bundle.path == "/")
    return refuse("root.path", "the host's own root cannot be a container's: use the image host");
  BindRoot root{.path = bundle.path, .propagation = *propagation == "slave" ? "rslave" : "rprivate"};
  if (b.opens_for_container()) {
    root.slot = "rootfs";
    mounts.open.push_back(
        step(Side::host, "open-tree:/", OpenTree{bundle.path, root.slot, true}, b.why("root.path")));
  }
  mounts.attach.push_back(step(Side::container, "rootfs", std::move(root), b.why("root.path")));
  return {};
}

Planned plan_mounts(Builder& b, MountPlan& mounts) {
  const auto is_dev = [](const spec::Mount& m) { return absolute_in_container(m.destination) == "/dev"; };
  bool own_dev = std::ranges::any_of(b.spec.mounts, is_dev);
  for (size_t i = 0; i < b.spec.mounts.size(); ++i) {
    auto wanted = read_mount(b, i);
    if (!wanted) return std::unexpected(std::move(wanted).error());
    if (!own_dev && is_below(wanted->target, "/dev")) own_dev = (plan_own_dev(b, mounts), true);
    if (wanted->options.bind) {
      CLOCHE_PLAN(plan_bind(b, *wanted, mounts));
    } else {
      CLOCHE_PLAN(check_owner_options(b, *wanted));
      plan_new_fs(b, *wanted, mounts);
    }
  }
  if (!own_dev) plan_own_dev(b, mounts);
  return {};
}

void plan_own_dev(const Builder& b, MountPlan& mounts) {
  mounts.attach.push_back(step(Side::container, "mount:/dev",
                               MountFs{.type = "tmpfs",
                                       .source = "tmpfs",
                                       .target = "/dev",
                                       .attributes = {"nosuid", "strictatime"},
                                       .options = {"mode=755", "size=65536k"},
                                       .label = label_of(b, "tmpfs", {})},
                               Builder::standard("devices never come from an image")));
}

Planned plan_devices(Builder& b, MountPlan& mounts) {
  const bool bind = b.user_namespace() || !b.facts.privileged;
  const auto mounted_on = [&](std::string_view path) {
    return std::ranges::any_of(b.spec.mounts,
                               [&](const auto& m) { return absolute_in_container(m.destination) == path; });
  };
  // A /dev of the host's, bound, is the host's business.
  const bool host_dev = std::ranges::any_of(b.spec.mounts, [](const auto& m) {
    return absolute_in_container(m.destination) == "/dev" &&
           (m.type == "bind" || std::ranges::find(m.options, "bind") != m.options.end() ||
            std::ranges::find(m.options, "rbind") != m.options.end());
  });

  std::vector<std::pair<MakeDevice, Why>> devices;
  if (!host_dev)
    for (const auto& [path, major, minor] : kDefaultDevices)
      devices.emplace_back(MakeDevice{.path = path, .type = "c", .major = major, .minor = minor},
                           Builder::standard("every Linux container has it (OCI default devices)"));
  for (size_t i = 0; i < b.os.devices.size(); ++i) {
    const auto field = fmt::format("linux.devices[{}]", i);
    auto device = read_device(b.os.devices[i], field);
    if (!device) return std::unexpected(std::move(device).error());
    std::erase_if(devices, [&](const auto& other) { return other.first.path == device->path; });
    devices.emplace_back(std::move(*device), b.why(field));
  }
  for (auto& [device, why] : devices) {
    if (mounted_on(device.path)) continue;
    device.how = bind && device.type != "p" ? "bind" : "mknod";
    auto id = "device:" + device.path;
    mounts.attach.push_back(step(Side::container, std::move(id), std::move(device), std::move(why)));
  }
  if (host_dev) return {};
  for (const auto& [path, target] : kDefaultLinks)
    if (!mounted_on(path))
      mounts.attach.push_back(step(Side::container, fmt::format("symlink:{}", path),
                                   MakeSymlink{path, target},
                                   Builder::standard("programs expect it (OCI /dev symbolic links)")));
  return {};
}

}  // namespace cloche::plan
