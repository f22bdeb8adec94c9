#include "systemd/requests.h"

#include <charconv>
#include <cstdlib>
#include <limits>

#include "spec/numbers.h"

namespace cloche::systemd {
namespace {

constexpr char kNoUnit[] = "org.freedesktop.systemd1.NoSuchUnit",
               kExists[] = "org.freedesktop.systemd1.UnitExists";

#define CLOCHE_SAID(name, expr) \
  auto name = (expr);           \
  if (!name) return std::unexpected(std::move(name).error())

template <class Number>
Number number(const std::string& text) {
  Number value{};
  if (text == "max") return std::numeric_limits<Number>::max();
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

int append_value(sd_bus_message* m, const Property& p) {
  if (p.type == "string") return sd_bus_message_append(m, "v", "s", p.value.c_str());
  if (p.type == "bool") return sd_bus_message_append(m, "v", "b", p.value == "true" ? 1 : 0);
  if (p.type == "int32") return sd_bus_message_append(m, "v", "i", number<int32_t>(p.value));
  if (p.type == "uint32") return sd_bus_message_append(m, "v", "u", number<uint32_t>(p.value));
  if (p.type == "uint64") return sd_bus_message_append(m, "v", "t", number<uint64_t>(p.value));
  if (p.type != "cpus") return -EINVAL;
  // An empty list takes the restriction away.
  const std::vector<uint8_t> bits = bitmap(p.value);
  if (bits.empty() && !p.value.empty()) return -EINVAL;
  if (const int opened = sd_bus_message_open_container(m, 'v', "ay"); opened < 0) return opened;
  if (const int added = sd_bus_message_append_array(m, 'y', bits.data(), bits.size()); added < 0)
    return added;
  return sd_bus_message_close_container(m);
}

int append_property(sd_bus_message* m, const Property& p) {
  if (const int opened = sd_bus_message_open_container(m, 'r', "sv"); opened < 0) return opened;
  if (const int named = sd_bus_message_append(m, "s", p.name.c_str()); named < 0) return named;
  if (const int valued = append_value(m, p); valued < 0) return valued;
  return sd_bus_message_close_container(m);
}

// a(sv); the process, where there is one, is the property PIDs.
Answer<> append(Bus& bus, const Message& m, const std::vector<Property>& properties, const uint32_t* pid) {
  int done = sd_bus_message_open_container(m.get(), 'a', "(sv)");
  for (const Property& property : properties) {
    if (done >= 0) done = append_property(m.get(), property);
    if (done < 0)
      return std::unexpected(bus.failed("property " + property.name + "=" + property.value, done));
  }
  if (done >= 0 && pid != nullptr) done = sd_bus_message_append(m.get(), "(sv)", "PIDs", "au", 1, *pid);
  if (done >= 0) done = sd_bus_message_close_container(m.get());
  if (done < 0) return std::unexpected(bus.failed("properties", done));
  return {};
}

Answer<std::string> job_of(Bus& bus, const Message& reply) {
  const char* job = nullptr;
  if (const int read = sd_bus_message_read(reply.get(), "o", &job); read < 0)
    return std::unexpected(bus.failed("job", read));
  return std::string(job);
}

Answer<Message> on_unit(Bus& bus, const char* member, const std::string& unit, const char* mode = nullptr) {
  CLOCHE_SAID(request, bus.method(member));
  int added = sd_bus_message_append(request->get(), "s", unit.c_str());
  if (added >= 0 && mode != nullptr) added = sd_bus_message_append(request->get(), "s", mode);
  if (added < 0) return std::unexpected(bus.failed(member, added));
  return bus.call(*std::move(request));
}

Answer<std::string> start(Bus& bus, const std::string& unit, uint32_t pid,
                          const std::vector<Property>& properties) {
  CLOCHE_SAID(request, bus.method("StartTransientUnit"));
  // "fail": beside a job that somebody else has queued for a unit of this name, ours is refused.
  if (const int named = sd_bus_message_append(request->get(), "ss", unit.c_str(), "fail"); named < 0)
    return std::unexpected(bus.failed("StartTransientUnit", named));
  CLOCHE_SAID(added, append(bus, *request, properties, &pid));
  if (const int ended = sd_bus_message_append(request->get(), "a(sa(sv))", 0); ended < 0)
    return std::unexpected(bus.failed("StartTransientUnit", ended));
  CLOCHE_SAID(reply, bus.call(*std::move(request)));
  return job_of(bus, *reply);
}

// A unit that has failed stays loaded until it is forgotten: it holds nothing, and is nobody's any more.
bool forget_failed(Bus& bus, const std::string& unit) {
  const auto found = on_unit(bus, "GetUnit", unit);
  const char* path = nullptr;
  if (!found || sd_bus_message_read(found->get(), "o", &path) < 0) return false;
  const auto state = bus.property(path, "org.freedesktop.systemd1.Unit", "ActiveState");
  return state && *state == "failed" && on_unit(bus, "ResetFailedUnit", unit);
}

}  // namespace

std::vector<uint8_t> bitmap(const std::string& list) {
  const auto numbers = spec::parse_number_list(list, spec::kMostCpus);
  if (!numbers || numbers->empty()) return {};
  std::vector<uint8_t> bits(numbers->back() / 8 + 1);
  for (const uint32_t number : *numbers) bits[number / 8] |= static_cast<uint8_t>(1U << number % 8);
  return bits;
}

Answer<Manager> manager(Bus& bus) {
  constexpr char kObject[] = "/org/freedesktop/systemd1", kManager[] = "org.freedesktop.systemd1.Manager";
  CLOCHE_SAID(version, bus.property(kObject, kManager, "Version"));
  CLOCHE_SAID(group, bus.property(kObject, kManager, "ControlGroup"));
  return Manager{*std::move(version), *std::move(group)};
}

Answer<> start_scope(Bus& bus, const std::string& unit, uint32_t pid,
                     const std::vector<Property>& properties) {
  CLOCHE_SAID(watching, bus.watch_jobs());
  auto job = start(bus, unit, pid, properties);
  if (!job && job.error().name == kExists && forget_failed(bus, unit))
    job = start(bus, unit, pid, properties);
  if (!job && job.error().name == "timeout") (void)on_unit(bus, "StopUnit", unit, "replace");
  if (!job) return std::unexpected(std::move(job).error());
  auto done = bus.await_job(*job);
  if (!done) {
    // The unit is ours: it does not stay, whatever became of the job.
    (void)on_unit(bus, "StopUnit", unit, "replace");
    (void)on_unit(bus, "ResetFailedUnit", unit);
  }
  return done;
}

Answer<> set_properties(Bus& bus, const std::string& unit, const std::vector<Property>& properties) {
  CLOCHE_SAID(request, bus.method("SetUnitProperties"));
  if (const int named = sd_bus_message_append(request->get(), "sb", unit.c_str(), 1); named < 0)
    return std::unexpected(bus.failed("SetUnitProperties", named));
  CLOCHE_SAID(added, append(bus, *request, properties, nullptr));
  CLOCHE_SAID(reply, bus.call(*std::move(request)));
  // systemd writes the cgroup's files after this answer, before it hears anything else (manager_loop).
  CLOCHE_SAID(heard, manager(bus));
  return {};
}

Answer<> attach(Bus& bus, const std::string& unit, uint32_t pid) {
  CLOCHE_SAID(request, bus.method("AttachProcessesToUnit"));
  if (const int added = sd_bus_message_append(request->get(), "ssau", unit.c_str(), "/", 1, pid); added < 0)
    return std::unexpected(bus.failed("AttachProcessesToUnit", added));
  CLOCHE_SAID(reply, bus.call(*std::move(request)));
  return {};
}

Answer<> stop(Bus& bus, const std::string& unit) {
  CLOCHE_SAID(watching, bus.watch_jobs());
  auto reply = on_unit(bus, "StopUnit", unit, "replace");
  if (!reply && reply.error().name == kNoUnit) return {};
  if (!reply) return std::unexpected(std::move(reply).error());
  CLOCHE_SAID(job, job_of(bus, *reply));
  CLOCHE_SAID(done, bus.await_job(*job));
  auto forgotten = on_unit(bus, "ResetFailedUnit", unit);
  if (!forgotten && forgotten.error().name != kNoUnit) return std::unexpected(std::move(forgotten).error());
  return {};
}

}  // namespace cloche::systemd
