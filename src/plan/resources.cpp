#include "plan/resources.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "plan/device_lines.h"
#include "sys/number.h"

namespace cloche::plan {
namespace {

constexpr const char* kField = "linux.resources";

class Conversion {
 public:
  Conversion(Builder& b, const CgroupNow* now) : b_(b), from_(*b.os.resources), now_(now) {}

  std::expected<std::vector<CgroupWrite>, Refusal> run() {
    CLOCHE_PLAN(memory());
    CLOCHE_PLAN(cpu());
    CLOCHE_PLAN(pids());
    CLOCHE_PLAN(block_io());
    CLOCHE_PLAN(huge_pages());
    CLOCHE_PLAN(network());
    rdma();
    CLOCHE_PLAN(unified());
    return std::move(writes_);
  }

 private:
  void write(const char* controller, std::string file, std::string value, std::string field) {
    writes_.push_back({controller, std::move(file), std::move(value), fmt::format("{}.{}", kField, field)});
  }
  static std::string bytes(int64_t value) { return value < 0 ? "max" : std::to_string(value); }

  Planned memory() {
    if (!from_.memory) return {};
    const auto& m = *from_.memory;
    // 0 is how callers written for v1 say "not set".
    const int64_t limit = m.limit.value_or(0), swap = m.swap.value_or(0);
    if (limit != 0) write("memory", "memory.max", bytes(limit), "memory.limit");
    if (m.reservation.value_or(0) != 0)
      write("memory", "memory.low", bytes(*m.reservation), "memory.reservation");
    CLOCHE_PLAN(swap != 0 ? swap_of(swap, limit) : swap_that_follows(limit));
    CLOCHE_PLAN(check_use(limit, swap));
    return memory_of_v1(m, limit);
  }

  // In the spec swap is memory and swap together; v2 counts swap alone.
  Planned swap_of(int64_t swap, int64_t limit) {
    if (swap < 0 || limit < 0) {
      write("memory", "memory.swap.max", bytes(swap), "memory.swap");
      return {};
    }
    if (limit == 0) limit = number_now("memory.max").value_or(0);
    if (limit == 0)
      return refuse("linux.resources.memory.swap",
                    "a limit of memory and swap together needs memory.limit too: "
                    "cgroup v2 limits swap alone, as the difference of the two");
    if (swap < limit)
      return refuse("linux.resources.memory.swap",
                    fmt::format("memory and swap together ({}) cannot be less than "
                                "memory.limit ({})",
                                swap, limit));
    write("memory", "memory.swap.max", std::to_string(swap - limit), "memory.swap");
    return {};
  }

  // A change of memory alone, where both together were limited: the total stays.
  Planned swap_that_follows(int64_t limit) {
    if (now_ == nullptr || !now_->swap_total || limit == 0) return {};
    const auto memory = number_now("memory.max"), swap = number_now("memory.swap.max");
    if (!swap) return {};
    if (limit < 0) {
      write("memory", "memory.swap.max", "max", "memory.limit");
      return {};
    }
    if (!memory) return {};
    if (limit > *memory + *swap)
      return refuse("linux.resources.memory.limit",
                    fmt::format("{} is above the limit of memory and swap together, which is {}: "
                                "change memory.swap too",
                                limit, *memory + *swap));
    write("memory", "memory.swap.max", std::to_string(*memory + *swap - limit), "memory.limit");
    return {};
  }

  // checkBeforeUpdate: what is in use is not taken away.
  Planned check_use(int64_t limit, int64_t swap) {
    if (now_ == nullptr || !from_.memory->checkBeforeUpdate.value_or(false)) return {};
    const int64_t memory = number_now("memory.current").value_or(0);
    if (limit > 0 && limit < memory)
      return refuse(
          "linux.resources.memory.limit",
          fmt::format("{} is below the {} bytes in use, and memory.checkBeforeUpdate is set", limit, memory));
    const int64_t both = memory + number_now("memory.swap.current").value_or(0);
    if (swap > 0 && swap < both)
      return refuse("linux.resources.memory.swap",
                    fmt::format("{} is below the {} bytes of memory and swap in use, and "
                                "memory.checkBeforeUpdate is set",
                                swap, both));
    return {};
  }

