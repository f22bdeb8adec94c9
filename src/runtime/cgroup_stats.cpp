#include "runtime/cgroup_stats.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <functional>
#include <limits>
#include <vector>

#include "runtime/json_text.h"
#include "spec/numbers.h"
#include "sys/contents.h"
#include "sys/files.h"

namespace cloche::runtime {
namespace {

constexpr uint64_t kNoLimit = std::numeric_limits<uint64_t>::max();

constexpr const char* kFiles[] = {
    "cpu.stat",        "cpu.pressure",        "cpuset.cpus.effective", "cpuset.mems.effective",
    "memory.stat",     "memory.current",      "memory.peak",           "memory.max",
    "memory.events",   "memory.swap.current", "memory.swap.max",       "memory.swap.peak",
    "memory.pressure", "memory.swap.events",  "pids.current",          "pids.max",
    "io.stat",         "io.pressure",         "rdma.current",          "rdma.max",
};

uint64_t number(std::string_view text, uint64_t otherwise = 0) {
  uint64_t value = 0;
  return std::from_chars(text.data(), text.data() + text.size(), value).ec == std::errc() ? value : otherwise;
}

void each_line(std::string_view text, const std::function<void(std::string_view)>& take) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    if (end > 0) take(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

std::vector<std::string_view> words(std::string_view line) {
  std::vector<std::string_view> out;
  for (size_t at = 0; (at = line.find_first_not_of(" \t", at)) != std::string_view::npos;) {
    const size_t end = std::min(line.find_first_of(" \t", at), line.size());
    out.push_back(line.substr(at, end - at));
    at = end;
  }
  return out;
}

// What JSON takes as a number of no sign: "0", "12", "0.25".
bool is_decimal(std::string_view text) {
  const auto digits = [](std::string_view part) {
    return !part.empty() && part.find_first_not_of("0123456789") == std::string_view::npos;
  };
  const std::string_view whole = text.substr(0, text.find('.'));
  return digits(whole) && (whole.size() == 1 || whole[0] != '0') &&
         (whole.size() == text.size() || digits(text.substr(whole.size() + 1)));
}

// "0-2,7" as 0,1,2,7.
std::string numbers_of_list(std::string_view list) {
  const auto numbers = spec::parse_number_list(list.substr(0, list.find('\n')), spec::kMostCpus);
  return numbers ? fmt::format("{}", fmt::join(*numbers, ",")) : "";
}

class Statistics {
 public:
  Statistics(const CgroupTexts& files, std::string_view network) : files_(files), network_(network) {}

  [[nodiscard]] std::string json() const {
    return fmt::format(
        "{{\"cpu\":{},\"cpuset\":{},\"memory\":{},\"pids\":{{\"current\":{},\"limit\":{}}},\"blkio\":{},"
        "\"hugetlb\":{},\"rdma\":{},\"intel_rdt\":{{}},\"network_interfaces\":{}}}",
        cpu(), cpuset(), memory(), value("pids.current"), value("pids.max"), block_io(), huge_pages(), rdma(),
        interfaces());
  }

 private:
  [[nodiscard]] std::string_view text(std::string_view file) const {
    const auto found = files_.find(file);
    return found == files_.end() ? std::string_view() : std::string_view(found->second);
  }
  [[nodiscard]] uint64_t value(std::string_view file) const { return number(text(file)); }
  [[nodiscard]] uint64_t limit(std::string_view file) const {
    return text(file).empty() ? 0 : number(text(file), kNoLimit);
  }
  [[nodiscard]] std::string pressure(std::string_view file) const {
    const std::string json = pressure_json(text(file));
    return json.empty() ? "" : ",\"psi\":" + json;
  }

  [[nodiscard]] std::string cpu() const {
    const auto stat = text("cpu.stat");
    const auto nanoseconds = [&](std::string_view key) { return flat_value(stat, key) * 1000; };
    return fmt::format(
        "{{\"usage\":{{\"total\":{},\"kernel\":{},\"user\":{}}},\"throttling\":{{\"periods\":{},"
        "\"throttledPeriods\":{},\"throttledTime\":{}}}{}}}",
        nanoseconds("usage_usec"), nanoseconds("system_usec"), nanoseconds("user_usec"),
        flat_value(stat, "nr_periods"), flat_value(stat, "nr_throttled"), nanoseconds("throttled_usec"),
        pressure("cpu.pressure"));
  }

  // What cgroup v2 has no file for stays 0, as runc has it.
  [[nodiscard]] std::string cpuset() const {
    return fmt::format(
        "{{\"cpus\":[{}],\"cpu_exclusive\":0,\"mems\":[{}],\"mem_hardwall\":0,\"mem_exclusive\":0,"
        "\"memory_migrate\":0,\"memory_spread_page\":0,\"memory_spread_slab\":0,\"memory_pressure\":0,"
        "\"sched_load_balance\":0,\"sched_relax_domain_level\":0}}",
        numbers_of_list(text("cpuset.cpus.effective")), numbers_of_list(text("cpuset.mems.effective")));
  }

  static std::string entry(uint64_t most, uint64_t usage, uint64_t peak, uint64_t failures) {
    return fmt::format("{{\"limit\":{},\"usage\":{},\"max\":{},\"failcnt\":{}}}", most, usage, peak,
                       failures);
  }

  [[nodiscard]] std::string memory() const {
    const auto stat = text("memory.stat"), events = text("memory.events");
    const uint64_t usage = value("memory.current"), most = limit("memory.max");
    const uint64_t swap_most = limit("memory.swap.max");
    const uint64_t both = most == kNoLimit || swap_most == kNoLimit ? kNoLimit : most + swap_most;
    std::string raw, counts;
    each_line(stat, [&](std::string_view line) {
      const auto pair = words(line);
      if (pair.size() == 2)
        raw += fmt::format("{}{}:{}", raw.empty() ? "" : ",", json_string(pair[0]), number(pair[1]));
    });
    for (const std::string_view key : {"low", "high", "max", "oom", "oom_kill", "oom_group_kill"})
      counts += fmt::format("{}\"{}\":{}", counts.empty() ? "" : ",", key, flat_value(events, key));
    return fmt::format(
        "{{\"cache\":{},\"usage\":{},\"swap\":{},\"kernel\":{},\"kernelTCP\":{},\"raw\":{{{}}}{},"
        "\"event_count\":{{{}}}}}",
        flat_value(stat, "file"), entry(most, usage, value("memory.peak"), flat_value(events, "max")),
        entry(both, usage + value("memory.swap.current"), 0, flat_value(text("memory.swap.events"), "max")),
        entry(0, flat_value(stat, "kernel"), 0, 0), entry(0, flat_value(stat, "sock"), 0, 0), raw,
        pressure("memory.pressure"), counts);
  }

  // "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6"
  [[nodiscard]] std::string block_io() const {
    std::string bytes, operations;
    each_line(text("io.stat"), [&](std::string_view line) {
      const auto parts = words(line);
      const size_t colon = parts.empty() ? std::string_view::npos : parts[0].find(':');
      if (colon == std::string_view::npos) return;
      for (size_t i = 1; i < parts.size(); ++i) {
        const auto [name, operation, of_bytes] = meaning(parts[i].substr(0, parts[i].find('=')));
        if (name.empty() || name.size() == parts[i].size()) continue;
        std::string& list = of_bytes ? bytes : operations;
        list += fmt::format("{}{{\"major\":{},\"minor\":{},\"op\":\"{}\",\"value\":{}}}",
                            list.empty() ? "" : ",", number(parts[0]), number(parts[0].substr(colon + 1)),
                            operation, number(parts[i].substr(name.size() + 1)));
      }
    });
    return fmt::format("{{\"ioServiceBytesRecursive\":[{}],\"ioServicedRecursive\":[{}]{}}}", bytes,
                       operations, pressure("io.pressure"));
  }
  struct Meaning {
    std::string_view name, operation;
    bool of_bytes = false;
  };
  static Meaning meaning(std::string_view name) {
    constexpr Meaning kMeanings[] = {{"rbytes", "Read", true},    {"wbytes", "Write", true},
                                     {"dbytes", "Discard", true}, {"rios", "Read", false},
                                     {"wios", "Write", false},    {"dios", "Discard", false}};
    const auto* found = std::ranges::find(kMeanings, name, &Meaning::name);
    return found == std::end(kMeanings) ? Meaning{} : *found;
  }

  [[nodiscard]] std::string huge_pages() const {
    constexpr std::string_view kPrefix = "hugetlb.", kSuffix = ".current";
    std::string out;
    for (const auto& [file, held] : files_) {
      if (!file.starts_with(kPrefix) || !file.ends_with(kSuffix) || file.contains(".rsvd.")) continue;
      const auto page = file.substr(kPrefix.size(), file.size() - kPrefix.size() - kSuffix.size());
      const auto of = [&](std::string_view what) { return fmt::format("{}{}.{}", kPrefix, page, what); };
      out += fmt::format("{}{}:{{\"usage\":{},\"max\":{},\"failcnt\":{}}}", out.empty() ? "" : ",",
                         json_string(page), number(held), limit(of("max")),
                         flat_value(text(of("events")), "max"));
    }
    return "{" + out + "}";
  }

  // "mlx4_0 hca_handle=2 hca_object=max"
  [[nodiscard]] std::string rdma() const {
    const auto devices = [&](std::string_view file) {
      std::string out;
      each_line(text(file), [&](std::string_view line) {
        std::string values;
        const auto parts = words(line);
        if (parts.empty()) return;
        for (size_t i = 1; i < parts.size(); ++i) {
          const size_t equals = parts[i].find('=');
          if (equals == std::string_view::npos) continue;
          values += fmt::format(",{}:{}", json_string(parts[i].substr(0, equals)),
                                number(parts[i].substr(equals + 1), kNoLimit));
        }
        out += fmt::format("{}{{\"device\":{}{}}}", out.empty() ? "" : ",", json_string(parts[0]), values);
      });
      return out;
    };
    return fmt::format("{{\"current\":[{}],\"limit\":[{}]}}", devices("rdma.current"), devices("rdma.max"));
  }

  // proc_pid_net(5), "dev": two lines of titles, then NAME: eight numbers received, eight sent.
  [[nodiscard]] std::string interfaces() const {
    std::string out;
    each_line(network_, [&](std::string_view line) {
      const size_t colon = line.rfind(':');
      if (colon == std::string_view::npos || line.contains('|')) return;
      const auto name = words(line.substr(0, colon));
      const auto counts = words(line.substr(colon + 1));
      if (name.size() != 1 || counts.size() < 16) return;
      const auto at = [&](size_t i) { return number(counts[i]); };
      out += fmt::format(
          "{}{{\"Name\":{},\"RxBytes\":{},\"RxPackets\":{},\"RxErrors\":{},\"RxDropped\":{},\"TxBytes\":{},"
          "\"TxPackets\":{},\"TxErrors\":{},\"TxDropped\":{}}}",
          out.empty() ? "" : ",", json_string(name[0]), at(0), at(1), at(2), at(3), at(8), at(9), at(10),
          at(11));
    });
    return "[" + out + "]";
  }

  const CgroupTexts& files_;
  std::string_view network_;
};

// "some avg10=0.00 avg60=0.00 avg300=0.00 total=0"; nothing where it is no such line.
std::string pressure_line(std::string_view line) {
  const auto parts = words(line);
  if (parts.size() != 5) return {};
  std::string out;
  for (size_t i = 1; i < parts.size(); ++i) {
    const size_t equals = parts[i].find('=');
    if (equals == std::string_view::npos || !is_decimal(parts[i].substr(equals + 1))) return {};
    out += fmt::format("{}{}:{}", out.empty() ? "" : ",", json_string(parts[i].substr(0, equals)),
                       parts[i].substr(equals + 1));
  }
  return fmt::format("{}:{{{}}}", json_string(parts[0]), out);
}

}  // namespace

CgroupTexts read_statistics(const sys::Fd& cgroup) {
  CgroupTexts texts;
  const auto take = [&](const std::string& file) {
    if (auto text = sys::read_file(cgroup.get(), file)) texts[file] = *std::move(text);
  };
  for (const char* file : kFiles) take(file);
  // Page sizes are the machine's: their files are looked for.
  const auto listing = sys::open_at(cgroup.get(), ".", O_RDONLY | O_DIRECTORY);
  const auto names = listing ? sys::list_directory(*listing) : std::vector<std::string>();
  if (!names) return texts;
  for (const std::string& name : *names)
    if (name.starts_with("hugetlb.") && !name.contains(".rsvd.") &&
        (name.ends_with(".current") || name.ends_with(".max") || name.ends_with(".events")))
      take(name);
  return texts;
}

std::string statistics_json(const CgroupTexts& files, std::string_view network) {
  return Statistics(files, network).json();
}

uint64_t flat_value(std::string_view text, std::string_view key) {
  uint64_t value = 0;
  each_line(text, [&](std::string_view line) {
    if (line.size() > key.size() && line.starts_with(key) && line[key.size()] == ' ')
      value = number(line.substr(key.size() + 1));
  });
  return value;
}

std::string pressure_json(std::string_view text) {
  std::string out;
  each_line(text, [&](std::string_view line) {
    const auto part = pressure_line(line);
    if (!part.empty()) out += (out.empty() ? "" : ",") + part;
  });
  return out.empty() ? "" : "{" + out + "}";
}

}  // namespace cloche::runtime
