// Any bytes as the tables that are read: mountinfo, cgroup, passwd, subuid, a kernel's release; and what is made of them.
#include "fuzz/check.h"
#include "runtime/checkpoint_view.h"
#include "runtime/facts.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cloche;
  const std::string_view text = fuzz::text_of(data, size);
  const runtime::MountTable table = runtime::parse_mountinfo(text);
  for (const plan::HostMount& mount : table.mounts)
    fuzz::require(mount.target.size() <= text.size(), "more than was there", mount.target);
  const std::string cgroup = runtime::parse_own_cgroup(text);
  fuzz::require(cgroup.size() <= text.size() + 1, "more than was there", cgroup);
  (void)runtime::parse_release(text);
  (void)runtime::is_identity_map(text);
  (void)runtime::find_user(text, 1000);
  (void)runtime::parse_subids(text, "user", 1000);
  (void)runtime::root_subids(text);
  (void)runtime::words_of(text);
  const auto lines = runtime::parse_mount_lines(text);
  fuzz::require(runtime::external_mounts(lines, lines).size() <= lines.size(), "more than was there", text);
  (void)runtime::outside_name({.link = text, .mount = 1, .inode = 2, .device = 3, .character_device = 4},
                              lines);
  return 0;
}
