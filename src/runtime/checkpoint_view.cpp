#include "runtime/checkpoint_view.h"

#include <fmt/format.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "runtime/json_text.h"
#include "spec/reader.h"

namespace cloche::runtime {
namespace {

// criu makes these anew, whoever else has them.
constexpr std::array<std::string_view, 4> kMadeAnew = {"proc", "sysfs", "mqueue", "cgroup2"};

// What criu calls a thing that may stand for a stream.
bool is_name(std::string_view text) {
  constexpr std::string_view kKinds[] = {"pipe:[", "socket:[", "file[", "tty["};
  return std::ranges::any_of(kKinds, [&](std::string_view kind) { return text.starts_with(kind); }) &&
         text.ends_with(']') &&
         text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789:[]") == std::string_view::npos;
}

// Documentation/admin-guide/devices.txt: virtual and serial consoles, slaves of pseudoterminals.
bool is_terminal(uint64_t device) {
  constexpr unsigned kConsoles = 4, kFirstSlave = 136, kLastSlave = 143;
  const unsigned major = gnu_dev_major(device);
  return major == kConsoles || (kFirstSlave <= major && major <= kLastSlave);
}

}  // namespace

std::vector<std::string> external_mounts(const std::vector<MountLine>& inside,
                                         const std::vector<MountLine>& host, bool user_namespace) {
  std::vector<std::string> external;
  for (const MountLine& mount : inside) {
    if (mount.target == "/" || mount.type == "cgroup2") continue;
    // The container's terminal: the file system comes back without it.
    if (mount.type == "devpts" && mount.root != "/" && mount.target == "/dev/console") {
      external.push_back(mount.target);
      continue;
    }
    const auto same = [&](const MountLine& other) { return other.device == mount.device; };
    const bool whole = std::ranges::any_of(inside, [&](const MountLine& other) {
      return same(other) && other.root == "/" && other.target != "/";
    });
    const bool anew = !user_namespace && std::ranges::find(kMadeAnew, mount.type) != kMadeAnew.end();
    if (!whole || (!anew && std::ranges::any_of(host, same))) external.push_back(mount.target);
  }
  return external;
}

std::string outside_name(const Stream& stream, const std::vector<MountLine>& inside) {
  const std::string_view link = stream.link;
  if (link.starts_with("pipe:[") || link.starts_with("socket:[")) return std::string(link);
  if (is_terminal(stream.character_device))
    return fmt::format("tty[{:x}:{:x}]", stream.character_device, stream.device);
  // A file in memory has a mount of the kernel's own, and criu takes its content.
  if (!link.starts_with('/') || link.starts_with("/memfd:")) return {};
  if (std::ranges::find(inside, stream.mount, &MountLine::id) != inside.end()) return {};
  return fmt::format("file[{:x}:{:x}]", stream.mount, stream.inode);
}

int64_t mount_of_descriptor(std::string_view fdinfo) {
  constexpr std::string_view kKey = "mnt_id:\t";
  int64_t number = -1;
  const size_t at = fdinfo.find(kKey);
  if (at != std::string_view::npos)
    std::from_chars(fdinfo.data() + at + kKey.size(), fdinfo.data() + fdinfo.size(), number);
  return number;
}

std::string streams_to_json(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ",") + json_string(name);
  return "[" + out + "]";
}

sys::Result<std::vector<std::string>> streams_from_json(std::string_view json) {
  auto read = spec::read_described<std::vector<std::string>>(json);
  if (!read) return sys::fail_because(read.error().message());
  std::vector<std::string> names = std::move(read->value);
  names.resize(std::min<size_t>(names.size(), 3));
  for (std::string& name : names)
    if (!is_name(name)) name.clear();
  return names;
}

}  // namespace cloche::runtime