  Planned memory_of_v1(const spec::Memory& m, int64_t limit) {
    if (m.kernelTCP.value_or(0) > 0)
      return refuse("linux.resources.memory.kernelTCP",
                    "cgroup v2 has no limit for TCP buffers alone: use "
                    "memory.limit, which counts them");
    if (m.kernel.value_or(0) > 0) {
      if (limit <= 0)
        return refuse("linux.resources.memory.kernel",
                      "cgroup v2 has no limit for kernel memory alone: use "
                      "memory.limit, which counts it");
      b_.note("memory.kernel", "left out: cgroup v2 counts kernel memory under memory.max");
    }
    if (m.swappiness)
      b_.note("memory.swappiness",
              "left out: cgroup v2 has no swappiness per cgroup; memory.swap.max limits swap");
    if (m.disableOOMKiller.value_or(false))
      b_.note("memory.disableOOMKiller", "left out: cgroup v2 cannot switch the OOM killer off");
    return {};
  }

  Planned cpu() {
    if (!from_.cpu) return {};
    const auto& c = *from_.cpu;
    if (c.realtimeRuntime.value_or(0) != 0 || c.realtimePeriod.value_or(0) != 0)
      return refuse("linux.resources.cpu.realtimeRuntime",
                    "cgroup v2 has no real-time budget: remove "
                    "realtimeRuntime and realtimePeriod");
    if (c.idle) write("cpu", "cpu.idle", std::to_string(*c.idle), "cpu.idle");
    // An idle cgroup has no weight: the kernel refuses the write.
    if (c.shares.value_or(0) != 0 && !c.idle && value_now("cpu.idle") == "1")
      return refuse("linux.resources.cpu.shares",
                    "the container is idle (cpu.idle is 1) and has no weight: set cpu.idle to 0 too");
    if (c.shares.value_or(0) != 0 && c.idle.value_or(0) == 0)
      write("cpu", "cpu.weight", std::to_string(weight_from_shares(*c.shares)), "cpu.shares");
    const int64_t quota = c.quota.value_or(0);
    const uint64_t period = c.period.value_or(0);
    if (quota != 0 || period != 0) {
      std::string value = quota > 0 ? std::to_string(quota) : "max";
      // The kernel keeps the period where a quota comes alone, and not the other way round.
      if (const auto held = value_now("cpu.max"); quota == 0 && !held.empty())
        value = held.substr(0, held.find(' '));
      if (period != 0) value += fmt::format(" {}", period);
      write("cpu", "cpu.max", std::move(value), c.quota ? "cpu.quota" : "cpu.period");
    }
    if (c.burst.value_or(0) != 0 || (c.burst && now_ != nullptr))
      write("cpu", "cpu.max.burst", std::to_string(*c.burst), "cpu.burst");
    if (!c.cpus.empty()) write("cpuset", "cpuset.cpus", c.cpus, "cpu.cpus");
    if (!c.mems.empty()) write("cpuset", "cpuset.mems", c.mems, "cpu.mems");
    return {};
  }

  Planned pids() {
    if (!from_.pids || !from_.pids->limit) return {};
    const int64_t limit = *from_.pids->limit;
    if (limit == 0) {
      // Callers send 0 for "no limit asked for"; a cgroup that could hold no process would be of no use.
      b_.note("pids limit", "0 is read as no limit, as callers mean it");
      return {};
    }
    write("pids", "pids.max", bytes(limit), "pids.limit");
    return {};
  }

