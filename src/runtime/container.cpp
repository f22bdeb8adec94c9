#include "runtime/container.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <stdlib.h>

#include <algorithm>

#include "kernel/cgroup.h"
#include "runtime/json_text.h"
#include "spec/read.h"
#include "sys/files.h"

namespace cloche::runtime {
namespace {

Status status_of(const ContainerDirectory& directory, const SavedState& state,
                 const std::optional<ProcessMark>& init) {
  if (!init) return is_alive(state.creator) ? Status::creating : Status::stopped;
  if (!is_alive(*init)) return Status::stopped;
  // `create` is still at it while it lives; `run` never has this socket.
  const bool waits = directory.awaits_start();
  if (waits && is_alive(state.creator)) return Status::creating;
  // Also one that waits for `start`: frozen it would never hear it.
  if (!state.cgroup.empty())
    if (const auto frozen = kernel::is_frozen(state.cgroup); frozen && *frozen) return Status::paused;
  return waits ? Status::created : Status::running;
}

std::string pid_namespace_of(const std::string& pid) {
  return sys::read_link(AT_FDCWD, fmt::format("/proc/{}/ns/pid", pid)).value_or("");
}

// Everything in the init's pid namespace (those below it are not seen by their own name, but belong to it by
// parentage and end with it).
std::vector<int> in_pid_namespace_of(pid_t init) {
  const std::string wanted = pid_namespace_of(fmt::format("{}", init));
  std::vector<int> pids{init};
  if (wanted.empty() || wanted == pid_namespace_of("self")) return pids;
  DIR* proc = ::opendir("/proc");
  if (proc == nullptr) return pids;
  while (const dirent* entry = ::readdir(proc)) {
    const int pid = static_cast<int>(::strtol(entry->d_name, nullptr, 10));
    if (pid > 0 && pid != init && pid_namespace_of(entry->d_name) == wanted) pids.push_back(pid);
  }
  ::closedir(proc);
  std::ranges::sort(pids);
  return pids;
}

}  // namespace

std::string Container::oci_state(bool pretty) const {
  const std::string_view gap = pretty ? "\n  " : "";
  const std::string_view space = pretty ? " " : "";
  std::string out = "{";
  const auto add = [&](std::string_view key, const std::string& value) {
    out += fmt::format("{}{}\"{}\":{}{}", out.size() > 1 ? "," : "", gap, key, space, value);
  };
  add("ociVersion", json_string(state.ociVersion));
  add("id", json_string(state.id));
  add("pid", fmt::format("{}", has_process() && init ? init->pid : 0));
  add("status", json_string(name(status)));
  add("bundle", json_string(state.bundle));
  add("rootfs", json_string(state.rootfs));
  add("created", json_string(state.created));
  add("annotations", json_object(state.annotations));
  add("owner", json_string(state.owner));
  return out + (pretty ? "\n}" : "}");
}

sys::Failure not_found(sys::Error error) {
  if (error.code == ENOENT) return sys::fail_because("container does not exist");
  return sys::Failure(std::move(error));
}

sys::Result<Container> load(const StateRoot& root, const std::string& id) {
  auto directory = root.find(id);
  if (!directory) return not_found(std::move(directory).error());
  return load(*std::move(directory));
}

sys::Result<Container> load(ContainerDirectory directory) {
  auto state = directory.read_state();
  if (!state && state.error().code == ENOENT)
    return sys::fail_because(
        "its creation is under way, or was interrupted before it began: `delete --force` removes what is "
        "there");
  if (!state) return std::unexpected(std::move(state).error());
  Container container{.directory = std::move(directory), .state = *std::move(state)};
  container.init = container.directory.read_init();
  container.being_made = !container.directory.is_made() && is_alive(container.state.creator);
  container.status = status_of(container.directory, container.state, container.init);
  return container;
}

sys::Result<spec::Spec> config_of(const Container& container) {
  CLOCHE_TRY_ASSIGN(text, container.directory.read_config());
  auto read = spec::read_spec(text);
  if (!read) return sys::fail_because(fmt::format("the saved config.json: {}", read.error().message()));
  return std::move(read->value);
}

sys::Result<std::vector<Container>> load_all(const StateRoot& root, std::vector<std::string>& problems) {
  CLOCHE_TRY_ASSIGN(ids, root.ids());
  std::vector<Container> all;
  for (const std::string& id : ids) {
    auto container = load(root, id);
    if (container)
      all.push_back(*std::move(container));
    else if (root.find(id))  // not just gone between the two looks
      problems.push_back(fmt::format("container \"{}\": {}", id, container.error().message()));
  }
  return all;
}

std::string hook_state(const SavedState& state) {
  return fmt::format(
      R"({{"ociVersion":{},"id":{},"status":"@STATUS@","pid":"@PID@","bundle":{},"annotations":{}}})",
      json_string(state.ociVersion), json_string(state.id), json_string(state.bundle),
      json_object(state.annotations));
}

sys::Result<std::vector<int>> processes_of(const Container& container) {
  if (!container.state.cgroup.empty()) {
    auto inside = kernel::processes_in(container.state.cgroup);
    if (inside || inside.error().code != ENOENT) return inside;
  }
  if (!container.has_process()) return std::vector<int>{};
  return in_pid_namespace_of(static_cast<pid_t>(container.init->pid));
}

}  // namespace cloche::runtime
