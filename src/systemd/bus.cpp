#include "systemd/bus.h"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace cloche::systemd {
namespace {

constexpr char kService[] = "org.freedesktop.systemd1", kObject[] = "/org/freedesktop/systemd1",
               kManager[] = "org.freedesktop.systemd1.Manager";
constexpr uint64_t kSecond = 1'000'000;

uint64_t now() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<uint64_t>(time.tv_sec) * kSecond + static_cast<uint64_t>(time.tv_nsec) / 1000;
}

std::string private_socket(bool user) {
  if (!user) return "/run/systemd/private";
  const char* runtime = getenv("XDG_RUNTIME_DIR");
  return (runtime != nullptr ? std::string(runtime) : "/run/user/" + std::to_string(geteuid())) +
         "/systemd/private";
}

struct FreeError {
  sd_bus_error error = SD_BUS_ERROR_NULL;
  FreeError() = default;
  FreeError(const FreeError&) = delete;
  FreeError& operator=(const FreeError&) = delete;
  ~FreeError() { sd_bus_error_free(&error); }
};

}  // namespace

Refused Bus::failed(std::string call, int error) const {
  const int code = std::abs(error);
  if (code == ETIMEDOUT) return {std::move(call), "timeout", "no answer in time"};
  return {std::move(call), strerrorname_np(code), strerror(code)};
}

Answer<std::unique_ptr<sd_bus, Unref>> Bus::connect(bool user, bool& direct) {
  sd_bus* raw = nullptr;
  const bool named = !user && getenv("DBUS_SYSTEM_BUS_ADDRESS") != nullptr;
  const std::string path = private_socket(user);
  if (!named && access(path.c_str(), F_OK) == 0 && sd_bus_new(&raw) >= 0) {
    std::unique_ptr<sd_bus, Unref> bus(raw);
    direct = true;
    if (sd_bus_set_address(raw, ("unix:path=" + path).c_str()) >= 0 && sd_bus_start(raw) >= 0) return bus;
  }
  direct = false;
  raw = nullptr;
  const int opened = user ? sd_bus_open_user(&raw) : sd_bus_open_system(&raw);
  std::unique_ptr<sd_bus, Unref> bus(raw);
  if (opened >= 0) return bus;
  const char* session = getenv("DBUS_SESSION_BUS_ADDRESS");
  const char* system = getenv("DBUS_SYSTEM_BUS_ADDRESS");
  const char* address = user ? session : system;
  const std::string bus_name = user ? "the user bus" : "the system bus";
  return std::unexpected(
      Refused{"connect to " + (address != nullptr ? bus_name + " at " + address : bus_name),
              strerrorname_np(-opened), strerror(-opened)});
}

Answer<Bus> Bus::open(bool user, unsigned seconds) {
  bool direct = false;
  auto bus = connect(user, direct);
  if (!bus) return std::unexpected(std::move(bus).error());
  Bus opened(*std::move(bus), direct, now() + seconds * kSecond);
  // A systemd that hangs takes the connection and says nothing: sd-bus itself would wait 90 seconds for its greeting.
  while (sd_bus_is_ready(opened.bus_.get()) == 0) {
    if (now() >= opened.deadline_) return std::unexpected(opened.failed("connect", ETIMEDOUT));
    int done = sd_bus_process(opened.bus_.get(), nullptr);
    if (done == 0) done = sd_bus_wait(opened.bus_.get(), opened.left());
    if (done < 0 && done != -EINTR) return std::unexpected(opened.failed("connect", done));
  }
  return opened;
}

uint64_t Bus::left() const {
  const uint64_t time = now();
  return time < deadline_ ? deadline_ - time : 1;
}

Answer<Message> Bus::method(const char* member) {
  sd_bus_message* raw = nullptr;
  const int made = sd_bus_message_new_method_call(bus_.get(), &raw, direct_ ? nullptr : kService, kObject,
                                                  kManager, member);
  if (made < 0) return std::unexpected(failed(member, made));
  return Message(raw);
}

Answer<Message> Bus::call(Message request) {
  const std::string member = sd_bus_message_get_member(request.get());
  FreeError refusal;
  sd_bus_message* raw = nullptr;
  const int called = sd_bus_call(bus_.get(), request.get(), left(), &refusal.error, &raw);
  Message reply(raw);
  if (called >= 0) return reply;
  const std::string name = refusal.error.name != nullptr ? refusal.error.name : "";
  if (called == -ETIMEDOUT || name == SD_BUS_ERROR_NO_REPLY || name == SD_BUS_ERROR_TIMEOUT)
    return std::unexpected(failed(member, ETIMEDOUT));
  if (name.empty()) return std::unexpected(failed(member, called));
  return std::unexpected(
      Refused{member, name, refusal.error.message != nullptr ? refusal.error.message : ""});
}

Answer<std::string> Bus::property(const std::string& path, const char* interface, const char* member) {
  FreeError refusal;
  char* raw = nullptr;
  sd_bus_set_method_call_timeout(bus_.get(), left());
  const int read = sd_bus_get_property_string(bus_.get(), direct_ ? nullptr : kService, path.c_str(),
                                              interface, member, &refusal.error, &raw);
  const std::unique_ptr<char, decltype(&free)> text(raw, free);
  if (read >= 0) return std::string(text.get());
  if (read == -ETIMEDOUT || refusal.error.name == nullptr) return std::unexpected(failed(member, read));
  return std::unexpected(
      Refused{member, refusal.error.name, refusal.error.message != nullptr ? refusal.error.message : ""});
}

// JobRemoved(u id, o job, s unit, s result)
int Bus::note_job(sd_bus_message* message, void* ended, sd_bus_error*) {
  uint32_t id = 0;
  const char *job = nullptr, *unit = nullptr, *result = nullptr;
  if (sd_bus_message_read(message, "uoss", &id, &job, &unit, &result) >= 0)
    static_cast<std::vector<Ended>*>(ended)->push_back({job, result});
  return 0;
}

Answer<> Bus::watch_jobs() {
  sd_bus_slot* raw = nullptr;
  const int matched = sd_bus_match_signal(bus_.get(), &raw, direct_ ? nullptr : kService, kObject, kManager,
                                          "JobRemoved", note_job, ended_.get());
  if (matched < 0) return std::unexpected(failed("watch for JobRemoved", matched));
  slot_.reset(raw);
  // Without a subscriber systemd sends no signals; on its own socket everybody is one.
  auto request = method("Subscribe");
  if (!request) return std::unexpected(std::move(request).error());
  auto subscribed = call(*std::move(request));
  if (!subscribed && subscribed.error().name != "org.freedesktop.systemd1.AlreadySubscribed")
    return std::unexpected(std::move(subscribed).error());
  return {};
}

Answer<> Bus::await_job(const std::string& job) {
  for (;;) {
    const auto found = std::ranges::find(*ended_, job, &Ended::job);
    if (found != ended_->end()) {
      if (found->result == "done") return {};
      return std::unexpected(Refused{"job", "job", found->result});
    }
    if (now() >= deadline_) return std::unexpected(Refused{"job", "timeout", "the job was not done in time"});
    const int processed = sd_bus_process(bus_.get(), nullptr);
    if (processed < 0) return std::unexpected(failed("job", processed));
    if (processed > 0) continue;
    if (const int waited = sd_bus_wait(bus_.get(), left()); waited < 0 && waited != -EINTR)
      return std::unexpected(failed("job", waited));
  }
}

}  // namespace cloche::systemd
