// The parsers of facts.h: text in, plain data out.
#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "runtime/facts.h"
#include "sys/number.h"

namespace cloche::runtime {
namespace {

constexpr uint32_t kFirstContainerId = 524288, kLastContainerId = 1879048191;
constexpr uint32_t kRange = 65536;

// Calls `use` with every part between separators, empty ones included.
template <class Use>
void each_part(std::string_view text, char separator, Use use) {
  while (!text.empty()) {
    const size_t end = std::min(text.find(separator), text.size());
    use(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

template <size_t N>
std::optional<std::array<std::string_view, N>> fields_of(std::string_view line, char separator) {
  std::array<std::string_view, N> fields;
  for (size_t i = 0; i < N; ++i) {
    const size_t end = line.find(separator);
    if ((end == std::string_view::npos) != (i + 1 == N)) return std::nullopt;
    fields[i] = line.substr(0, end);
    if (i + 1 < N) line.remove_prefix(end + 1);
  }
  return fields;
}

std::optional<uint32_t> number(std::string_view text) { return sys::whole_number<uint32_t>(text); }

template <class Use>
void each_subid(std::string_view text, Use use) {
  each_part(text, '\n', [&](std::string_view line) {
    const auto fields = fields_of<3>(line, ':');
    if (!fields) return;
    const auto first = number((*fields)[1]), count = number((*fields)[2]);
    if (first && count && *count > 0) use((*fields)[0], plan::IdRange{*first, *count});
  });
}

void add_v1(MountTable& table, std::string_view options, const std::string& target) {
  constexpr std::array<std::string_view, 13> kControllers = {
      "cpu",     "cpuacct",  "cpuset",  "memory",     "devices", "freezer", "blkio",
      "net_cls", "net_prio", "hugetlb", "perf_event", "pids",    "rdma"};
  each_part(options, ',', [&](std::string_view word) {
    if (std::ranges::find(kControllers, word) == kControllers.end()) return;
    table.v1.emplace(word == "blkio" ? "io" : word, target);  // its name on v2
  });
}

}  // namespace

plan::KernelVersion parse_release(std::string_view release) {
  plan::KernelVersion version;
  const char* end = release.data() + release.size();
  const auto major = std::from_chars(release.data(), end, version.major);
  if (major.ec != std::errc() || major.ptr == end || *major.ptr != '.') return {};
  if (std::from_chars(major.ptr + 1, end, version.minor).ec != std::errc()) return {};
  return version;
}

bool is_identity_map(std::string_view uid_map) {
  return words_of(uid_map) == std::vector<std::string>{"0", "0", "4294967295"};
}

PasswdEntry find_user(std::string_view passwd, uint32_t uid) {
  PasswdEntry found;
  each_part(passwd, '\n', [&](std::string_view line) {
    const auto fields = fields_of<7>(line, ':');
    if (!fields || !found.name.empty() || number((*fields)[2]) != uid) return;
    found = {std::string((*fields)[0]), std::string((*fields)[5])};
  });
  return found;
}

std::vector<plan::IdRange> parse_subids(std::string_view text, std::string_view user, uint32_t uid) {
  std::vector<plan::IdRange> ranges;
  each_subid(text, [&](std::string_view owner, plan::IdRange range) {
    if ((!user.empty() && owner == user) || number(owner) == uid) ranges.push_back(range);
  });
  return ranges;
}

std::vector<plan::IdRange> root_subids(std::string_view text) {
  std::vector<plan::IdRange> own, taken;
  each_subid(text, [&](std::string_view owner, plan::IdRange range) {
    taken.push_back(range);
    if (owner == "root" || owner == "0" || owner == "cloche") own.push_back(range);
  });
  if (!own.empty()) return own;
  for (uint64_t first = kFirstContainerId; first + kRange - 1 <= kLastContainerId; first += kRange) {
    const bool free = std::ranges::none_of(taken, [&](const plan::IdRange& range) {
      return range.first < first + kRange && first < uint64_t{range.first} + range.count;
    });
    if (free) return {{static_cast<uint32_t>(first), kRange}};
  }
  return {};
}

std::string parse_own_cgroup(std::string_view text) {
  std::string own;
  each_part(text, '\n', [&](std::string_view line) {
    if (own.empty() && line.starts_with("0::")) own = line.substr(3);
  });
  // A cgroup that was removed under its last process.
  constexpr std::string_view kDeleted = " (deleted)";
  return own.ends_with(kDeleted) ? std::string() : own;
}

std::string unescaped_mount_path(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto digit = [&](size_t at) { return text[at] >= '0' && text[at] <= '7'; };
    if (text[i] == '\\' && i + 3 < text.size() && digit(i + 1) && digit(i + 2) && digit(i + 3)) {
      out += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::vector<MountLine> parse_mount_lines(std::string_view mountinfo) {
  std::vector<MountLine> lines;
  each_part(mountinfo, '\n', [&](std::string_view line) {
    const size_t dash = line.find(" - ");
    if (dash == std::string_view::npos) return;
    const auto before = words_of(line.substr(0, dash)), after = words_of(line.substr(dash + 3));
    if (before.size() < 6 || after.size() < 2) return;
    MountLine mount{.device = before[2],
                    .root = unescaped_mount_path(before[3]),
                    .target = unescaped_mount_path(before[4]),
                    .type = after[0],
                    .options = after.size() > 2 ? after[2] : ""};
    std::from_chars(before[0].data(), before[0].data() + before[0].size(), mount.id);
    lines.push_back(std::move(mount));
  });
  return lines;
}

MountTable parse_mountinfo(std::string_view text) {
  MountTable table;
  for (MountLine& line : parse_mount_lines(text)) {
    if (line.type == "cgroup2" && table.cgroup2.empty()) {
      table.cgroup2 = line.target;
      each_part(line.options, ',', [&](std::string_view word) { table.cgroup2_options.emplace_back(word); });
    }
    if (line.type == "resctrl" && table.resctrl.empty()) table.resctrl = line.target;
    if (line.type == "cgroup" && !line.options.empty()) add_v1(table, line.options, line.target);
    table.mounts.push_back({std::move(line.target), std::move(line.type)});
  }
  return table;
}

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  size_t at = 0;
  while ((at = text.find_first_not_of(" \t\n", at)) != std::string_view::npos) {
    const size_t end = std::min(text.find_first_of(" \t\n", at), text.size());
    words.emplace_back(text.substr(at, end - at));
    at = end;
  }
  return words;
}

}  // namespace cloche::runtime
