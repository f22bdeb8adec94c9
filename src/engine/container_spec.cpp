#include "engine/container_spec.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "engine/process_options.h"
#include "engine/resource_options.h"
#include "engine/values.h"
#include "kernel/capabilities.h"
#include "spec/default_spec.h"
#include "spec/size.h"

namespace cloche::engine {
namespace {

using plan::Why;

// A container of the image `host` starts with these: enough for a shell and a package manager in a user namespace,
// nothing that reaches the kernel's configuration.
const Strings kCapabilities = {"CAP_CHOWN",  "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER",
                               "CAP_SETGID", "CAP_SETUID",       "CAP_KILL",   "CAP_NET_BIND_SERVICE"};

// Kernel interfaces that show or change the whole machine. The list is the field's common one.
const Strings kMasked = {"/proc/acpi",        "/proc/asound",        "/proc/kcore",
                         "/proc/keys",        "/proc/latency_stats", "/proc/timer_list",
                         "/proc/timer_stats", "/proc/sched_debug",   "/proc/scsi",
                         "/proc/interrupts",  "/sys/firmware",       "/sys/devices/virtual/powercap"};
const Strings kReadonly = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};

constexpr uint32_t kTerminalGroup = 5;  // tty, as distributions number it

std::vector<spec::Mount> standard_mounts() {
  const auto mount = [](const char* target, const char* type, Strings options) {
    return spec::Mount{.destination = target,
                       .type = type,
                       .source = type,
                       .options = std::move(options),
                       .uidMappings = {},
                       .gidMappings = {}};
  };
  return {
      mount("/proc", "proc", {"nosuid", "nodev", "noexec"}),
      mount("/dev", "tmpfs", {"nosuid", "noexec", "strictatime", "mode=755", "size=65536k"}),
      mount("/dev/pts", "devpts", {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}),
      mount("/dev/shm", "tmpfs", {"nosuid", "nodev", "noexec", "mode=1777", "size=65536k"}),
      mount("/dev/mqueue", "mqueue", {"nosuid", "nodev", "noexec"}),
      mount("/sys", "sysfs", {"nosuid", "nodev", "noexec", "ro"}),
      mount("/sys/fs/cgroup", "cgroup", {"nosuid", "nodev", "noexec", "relatime", "ro"})};
}

class Builder {
 public:
  Builder(const RunOptions& options, const plan::HostFacts& facts) : options_(options), facts_(facts) {}

  std::expected<plan::Request, std::string> build(const std::string& id) {
    request_.id = id;
    spec().ociVersion = spec::kWrittenVersion;
    spec().linux_.emplace();
    spec().process.emplace();
    spec().root = spec::Root{.path = "rootfs", .readonly = options_.read_only};
    standard("root", "the image host");
    if (options_.read_only) flag("root.readonly", "--read-only");
    if (auto done = image(); !done) return std::unexpected(done.error());
    if (auto done = namespaces(); !done) return std::unexpected(done.error());
    if (auto done = id_maps(); !done) return std::unexpected(done.error());
    if (auto done = mounts(); !done) return std::unexpected(done.error());
    if (auto done = restrictions(); !done) return std::unexpected(done.error());
    FieldSources sources{
        [this](std::string field, std::string from) { flag(std::move(field), std::move(from)); },
        [this](std::string field, std::string from) { standard(std::move(field), std::move(from)); }};
    if (auto done = apply_process_options(options_, facts_, spec(), sources); !done)
      return std::unexpected(done.error());
    if (auto done = apply_resource_options(options_, facts_, spec(), sources); !done)
      return std::unexpected(done.error());
    if (!linux().cgroupsPath.empty()) linux().cgroupsPath += "/cloche-" + id;
    if (auto done = seccomp(); !done) return std::unexpected(done.error());
    request_.init = options_.init;
    request_.die_with_caller = true;
    return std::move(request_);
  }

 private:
  spec::Spec& spec() { return request_.spec; }
  spec::Linux& linux() { return *request_.spec.linux_; }
  void flag(std::string field, std::string from) {
    request_.provenance[std::move(field)] = {Why::Kind::flag, std::move(from)};
  }
  void standard(std::string field, std::string from) {
    request_.provenance[std::move(field)] = {Why::Kind::standard, std::move(from)};
  }

