#include "plan/builder.h"

#include <fmt/format.h>

#include <algorithm>

namespace cloche::plan {
namespace {

const spec::Linux& nothing() {
  static const spec::Linux empty;
  return empty;
}

bool maps(const std::vector<spec::IDMapping>& map, uint32_t id) {
  return std::ranges::any_of(map, [&](const spec::IDMapping& line) {
    return id >= line.containerID && uint64_t{id} < uint64_t{line.containerID} + line.size;
  });
}

}  // namespace

Builder::Builder(const Request& wanted, const HostFacts& host)
    : request(wanted),
      facts(host),
      spec(wanted.spec),
      os(wanted.spec.linux_ ? *wanted.spec.linux_ : nothing()) {
  plan.container = wanted.id;
  plan.rootless = !host.privileged;
  plan.steps.reserve(96);  // most plans fit: growing would copy every step five times over
}

NamespaceWish Builder::name_space(std::string_view type) const {
  for (const auto& entry : os.namespaces)
    if (entry.type == type) return {.listed = true, .path = entry.path};
  return {};
}

bool Builder::maps_uid(uint32_t uid) const {
  return !name_space("user").is_new() || maps(os.uidMappings, uid);
}

bool Builder::maps_gid(uint32_t gid) const {
  return !name_space("user").is_new() || maps(os.gidMappings, gid);
}

void Builder::add(Side side, std::string id, Action action, Why why) {
  if (plan.find(id) != plan.steps.size()) {
    int count = 2;
    while (plan.find(fmt::format("{}#{}", id, count)) != plan.steps.size()) ++count;
    id += fmt::format("#{}", count);
  }
  plan.steps.push_back(
      {.id = std::move(id), .action = std::move(action), .why = std::move(why), .side = side});
}

void Builder::host(std::string id, Action action, Why why) {
  add(Side::host, std::move(id), std::move(action), std::move(why));
}

void Builder::container(std::string id, Action action, Why why) {
  add(Side::container, std::move(id), std::move(action), std::move(why));
}

void Builder::note(std::string subject, std::string text) {
  plan.notes.push_back({std::move(subject), std::move(text)});
}

Why Builder::why(const std::string& field) const {
  const Why* best = nullptr;
  size_t length = 0;
  for (const auto& [prefix, why] : request.provenance) {
    const bool covers =
        field.starts_with(prefix) &&
        (field.size() == prefix.size() || field[prefix.size()] == '.' || field[prefix.size()] == '[');
    if (covers && prefix.size() >= length) {
      best = &why;
      length = prefix.size();
    }
  }
  return best ? *best : Why{Why::Kind::config, field};
}

Why Builder::why_namespace(const std::string& type) const {
  const auto own = request.provenance.find(fmt::format("linux.namespaces[{}]", type));
  return own != request.provenance.end() ? own->second : why("linux.namespaces");
}

Why Builder::standard(std::string reason) { return {Why::Kind::standard, std::move(reason)}; }

std::string absolute_in_container(std::string_view destination) {
  std::string path = "/";
  size_t at = 0;
  while (at < destination.size()) {
    const size_t slash = std::min(destination.find('/', at), destination.size());
    const auto part = destination.substr(at, slash - at);
    if (!part.empty() && part != ".") {
      if (path.size() > 1) path += '/';
      path += part;
    }
    at = slash + 1;
  }
  return path;
}

std::string join(const Strings& words, std::string_view separator) {
  return fmt::format("{}", fmt::join(words, separator));
}

}  // namespace cloche::plan