  Planned block_io() {
    if (!from_.blockIO) return {};
    const auto& io = *from_.blockIO;
    const auto check = [](uint16_t weight, const std::string& field) -> Planned {
      if (weight >= 10 && weight <= 1000) return {};
      return refuse("linux.resources." + field, fmt::format("a weight is 10 to 1000, not {}", weight));
    };
    if (io.weight.value_or(0) != 0) {
      CLOCHE_PLAN(check(*io.weight, "blockIO.weight"));
      write_weight("default", *io.weight, "blockIO.weight");
    }
    bool leaf = io.leafWeight.value_or(0) != 0;
    for (const auto& device : io.weightDevice) {
      leaf = leaf || device.leafWeight.value_or(0) != 0;
      if (device.weight.value_or(0) == 0) continue;
      CLOCHE_PLAN(check(*device.weight, "blockIO.weightDevice"));
      write_weight(fmt::format("{}:{}", device.major, device.minor), *device.weight, "blockIO.weightDevice");
    }
    if (leaf) b_.note("blockIO.leafWeight", "left out: cgroup v2 has no processes beside child cgroups");
    throttle(io.throttleReadBpsDevice, "rbps", "blockIO.throttleReadBpsDevice");
    throttle(io.throttleWriteBpsDevice, "wbps", "blockIO.throttleWriteBpsDevice");
    throttle(io.throttleReadIOPSDevice, "riops", "blockIO.throttleReadIOPSDevice");
    throttle(io.throttleWriteIOPSDevice, "wiops", "blockIO.throttleWriteIOPSDevice");
    return {};
  }

  // BFQ's weights are those of the spec.
  void write_weight(const std::string& disk, uint16_t weight, const char* field) {
    write("io", "io.weight", fmt::format("{} {}", disk, weight_from_blkio(weight)), field);
    writes_.back().bfq = fmt::format("{} {}", disk, weight);
  }

  void throttle(const std::vector<spec::ThrottleDevice>& devices, const char* key, const char* field) {
    for (const auto& device : devices)
      write("io", "io.max",
            fmt::format("{}:{} {}={}", device.major, device.minor, key,
                        device.rate == 0 ? "max" : std::to_string(device.rate)),
            field);
  }

  Planned huge_pages() {
    for (size_t i = 0; i < from_.hugepageLimits.size(); ++i) {
      const auto& entry = from_.hugepageLimits[i];
      const auto digits = entry.pageSize.find_first_not_of("0123456789");
      const auto unit = digits == std::string::npos ? std::string() : entry.pageSize.substr(digits);
      if (digits == 0 || (unit != "KB" && unit != "MB" && unit != "GB"))
        return refuse(fmt::format("linux.resources.hugepageLimits[{}].pageSize", i),
                      fmt::format("\"{}\" is no page size: write \"2MB\" or \"1GB\"", entry.pageSize));
      // Pages in use, and (Linux 5.7) pages promised: without the second a fault past the first is a SIGBUS.
      for (const char* kind : {"max", "rsvd.max"})
        write("hugetlb", fmt::format("hugetlb.{}.{}", entry.pageSize, kind), std::to_string(entry.limit),
              fmt::format("hugepageLimits[{}]", i));
    }
    return {};
  }

  Planned network() const {
    if (!from_.network) return {};
    if (from_.network->classID.value_or(0) != 0)
      return refuse("linux.resources.network.classID",
                    "cgroup v2 has no traffic classes: match the cgroup in "
                    "nftables instead (`socket cgroupv2`)");
    if (!from_.network->priorities.empty())
      return refuse("linux.resources.network.priorities",
                    "cgroup v2 has no interface priorities: set them in "
                    "nftables or tc");
    return {};
  }

  void rdma() {
    for (const auto& [device, limit] : from_.rdma) {
      std::string value = device;
      if (limit.hcaHandles) value += fmt::format(" hca_handle={}", *limit.hcaHandles);
      if (limit.hcaObjects) value += fmt::format(" hca_object={}", *limit.hcaObjects);
      if (value != device) write("rdma", "rdma.max", std::move(value), "rdma." + device);
    }
  }

