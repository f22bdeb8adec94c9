// A connection to a systemd manager, as sd-bus(3) has it. No other part of Cloche links libsystemd.
#pragma once

#include <systemd/sd-bus.h>

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <vector>

namespace cloche::systemd {

// Who said no, in D-Bus' terms. `name`: the error's name as it came over the bus, the errno's name where nothing came,
// "timeout" where an answer did not come in time, or "job" for a job that ended otherwise than done.
struct Refused {
  std::string call, name, message;
};
template <class T = void>
using Answer = std::expected<T, Refused>;

// One property as the runtime writes it: NAME:TYPE=VALUE, plan::UnitProperty.
struct Property {
  std::string name, type, value;
};

struct Unref {
  void operator()(sd_bus* bus) const { sd_bus_close_unref(bus); }
  void operator()(sd_bus_message* message) const { sd_bus_message_unref(message); }
  void operator()(sd_bus_slot* slot) const { sd_bus_slot_unref(slot); }
};
using Message = std::unique_ptr<sd_bus_message, Unref>;
using Slot = std::unique_ptr<sd_bus_slot, Unref>;

class Bus {
 public:
  // root: systemd's private socket, which needs no bus daemon, else the system bus. `user`: the same of the caller's
  // manager. An address in DBUS_SYSTEM_BUS_ADDRESS is taken before the private socket. `seconds`: for everything that
  // is asked, together.
  static Answer<Bus> open(bool user, unsigned seconds);

  // A method of org.freedesktop.systemd1.Manager, its arguments not yet appended.
  Answer<Message> method(const char* member);
  Answer<Message> call(Message request);
  // A property of an object of the manager's, as text.
  Answer<std::string> property(const std::string& path, const char* interface, const char* member);

  // Between these two a job's end cannot be missed.
  Answer<> watch_jobs();
  Answer<> await_job(const std::string& job);

  Refused failed(std::string call, int error) const;

 private:
  explicit Bus(std::unique_ptr<sd_bus, Unref> bus, bool direct, uint64_t deadline)
      : bus_(std::move(bus)), direct_(direct), deadline_(deadline) {}
  static Answer<std::unique_ptr<sd_bus, Unref>> connect(bool user, bool& direct);
  [[nodiscard]] uint64_t left() const;  // microseconds

  struct Ended {
    std::string job, result;
  };
  static int note_job(sd_bus_message* message, void* ended, sd_bus_error*);

  std::unique_ptr<sd_bus, Unref> bus_;
  bool direct_ = false;  // a socket of systemd's own: no bus, no names
  uint64_t deadline_ = 0;
  std::unique_ptr<std::vector<Ended>> ended_ = std::make_unique<std::vector<Ended>>();
  Slot slot_;
};

}  // namespace cloche::systemd