  std::expected<void, std::string> image() {
    if (options_.image != "host")
      return std::unexpected(fmt::format(
          "the image \"{}\" is not here: this version has the one image \"host\", the host's own files",
          options_.image));
    // tmpfs(5): a size, or a share of the memory.
    std::string_view size = options_.scratch_size;
    if (size.ends_with('%') ? !parse_whole(size.substr(0, size.size() - 1), 1, 1000)
                            : !size.empty() && !spec::parse_size(size))
      return std::unexpected(
          fmt::format("--scratch-size {}: write a size or a share of the memory, as in 64m or 10%", size));
    request_.root = plan::HostRoot{.scratch = facts_.runtime_dir + "/" + request_.id + "/scratch",
                                   .shown = options_.shown,
                                   .size = options_.scratch_size};
    const auto fits = [](unsigned char c) { return std::isalnum(c) != 0 || c == '-' || c == '.'; };
    if (!std::ranges::all_of(options_.hostname, fits) || options_.hostname.starts_with('-'))
      return std::unexpected(fmt::format(
          "--hostname {}: a host name is of letters, digits, - and . (hostname(7))", options_.hostname));
    spec().hostname = !options_.hostname.empty() ? options_.hostname : request_.id;
    std::ranges::replace(spec().hostname, '_', '-');
    if (!options_.hostname.empty())
      flag("hostname", "--hostname " + options_.hostname);
    else
      standard("hostname", "the container's name");
    return {};
  }

  std::expected<void, std::string> namespaces() {
    standard("linux.namespaces", "every namespace its own");
    struct Row {
      const char *type, *flag;
      const std::string& wish;
    };
    const Row rows[] = {{"user", "--userns", options_.user},
                        {"mount", "--mountns", options_.mount},
                        {"pid", "--pid", options_.pid},
                        {"network", "--net", options_.network},
                        {"ipc", "--ipc", options_.ipc},
                        {"uts", "--uts", options_.uts},
                        {"cgroup", "--cgroupns", options_.cgroup},
                        {"time", "--time", options_.time}};
    for (const Row& row : rows) {
      const bool ids = std::string_view(row.type) == "user" && (row.wish == "auto" || row.wish == "own");
      const auto choice = parse_namespace(row.flag, ids ? "new" : row.wish);
      if (!choice) return std::unexpected(choice.error());
      const std::string field = fmt::format("linux.namespaces[{}]", row.type);
      if (choice->kind == NamespaceChoice::Kind::host) {
        const std::string_view type = row.type;
        if (type == "user")
          return std::unexpected(
              "--userns host: the image host always runs in a user namespace, since its root file "
              "system is the host's own");
        if (type == "mount")
          return std::unexpected(
              "--mountns host: a container with a root file system of its own needs a mount namespace");
        if (type == "uts") {
          if (!options_.hostname.empty())
            return std::unexpected("--hostname with --uts host would rename the host: leave one of them out");
          spec().hostname.clear();
        }
        continue;
      }
      if (std::string_view(row.type) == "uts" && !choice->path.empty()) {
        if (!options_.hostname.empty())
          return std::unexpected(
              fmt::format("--hostname with --uts {} would rename others: leave one of them out", row.wish));
        spec().hostname.clear();
      }
      linux().namespaces.push_back({.type = row.type, .path = choice->path});
      if (!row.wish.empty())
        flag(field, fmt::format("{} {}", row.flag, row.wish));
      else
        standard(field, fmt::format("a {} namespace of its own", row.type));
    }
    for (const std::string& offset : options_.time_offsets) {
      const size_t equals = offset.find('=');
      const std::string clock = offset.substr(0, equals);
      const auto seconds = parse_whole(equals == std::string::npos ? "" : offset.substr(equals + 1),
                                       -(int64_t{1} << 40), int64_t{1} << 40);
      if ((clock != "monotonic" && clock != "boottime") || !seconds)
        return std::unexpected(
            fmt::format("--time-offset {}: write monotonic=SECONDS or boottime=SECONDS", offset));
      linux().timeOffsets[clock] = {.secs = *seconds, .nanosecs = 0};
      flag("linux.timeOffsets." + clock, "--time-offset " + offset);
    }
    return {};
  }

