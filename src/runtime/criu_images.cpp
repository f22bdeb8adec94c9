#include "runtime/criu_images.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/mount.h>
#include <sys/mount.h>

#include <algorithm>
#include <cstring>

#include "sys/contents.h"
#include "sys/files.h"
#include "sys/flags.h"
#include "sys/mounts.h"

namespace cloche::runtime {
namespace {

constexpr char kImage[] = ".img";
constexpr char kParent[] = "parent";  // criu's link to the checkpoint before
constexpr int kMostParents = 1000;

// Protobuf's wire format, as far as numbers and messages in messages need it.
class Fields {
 public:
  explicit Fields(std::string_view bytes) : rest_(bytes) {}

  // The next one; none at the end, and at something else, which ok() tells apart.
  struct Field {
    uint64_t number = 0, value = 0;  // value: of a plain number
    std::string_view message;
  };
  std::optional<Field> next() {
    if (rest_.empty() || !ok_) return {};
    const uint64_t key = number();
    Field field{.number = key >> 3U, .value = 0, .message = {}};
    constexpr unsigned kNumber = 0, kMessage = 2, kKinds = 7;
    const uint64_t kind = key & kKinds;
    field.value = number();
    if (kind == kMessage && field.value <= rest_.size()) {
      field.message = rest_.substr(0, field.value);
      rest_.remove_prefix(field.value);
    } else if (kind != kNumber) {
      ok_ = false;
    }
    if (!ok_) return {};
    return field;
  }
  [[nodiscard]] bool ok() const { return ok_; }

 private:
  uint64_t number() {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(rest_.front());
      rest_.remove_prefix(1);
      value |= uint64_t{byte & 0x7fU} << shift;
      if (byte < 0x80) return value;
    }
    ok_ = false;
    return 0;
  }

  std::string_view rest_;
  bool ok_ = true;
};

std::optional<spec::IDMapping> parse_extent(std::string_view message) {
  spec::IDMapping line;
  Fields fields(message);
  while (const auto field = fields.next()) {
    if (field->value > UINT32_MAX) return {};
    const auto value = static_cast<uint32_t>(field->value);
    if (field->number == 1) line.containerID = value;
    if (field->number == 2) line.hostID = value;
    if (field->number == 3) line.size = value;
  }
  if (!fields.ok()) return {};
  return line;
}

uint32_t word_at(std::string_view bytes, size_t at) {
  uint32_t word = 0;
  std::memcpy(&word, bytes.data() + at, sizeof word);
  return word;
}

// The host's id of the namespace's 0.
std::optional<uint32_t> root_of(const std::vector<spec::IDMapping>& map) {
  for (const spec::IDMapping& line : map)
    if (line.containerID == 0) return line.hostID;
  return {};
}

bool holds(const std::vector<spec::IDMapping>& map, uint32_t id) {
  return std::ranges::any_of(
      map, [&](const spec::IDMapping& line) { return id >= line.hostID && id - line.hostID < line.size; });
}

sys::Result<> show_files(const sys::Fd& from, const std::string& at, int parents) {
  CLOCHE_TRY(sys::make_directory(AT_FDCWD, at, 0755));
  CLOCHE_TRY_ASSIGN(names, sys::list_directory(from));
  for (const std::string& name : names) {
    const bool parent = name == kParent;
    if (!parent && !name.ends_with(kImage)) continue;
    CLOCHE_TRY_ASSIGN(st, sys::stat_at(from.get(), name));
    if (parent && S_ISDIR(st.st_mode)) {
      if (parents == 0) return sys::fail_because("the checkpoint has too many before it");
      CLOCHE_TRY_ASSIGN(before, sys::open_at(from.get(), name, O_RDONLY | O_DIRECTORY));
      CLOCHE_TRY(show_files(before, at + "/" + name, parents - 1));
    } else if (S_ISREG(st.st_mode)) {
      if (st.st_uid == 0 && (st.st_mode & S_IROTH) == 0)
        return sys::fail_because(fmt::format(
            "root of the container's user namespace may not read {}: chmod o+r", sys::in_quotes(name)));
      CLOCHE_TRY_ASSIGN(tree, sys::clone_tree(from.get(), name, false));
      CLOCHE_TRY(show_tree(tree, at + "/" + name));
    }
  }
  return {};
}

}  // namespace