  Planned unified() {
    for (const auto& [file, value] : from_.unified) {
      const auto field = "unified." + file;
      const auto dot = file.find('.');
      if (dot == std::string::npos || dot == 0 || file.find('/') != std::string::npos ||
          file.ends_with('.') || file.find("..") != std::string::npos)
        return refuse("linux.resources." + field, fmt::format("\"{}\" is no file of a cgroup: write "
                                                              "\"memory.high\"",
                                                              file));
      const auto controller = file.substr(0, dot);
      // Whoever may write these decides who is in the cgroup and who may change it: that is the engine's.
      if (file == "cgroup.procs" || file == "cgroup.threads" || file == "cgroup.kill" ||
          file == "cgroup.freeze" || file == "cgroup.subtree_control")
        return refuse("linux.resources." + field, fmt::format("{} is no setting but an action", file));
      // One line per device: a line for another device stays.
      const bool keyed = device_lines(file) != nullptr;
      const bool replaced =
          !keyed && std::erase_if(writes_, [&](const auto& w) { return w.file == file; }) > 0;
      if (replaced)
        b_.note(file,
                fmt::format("linux.resources.unified has the last word over the field that sets {}", file));
      // The kernel reads one device's line from one write.
      for (size_t at = 0; at <= value.size();) {
        const size_t end = keyed ? std::min(value.find('\n', at), value.size()) : value.size();
        write(controller == "cgroup" ? "" : controller.c_str(), file, value.substr(at, end - at), field);
        at = end + 1;
      }
    }
    return {};
  }

  [[nodiscard]] std::string value_now(const char* file) const {
    if (now_ == nullptr) return {};
    const auto found = now_->values.find(file);
    return found == now_->values.end() ? std::string() : found->second;
  }
  [[nodiscard]] std::optional<int64_t> number_now(const char* file) const {
    return cgroup_number(value_now(file));
  }

  Builder& b_;
  const spec::Resources& from_;
  const CgroupNow* now_;
  std::vector<CgroupWrite> writes_;
};

}  // namespace

std::expected<std::vector<CgroupWrite>, Refusal> convert_resources(Builder& b, const CgroupNow* now) {
  if (!b.os.resources) return std::vector<CgroupWrite>{};
  return Conversion(b, now).run();
}

std::optional<int64_t> cgroup_number(std::string_view text) { return sys::whole_number<int64_t>(text); }

void order_changes(std::vector<CgroupWrite>& writes, const CgroupNow& now) {
  const auto held = [&](const char* file) {
    const auto found = now.values.find(file);
    const auto number = found == now.values.end() ? std::nullopt : cgroup_number(found->second);
    return number.value_or(std::numeric_limits<int64_t>::max());
  };
  const auto first = [&](const char* file, bool (*wanted)(int64_t next, int64_t before)) {
    const auto at = std::ranges::find(writes, file, &CgroupWrite::file);
    if (at == writes.end()) return;
    const int64_t next = cgroup_number(at->value).value_or(std::numeric_limits<int64_t>::max());
    if (wanted(next, held(file))) std::rotate(writes.begin(), at, at + 1);
  };
  first("memory.swap.max", [](int64_t next, int64_t before) { return next > before; });
  first("cpu.max.burst", [](int64_t next, int64_t before) { return next < before; });
}

uint64_t weight_from_shares(uint64_t shares) {
  if (shares <= 2) return 1;
  if (shares >= 262144) return 10000;
  const double l = std::log2(static_cast<double>(shares));
  return static_cast<uint64_t>(std::ceil(std::pow(10.0, (l * l + 125 * l) / 612 - 7.0 / 34)));
}

uint64_t weight_from_blkio(uint16_t weight) {
  const uint64_t inside = std::clamp<uint64_t>(weight, 10, 1000);
  return 1 + (inside - 10) * 9999 / 990;
}

}  // namespace cloche::plan