  // As root: a range of subordinate ids. As a user: the subordinate range where newuidmap can write it, so that
  // the user's own files are nobody's inside; else, or with --userns own, the user's own id as root.
  std::expected<void, std::string> id_maps() {
    if (!options_.uid_map.empty() || !options_.gid_map.empty()) {
      for (const auto& [texts, map, name] : {std::tuple(&options_.uid_map, &linux().uidMappings, "uidmap"),
                                             std::tuple(&options_.gid_map, &linux().gidMappings, "gidmap")}) {
        for (const std::string& text : *texts) {
          const auto range = parse_id_map(text);
          if (!range) return std::unexpected(fmt::format("--{}: {}", name, range.error()));
          map->push_back(*range);
          flag(fmt::format("linux.{}Mappings", std::string_view(name).substr(0, 3)),
               fmt::format("--{} {}", name, text));
        }
      }
      if (linux().uidMappings.empty()) linux().uidMappings = linux().gidMappings;
      if (linux().gidMappings.empty()) linux().gidMappings = linux().uidMappings;
      return {};
    }
    if (std::ranges::any_of(linux().namespaces,
                            [](const spec::Namespace& ns) { return ns.type == "user" && !ns.path.empty(); }))
      return {};
    const bool helpers = facts_.has_newuidmap && facts_.has_newgidmap;
    const bool subordinate =
        !facts_.subuids.empty() && !facts_.subgids.empty() && (facts_.privileged || helpers);
    if (subordinate && options_.user != "own") {
      linux().uidMappings = {
          {.containerID = 0, .hostID = facts_.subuids[0].first, .size = facts_.subuids[0].count}};
      linux().gidMappings = {
          {.containerID = 0, .hostID = facts_.subgids[0].first, .size = facts_.subgids[0].count}};
      standard("linux.uidMappings", "subordinate user ids: no file of the host is the container's");
      standard("linux.gidMappings", "subordinate group ids");
      return {};
    }
    linux().uidMappings = {{.containerID = 0, .hostID = facts_.uid, .size = 1}};
    linux().gidMappings = {{.containerID = 0, .hostID = facts_.gid, .size = 1}};
    if (facts_.privileged)
      return std::unexpected(
          "--userns own: root's own ids would make the host's root the container's; use a range "
          "with --uidmap");
    if (helpers && !facts_.subuids.empty() && !facts_.subgids.empty()) {
      linux().uidMappings.push_back(
          {.containerID = 1, .hostID = facts_.subuids[0].first, .size = facts_.subuids[0].count});
      linux().gidMappings.push_back(
          {.containerID = 1, .hostID = facts_.subgids[0].first, .size = facts_.subgids[0].count});
    }
    const std::string why = options_.user == "own"
                                ? "the user's own id is root inside"
                                : "no subordinate ids in /etc/subuid: the user's own id only";
    standard("linux.uidMappings", why);
    standard("linux.gidMappings", why);
    return {};
  }

  [[nodiscard]] bool maps_group(uint32_t id) {
    return std::ranges::any_of(linux().gidMappings, [&](const spec::IDMapping& range) {
      return id >= range.containerID && id - range.containerID < range.size;
    });
  }

  std::expected<void, std::string> mounts() {
    spec().mounts = standard_mounts();
    // The kernel takes no option with an id that the map leaves out; terminals are then their opener's group.
    if (!linux().gidMappings.empty() && !maps_group(kTerminalGroup))
      for (spec::Mount& mount : spec().mounts)
        std::erase(mount.options, fmt::format("gid={}", kTerminalGroup));
    standard("mounts", "what every container has");
    const auto add = [&](const Strings& texts, const char* name,
                         auto parse) -> std::expected<void, std::string> {
      for (const std::string& text : texts) {
        auto mount = parse(text);
        if (!mount) return std::unexpected(mount.error());
        flag(fmt::format("mounts[{}]", spec().mounts.size()), fmt::format("{} {}", name, text));
        spec().mounts.push_back(*std::move(mount));
      }
      return {};
    };
    if (auto done = add(options_.tmpfs, "--tmpfs", parse_tmpfs); !done) return done;
    if (auto done = add(options_.volumes, "-v", parse_volume); !done) return done;
    if (auto done = add(options_.mounts, "--mount", parse_mount); !done) return done;
    for (const std::string& text : options_.devices) {
      auto device = parse_device(text);
      if (!device) return std::unexpected(device.error());
      if (device->device.path == device->source) {
        flag(fmt::format("linux.devices[{}]", linux().devices.size()), "--device " + text);
        linux().devices.push_back(device->device);
      } else {
        // Under another name: no node can be made in a user namespace, so the host's is bound there.
        flag(fmt::format("mounts[{}]", spec().mounts.size()), "--device " + text);
        spec().mounts.push_back({.destination = device->device.path,
                                 .type = "bind",
                                 .source = device->source,
                                 .options = {"bind", "nosuid", "noexec"},
                                 .uidMappings = {},
                                 .gidMappings = {}});
      }
      resources().devices.push_back(device->rule);
    }
    for (const std::string& text : options_.device_rules) {
      auto rule = parse_device_rule(text);
      if (!rule) return std::unexpected("--device-cgroup-rule: " + rule.error());
      flag(fmt::format("linux.resources.devices[{}]", resources().devices.size()),
           "--device-cgroup-rule " + text);
      resources().devices.push_back(*rule);
    }
    return {};
  }

