#include "runtime/events.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "runtime/cgroup_stats.h"
#include "runtime/container.h"
#include "runtime/json_text.h"
#include "runtime/process_mark.h"
#include "runtime/shared_record.h"
#include "sys/files.h"

namespace cloche::runtime {
namespace {

// A window is a multiple of 2 s, which needs no right (Linux 6.5; before, root's).
struct Trigger {
  const char *resource, *words;
};
constexpr std::array<Trigger, 3> kTriggers{
    {{"memory", "some 200000 2000000"}, {"io", "some 200000 2000000"}, {"cpu", "some 1000000 2000000"}}};

struct Watched {
  Container container;
  sys::Fd cgroup, init;
};

sys::Result<Watched> watch(const StateRoot& root, const std::string& id) {
  CLOCHE_TRY_ASSIGN(container, load(root, id));
  if (!container.has_process()) return sys::fail_because("container not running");
  if (container.state.cgroup.empty())
    return sys::fail_because("the container has no cgroup of its own, and only a cgroup counts");
  CLOCHE_TRY_ASSIGN(cgroup, sys::open_at(AT_FDCWD, container.state.cgroup, O_RDONLY | O_DIRECTORY));
  auto init = open_marked(*container.init);
  if (!init) return sys::fail_because("container not running");
  return Watched{std::move(container), std::move(cgroup), *std::move(init)};
}

// Of the container's own network namespace; the host's interfaces are not the container's.
std::string network_of(const ProcessMark& init) {
  const auto ns = [](const std::string& pid) {
    return sys::read_link(AT_FDCWD, fmt::format("/proc/{}/ns/net", pid)).value_or("");
  };
  const std::string pid = fmt::format("{}", init.pid);
  if (ns(pid).empty() || ns(pid) == ns("self")) return {};
  return sys::read_file(AT_FDCWD, fmt::format("/proc/{}/net/dev", pid)).value_or("");
}

std::string event(std::string_view type, const std::string& id, const std::string& data = {}) {
  return fmt::format("{{\"type\":\"{}\",\"id\":{}{}{}}}", type, json_string(id),
                     data.empty() ? "" : ",\"data\":", data);
}

std::string statistics_event(const Watched& watched) {
  return event("stats", watched.container.state.id,
               statistics_json(read_statistics(watched.cgroup), network_of(*watched.container.init)));
}

class Stream {
 public:
  Stream(const Watched& watched, int64_t interval, const TellEvent& tell)
      : watched_(watched), interval_(interval), tell_(tell) {}

  sys::Result<> run() {
    open();
    oom_kills_ = oom_kills();
    int64_t next = static_cast<int64_t>(stopwatch()) + interval_;
    for (;;) {
      CLOCHE_TRY_ASSIGN(ended, wait_until(next));
      if (!tell_oom() || !tell_pressures()) return {};
      if (ended) return {};
      if (static_cast<int64_t>(stopwatch()) < next) continue;
      if (!tell_(statistics_event(watched_))) return {};
      next = static_cast<int64_t>(stopwatch()) + interval_;
    }
  }

 private:
  void open() {
    if (auto file = sys::open_at(watched_.cgroup.get(), "memory.events", O_RDONLY))
      events_ = *std::move(file);
    for (size_t i = 0; i < kTriggers.size(); ++i) {
      auto file = sys::open_at(watched_.cgroup.get(), fmt::format("{}.pressure", kTriggers[i].resource),
                               O_RDWR | O_NONBLOCK);
      if (file && sys::write_once(*file, kTriggers[i].words, kTriggers[i].resource))
        pressures_[i] = *std::move(file);
    }
  }

  // True when the container has ended.
  sys::Result<bool> wait_until(int64_t time) {
    const auto fd = [](const sys::Fd& file) { return file.valid() ? file.get() : -1; };
    polled_ = {{{.fd = watched_.init.get(), .events = POLLIN, .revents = 0},
                {.fd = fd(events_), .events = POLLPRI, .revents = 0},
                {.fd = fd(pressures_[0]), .events = POLLPRI, .revents = 0},
                {.fd = fd(pressures_[1]), .events = POLLPRI, .revents = 0},
                {.fd = fd(pressures_[2]), .events = POLLPRI, .revents = 0}}};
    const int64_t left = std::max<int64_t>(0, time - static_cast<int64_t>(stopwatch()));
    const timespec wait{.tv_sec = left / 1'000'000'000, .tv_nsec = left % 1'000'000'000};
    if (::ppoll(polled_.data(), polled_.size(), &wait, nullptr) < 0) {
      if (errno == EINTR) return false;
      return sys::fail(errno, "ppoll(init, memory.events, *.pressure)");
    }
    return polled_[0].revents != 0;
  }

  [[nodiscard]] uint64_t oom_kills() const {
    if (!events_.valid()) return 0;
    return flat_value(sys::read_file(watched_.cgroup.get(), "memory.events").value_or(""), "oom_kill");
  }

  // Also at the container's end, which its OOM kill may be.
  bool tell_oom() {
    if ((polled_[1].revents & POLLPRI) != 0) {
      char text[512];  // what was read is what the next poll compares with
      (void)::pread(events_.get(), text, sizeof text, 0);
    }
    const uint64_t kills = oom_kills();
    const bool grown = kills > oom_kills_;
    oom_kills_ = kills;
    return !grown || tell_(event("oom", watched_.container.state.id));
  }

  bool tell_pressures() {
    for (size_t i = 0; i < kTriggers.size(); ++i) {
      const short happened = polled_[2 + i].revents;
      // POLLERR: the cgroup is gone.
      if ((happened & POLLERR) != 0) pressures_[i].reset();
      if ((happened & POLLPRI) == 0 || (happened & POLLERR) != 0) continue;
      const std::string resource = kTriggers[i].resource;
      const auto text = sys::read_file(watched_.cgroup.get(), resource + ".pressure").value_or("");
      const std::string json = pressure_json(text);
      if (!json.empty() && !tell_(event("pressure", watched_.container.state.id,
                                        fmt::format("{{\"resource\":\"{}\",{}", resource, json.substr(1)))))
        return false;
    }
    return true;
  }

  const Watched& watched_;
  int64_t interval_;
  const TellEvent& tell_;
  sys::Fd events_;
  std::array<sys::Fd, kTriggers.size()> pressures_;
  std::array<pollfd, 2 + kTriggers.size()> polled_{};
  uint64_t oom_kills_ = 0;
};

}  // namespace

sys::Result<> tell_statistics(const StateRoot& root, const std::string& id, const TellEvent& tell) {
  CLOCHE_TRY_ASSIGN(watched, watch(root, id));
  (void)tell(statistics_event(watched));
  return {};
}

sys::Result<> tell_events(const StateRoot& root, const std::string& id, std::chrono::nanoseconds interval,
                          const TellEvent& tell) {
  CLOCHE_TRY_ASSIGN(watched, watch(root, id));
  return Stream(watched, interval.count(), tell).run();
}

}  // namespace cloche::runtime