std::optional<plan::IdMaps> parse_id_maps(std::string_view image) {
  constexpr uint32_t kImageOfCriu = 0x54564319, kUserNamespace = 0x55474906;
  constexpr size_t kWord = sizeof(uint32_t), kHead = 3 * kWord;
  if (image.size() < kHead || word_at(image, 0) != kImageOfCriu || word_at(image, kWord) != kUserNamespace)
    return {};
  plan::IdMaps maps;
  Fields fields(image.substr(kHead, word_at(image, 2 * kWord)));
  while (const auto field = fields.next()) {
    const auto line = parse_extent(field->message);
    if (!line) return {};
    if (field->number == 1) maps.uids.push_back(*line);
    if (field->number == 2) maps.gids.push_back(*line);
  }
  if (!fields.ok()) return {};
  return maps;
}

sys::Result<std::optional<plan::IdMaps>> id_maps_in(const std::string& images) {
  CLOCHE_TRY_ASSIGN(directory, sys::open_at(AT_FDCWD, images, O_RDONLY | O_DIRECTORY));
  CLOCHE_TRY_ASSIGN(names, sys::list_directory(directory));
  const auto name = std::ranges::find_if(
      names, [](const std::string& n) { return n.starts_with("userns-") && n.ends_with(kImage); });
  if (name == names.end()) return std::optional<plan::IdMaps>{};
  CLOCHE_TRY_ASSIGN(image, sys::read_file(directory.get(), *name));
  auto maps = parse_id_maps(image);
  if (!maps)
    return sys::fail_because(
        fmt::format("{}: it is no image of a user namespace", sys::in_quotes(images + "/" + *name)));
  return maps;
}

bool root_may_open(const plan::IdMaps& maps, const struct stat& file, unsigned wanted) {
  constexpr unsigned kOwner = 6, kGroup = 3, kAll = 7;
  if (holds(maps.uids, file.st_uid) && holds(maps.gids, file.st_gid)) return true;  // CAP_DAC_OVERRIDE
  unsigned shift = 0;
  if (file.st_uid == root_of(maps.uids))
    shift = kOwner;
  else if (file.st_gid == root_of(maps.gids))
    shift = kGroup;
  return (wanted & ~(file.st_mode >> shift & kAll)) == 0;
}

sys::Result<> give_terminal(const sys::Fd& terminal, const std::string& images) {
  CLOCHE_TRY_ASSIGN(maps, id_maps_in(images));
  const auto uid = maps ? root_of(maps->uids) : std::nullopt, gid = maps ? root_of(maps->gids) : std::nullopt;
  if (!uid || !gid) return {};
  return sys::change_owner(terminal.get(), "", *uid, *gid);
}

sys::Result<> cover(const std::string& directory) {
  CLOCHE_TRY_ASSIGN(context, sys::FsContext::open("tmpfs"));
  CLOCHE_TRY(context.set_string("mode", "0755"));
  CLOCHE_TRY(context.create());
  CLOCHE_TRY_ASSIGN(mount, context.mount(MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC));
  return sys::attach_mount(mount, AT_FDCWD, directory);
}

sys::Result<> show_tree(const sys::Fd& tree, const std::string& at) {
  CLOCHE_TRY_ASSIGN(st, sys::stat_fd(tree));
  if (S_ISDIR(st.st_mode))
    CLOCHE_TRY(sys::make_directory(AT_FDCWD, at, 0755));
  else
    CLOCHE_TRY(sys::create_file(AT_FDCWD, at, "", 0600));
  CLOCHE_TRY(sys::set_mount_attributes(tree, {.propagation = MS_PRIVATE}, true));
  return sys::attach_mount(tree, AT_FDCWD, at);
}

sys::Result<> show_images(const std::string& images, const std::string& at) {
  CLOCHE_TRY_ASSIGN(from, sys::open_at(AT_FDCWD, images, O_RDONLY | O_DIRECTORY));
  return show_files(from, at, kMostParents);
}

}  // namespace cloche::runtime