  spec::Resources& resources() {
    if (!linux().resources) linux().resources.emplace();
    return *linux().resources;
  }

  // A capability that is misspelt would be kept, or not given, without a word.
  static std::expected<void, std::string> check_capability(const char* flag, const std::string& name) {
    if (name == "ALL" || kernel::parse_capabilities({name}).unknown.empty()) return {};
    return std::unexpected(
        fmt::format("{} {}: there is no such capability (capabilities(7) lists them)", flag, name));
  }

  std::expected<void, std::string> restrictions() {
    Strings masked = kMasked;
    Strings readonly = kReadonly;
    standard("linux.maskedPaths", "shows or changes the whole machine");
    standard("linux.readonlyPaths", "changes the whole machine");
    for (const std::string& path : options_.mask) {
      flag(fmt::format("linux.maskedPaths[{}]", masked.size()), "--mask " + path);
      masked.push_back(path);
    }
    for (const std::string& path : options_.unmask) {
      std::erase_if(masked, [&](const std::string& p) { return path == "all" || p == path; });
      std::erase_if(readonly, [&](const std::string& p) { return path == "all" || p == path; });
    }
    linux().maskedPaths = std::move(masked);
    linux().readonlyPaths = std::move(readonly);
    spec().process->noNewPrivileges = !options_.new_privileges;
    standard("process.noNewPrivileges", "no program gains rights by set-user-id or file capabilities");
    Strings kept = kCapabilities;
    standard("process.capabilities", "the few that ordinary programs use");
    const auto canonical = [](std::string name) {
      std::ranges::transform(name, name.begin(),
                             [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
      return name == "ALL" || name.starts_with("CAP_") ? name : "CAP_" + name;
    };
    for (const std::string& name : options_.cap_drop) {
      if (auto known = check_capability("--cap-drop", name); !known) return known;
      if (canonical(name) == "ALL") kept.clear();
      std::erase(kept, canonical(name));
      flag("process.capabilities", "--cap-drop " + name);
    }
    for (const std::string& name : options_.cap_add) {
      if (auto known = check_capability("--cap-add", name); !known) return known;
      for (const std::string& one :
           kernel::capability_names(kernel::parse_capabilities({canonical(name)}).set))
        if (std::ranges::find(kept, one) == kept.end()) kept.push_back(one);
      flag("process.capabilities", "--cap-add " + name);
    }
    spec().process->capabilities = spec::Capabilities{
        .bounding = kept, .effective = kept, .inheritable = {}, .permitted = kept, .ambient = {}};
    return {};
  }

  std::expected<void, std::string> seccomp() {
    if (options_.seccomp == "unconfined") return {};
    if (options_.seccomp == "default") {
      request_.default_seccomp = true;
      standard("linux.seccomp", "the default profile, compiled when Cloche was built");
      return {};
    }
    auto filter = read_seccomp_file(options_.seccomp, spec().process->capabilities->bounding);
    if (!filter) return std::unexpected(fmt::format("--seccomp {}: {}", options_.seccomp, filter.error()));
    linux().seccomp = *std::move(filter);
    flag("linux.seccomp", "--seccomp " + options_.seccomp);
    return {};
  }

  const RunOptions& options_;
  const plan::HostFacts& facts_;
  plan::Request request_;
};

}  // namespace

std::expected<plan::Request, std::string> make_request(const RunOptions& options, const std::string& id,
                                                       const plan::HostFacts& facts) {
  return Builder(options, facts).build(id);
}

}  // namespace cloche::engine
