#include "plan/plan_json.h"

#include <fmt/format.h>

#include <boost/describe.hpp>
#include <boost/json.hpp>
#include <boost/mp11.hpp>
#include <map>
#include <type_traits>

#include "plan/catalog.h"
#include "plan/words.h"
#include "sys/error.h"

namespace cloche::plan {
namespace {

namespace json = boost::json;

// JSON is UTF-8; arguments and paths may be any bytes.
json::string text(std::string_view bytes) {
  const auto invalid = [](std::string_view s) {
    for (size_t i = 0; i < s.size();) {
      const auto lead = static_cast<unsigned char>(s[i]);
      const size_t length = lead < 0x80                   ? 1
                            : lead >= 0xc2 && lead < 0xe0 ? 2
                            : lead >= 0xe0 && lead < 0xf0 ? 3
                            : lead >= 0xf0 && lead < 0xf5 ? 4
                                                          : 0;
      if (length == 0 || i + length > s.size()) return true;
      for (size_t j = 1; j < length; ++j)
        if ((static_cast<unsigned char>(s[i + j]) & 0xc0) != 0x80) return true;
      i += length;
    }
    return false;
  };
  return invalid(bytes) ? json::string(printable(bytes)) : json::string(bytes);
}

std::string_view key_of(std::string_view member) {
  return member.ends_with('_') ? member.substr(0, member.size() - 1) : member;
}

json::value to_value(const std::string& value) { return text(value); }
json::value to_value(bool value) { return value; }
template <class T>
  requires std::is_integral_v<T>
json::value to_value(T value) {
  if constexpr (std::is_signed_v<T>)
    return static_cast<int64_t>(value);
  else
    return static_cast<uint64_t>(value);
}
template <class T>
json::value to_value(const std::vector<T>& list);
template <class T>
json::value to_value(const std::map<std::string, T>& map);
template <class T>
  requires boost::describe::has_describe_members<T>::value
json::value to_value(const T& described);

template <class T>
void put(json::object& object, std::string_view key, const T& value) {
  object[key] = to_value(value);
}
template <class T>
void put(json::object& object, std::string_view key, const std::optional<T>& value) {
  if (value) object[key] = to_value(*value);
}

template <class T>
json::value to_value(const std::vector<T>& list) {
  json::array array;
  for (const auto& entry : list) array.push_back(to_value(entry));
  return array;
}

template <class T>
json::value to_value(const std::map<std::string, T>& map) {
  json::object object;
  for (const auto& [key, value] : map) put(object, text(key), value);
  return object;
}

template <class T>
  requires boost::describe::has_describe_members<T>::value
json::value to_value(const T& described) {
  json::object object;
  boost::mp11::mp_for_each<boost::describe::describe_members<T, boost::describe::mod_public>>(
      [&](auto member) { put(object, key_of(member.name), described.*member.pointer); });
  return object;
}

std::string_view name(Side side) { return side == Side::host ? "host" : "container"; }
std::string_view name(Why::Kind kind) {
  switch (kind) {
    case Why::Kind::config:
      return "config";
    case Why::Kind::flag:
      return "flag";
    case Why::Kind::image:
      return "image";
    case Why::Kind::standard:
      break;
  }
  return "default";
}

void print(std::string& out, const json::value& value, size_t width, size_t indent, size_t used) {
  const std::string flat = json::serialize(value);
  const bool small = used + flat.size() <= width;
  const auto line = [&](size_t depth) { out += '\n' + std::string(depth * 2, ' '); };
  if (value.is_object() && !value.get_object().empty() && !small) {
    out += '{';
    bool first = true;
    for (const auto& [key, member] : value.get_object()) {
      if (!first) out += ',';
      first = false;
      line(indent + 1);
      const std::string quoted = json::serialize(json::string(key));
      out += quoted + ": ";
      print(out, member, width, indent + 1, (indent + 1) * 2 + quoted.size() + 3);
    }
    line(indent);
    out += '}';
  } else if (value.is_array() && !value.get_array().empty() && !small) {
    out += '[';
    bool first = true;
    for (const auto& entry : value.get_array()) {
      if (!first) out += ',';
      first = false;
      line(indent + 1);
      print(out, entry, width, indent + 1, (indent + 1) * 2 + 1);
    }
    line(indent);
    out += ']';
  } else {
    out += flat;
  }
}

}  // namespace

json::object to_json(const Step& step) {
  const auto& row = entry(step.action);
  json::object object;
  object["id"] = text(step.id);
  object["side"] = name(step.side);
  object["kind"] = row.kind;
  object["primitive"] = name(row.primitive);
  object["call"] = row.call;
  object["manual"] = row.manual;
  object["since"] = row.since.major == 0 ? "" : fmt::format("{}.{}", row.since.major, row.since.minor);
  object["privilege"] = name(row.privilege);
  object["why"] = json::object{{"kind", name(step.why.kind)}, {"from", text(step.why.from)}};
  object["text"] = text(describe(step));
  object["args"] = std::visit([](const auto& action) { return to_value(action); }, step.action);
  return object;
}

json::object to_json(const Plan& plan) {
  json::array steps, notes;
  for (const auto& step : plan.steps) steps.push_back(to_json(step));
  for (const auto& note : plan.notes)
    notes.push_back(json::object{{"subject", text(note.subject)}, {"text", text(note.text)}});
  return {{"schema", "cloche.plan/1"},
          {"container", text(plan.container)},
          {"rootless", plan.rootless},
          {"steps", std::move(steps)},
          {"notes", std::move(notes)}};
}

json::object to_json(const Plan& plan, const RunRecord& record) {
  json::object object = to_json(plan);
  json::array& steps = object["steps"].as_array();
  for (json::value& step : steps) step.as_object()["result"] = {{"state", name(StepRecord::State::not_run)}};
  for (const StepRecord& done : record.steps) {
    if (done.index >= steps.size()) continue;
    json::object result{{"state", name(done.state)}, {"microseconds", done.microseconds}};
    if (done.state == StepRecord::State::failed && done.error != 0)
      result["error"] = sys::errno_name(done.error);
    if (!done.fallback.empty()) result["fallback"] = text(done.fallback);
    if (!done.detail.empty()) result["detail"] = text(done.detail);
    steps[done.index].as_object()["result"] = std::move(result);
  }
  object["pid"] = record.pid;
  object["microseconds"] = record.microseconds;
  return object;
}

json::object to_json(const Refusal& refusal) {
  return {{"field", text(refusal.field)}, {"sentence", text(refusal.sentence)}};
}

std::string pretty(const json::value& value, size_t width) {
  std::string out;
  print(out, value, width, 0, 0);
  return out + '\n';
}

}  // namespace cloche::plan
