#include "runtime/standard_streams.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>

#include "runtime/checkpoint_view.h"
#include "sys/files.h"

namespace cloche::runtime {

StreamName name_of_stream(const std::string& process, int number, const std::vector<MountLine>& inside) {
  const auto file = [&](const char* directory) {
    return fmt::format("/proc/{}/{}/{}", process, directory, number);
  };
  const auto link = sys::read_link(AT_FDCWD, file("fd"));
  // What has no place in a file system needs no further look.
  if (link && (link->starts_with("pipe:[") || link->starts_with("socket:["))) return {*link, *link};
  const auto info = sys::read_file(AT_FDCWD, file("fdinfo"));
  const auto st = sys::stat_at(AT_FDCWD, file("fd"));
  if (!link || !info || !st) return {};
  const Stream stream{.link = *link,
                      .mount = mount_of_descriptor(*info),
                      .inode = st->st_ino,
                      .device = st->st_dev,
                      .character_device = S_ISCHR(st->st_mode) ? st->st_rdev : 0};
  return {*link, outside_name(stream, inside)};
}

std::vector<std::string> streams_given() {
  std::vector<std::string> names;
  for (int i = 0; i < kStandardStreams; ++i) names.push_back(name_of_stream("self", i, {}).outside);
  return names;
}

// Streams that were one thing are one again: the first of them.
std::vector<std::string> streams_given(const std::vector<std::string>& restored) {
  const std::vector<std::string> own = streams_given();
  std::vector<std::string> names(own.size());
  for (size_t i = 0; i < std::min(own.size(), restored.size()); ++i)
    if (!restored[i].empty())
      names[i] = own[static_cast<size_t>(std::ranges::find(restored, restored[i]) - restored.begin())];
  return names;
}

}  // namespace cloche::runtime
