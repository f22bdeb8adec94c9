#include "runtime/checkpoint.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "runtime/checkpoint_view.h"
#include "runtime/container.h"
#include "runtime/criu.h"
#include "runtime/criu_images.h"
#include "runtime/facts.h"
#include "runtime/lifecycle.h"
#include "runtime/standard_streams.h"
#include "sys/call.h"
#include "sys/files.h"
#include "sys/flags.h"
#include "sys/number.h"

namespace cloche::runtime {
namespace {

constexpr char kStreams[] = "descriptors.json";  // runc's name
constexpr char kInventory[] = "inventory.img";   // criu's: written when everything else is
constexpr char kDefaultImages[] = "checkpoint";  // runc's, in the working directory
constexpr size_t kLargestTable = size_t{16} << 20;

sys::Result<std::string> made_directory(const std::string& path, const char* flag) {
  auto made = sys::make_directories(path, 0700);
  if (!made) return sys::wrap(std::move(made).error(), flag);
  return sys::real_path(path);
}

sys::Result<> holds_checkpoint(const std::string& directory, const std::string& what) {
  const auto st = sys::stat_at(AT_FDCWD, directory);
  if (!st)
    return sys::fail_because(
        fmt::format("{}: the directory {} is not there", what, sys::in_quotes(directory)));
  if (!sys::stat_at(AT_FDCWD, directory + "/" + kInventory))
    return sys::fail_because(fmt::format("{}: {} holds no checkpoint ({} is not in it)", what,
                                         sys::in_quotes(directory), kInventory));
  return {};
}

sys::Result<> check_modes(const plan::CriuFlags& flags) {
  for (const char* known : {"soft", "full", "strict", "ignore"})
    if (flags.manage_cgroups == known) return {};
  return sys::fail_because(fmt::format("--manage-cgroups-mode: {} is none of soft, full, strict and ignore",
                                       sys::in_quotes(flags.manage_cgroups)));
}

// A file is opened again by its descriptor.
sys::Result<> check_owner(size_t number, const plan::IdMaps& maps) {
  struct stat st{};
  const long flags = sys::raw_call(SYS_fcntl, number, F_GETFL);
  if (flags < 0 || sys::raw_call(SYS_fstat, number, &st) < 0) return {};  // criu's to say
  const long access = flags & O_ACCMODE;
  const unsigned wanted = access == O_RDONLY ? 4 : access == O_WRONLY ? 2 : 6;
  if (root_may_open(maps, st, wanted)) return {};
  return sys::fail_because(fmt::format(
      "descriptor {} of the container was a file, and the one of this command cannot be opened by "
      "root of the container's user namespace: give it to the host's id that this is (chown)",
      number));
}

// criu sets the position of what was a file, and a pipe has none.
sys::Result<> check_streams(const std::vector<std::string>& streams, bool terminal,
                            const std::optional<plan::IdMaps>& maps) {
  for (size_t i = 0; i < streams.size(); ++i) {
    if (streams[i].starts_with("file[") && sys::raw_call(SYS_lseek, i, 0, SEEK_CUR) == -ESPIPE)
      return sys::fail_because(fmt::format(
          "descriptor {} of the container was a file, and this command's is a pipe, a socket or a "
          "terminal: criu gives back a file only",
          i));
    if (streams[i].starts_with("file[") && maps) CLOCHE_TRY(check_owner(i, *maps));
    if (streams[i].starts_with("tty[") && !terminal &&
        !name_of_stream("self", static_cast<int>(i), {}).outside.starts_with("tty["))
      return sys::fail_because(
          fmt::format("descriptor {} of the container was a terminal, and this command's is none", i));
  }
  return {};
}

struct Address {
  std::string host, port;
};
sys::Result<Address> page_server_address(const std::string& text) {
  const size_t colon = text.rfind(':');
  Address address;
  if (colon != std::string::npos) address = {text.substr(0, colon), text.substr(colon + 1)};
  if (address.host.empty() || sys::whole_number<uint16_t>(address.port).value_or(0) == 0)
    return sys::fail_because(fmt::format("--page-server: {} is not ADDRESS:PORT", sys::in_quotes(text)));
  return address;
}

// One dump. What is asked for is checked before anything is written.
class Dump {
 public:
  Dump(const CheckpointOptions& options, const Container& container, std::string place)
      : options_(options),
        container_(container),
        place_(std::move(place)),
        pid_(container.init ? container.init->pid : 0) {}

  sys::Result<> prepare();
  sys::Result<CriuPlace> take_place();
  sys::Result<> run(const CriuPlace& place);

 private:
  sys::Result<> gather();
  sys::Result<> check() const;
  sys::Result<> check_config() const;
  sys::Result<> places();
  sys::Result<> add_parent();
  sys::Result<> add_pages();
  sys::Result<> add_namespaces();
  sys::Result<> add_mounts();
  sys::Result<> add_streams();
  sys::Result<std::vector<MountLine>> mounts_of(const std::string& process) const;
  void add(std::initializer_list<std::string> words) {
    command_.args.insert(command_.args.end(), words.begin(), words.end());
  }
  [[nodiscard]] std::string proc(const std::string& file) const {
    return fmt::format("/proc/{}/{}", pid_, file);
  }

  const CheckpointOptions& options_;
  const Container& container_;
  const std::string place_;
  const int64_t pid_;
  plan::HostFacts facts_;
  spec::Spec config_;
  CriuCommand command_;
  std::string images_, work_;
  std::vector<MountLine> inside_;
  std::vector<std::string> streams_;
};

sys::Result<> Dump::gather() {
  CLOCHE_TRY_ASSIGN(facts, gather_facts({.controllers = true, .mounts = true}));
  facts_ = std::move(facts);
  CLOCHE_TRY_ASSIGN(config, config_of(container_));
  config_ = std::move(config);
  return {};
}

sys::Result<> Dump::check_config() const {
  if (options_.pre_dump || !config_.linux_) return {};
  // Better now than when the container is gone.
  for (const spec::Namespace& entry : config_.linux_->namespaces)
    if (entry.type == "user" && !entry.path.empty())
      return sys::fail_because(
          "it has joined a user namespace, and criu restores into none that is there already");
  return {};
}

sys::Result<> Dump::check() const {
  if (!facts_.privileged) return sys::fail_because("criu dumps containers for root only");
  CLOCHE_TRY(check_modes(options_.flags));
  if (options_.status_fd >= 0) {
    if (options_.status_fd < kStandardStreams)
      return sys::fail_because("--status-fd: it is given to criu, and 0, 1 and 2 are needed");
    const long flags = sys::raw_call(SYS_fcntl, options_.status_fd, F_GETFL);
    if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY)
      return sys::fail_because(
          fmt::format("--status-fd: descriptor {} is not open for writing", options_.status_fd));
  }
  return check_config();
}

sys::Result<> Dump::places() {
  const std::string& wanted = options_.image_path;
  CLOCHE_TRY_ASSIGN(images, made_directory(wanted.empty() ? kDefaultImages : wanted, "--image-path"));
  images_ = std::move(images);
  work_ = images_;
  if (options_.work_path.empty()) return {};
  CLOCHE_TRY_ASSIGN(work, made_directory(options_.work_path, "--work-path"));
  work_ = std::move(work);
  return {};
}

sys::Result<> Dump::add_parent() {
  if (options_.pre_dump || !options_.parent_path.empty()) add({"--track-mem"});
  if (options_.parent_path.empty()) return {};
  if (options_.parent_path.starts_with('/'))
    return sys::fail_because("--parent-path: it is relative to --image-path, so that both can be moved");
  // Of images that are not there yet only the name can be followed.
  const std::string images = options_.image_path.empty() ? kDefaultImages : options_.image_path;
  std::filesystem::path parent = images + "/" + options_.parent_path;
  if (!sys::stat_at(AT_FDCWD, images)) parent = parent.lexically_normal();
  CLOCHE_TRY(holds_checkpoint(parent, "--parent-path"));
  add({"--prev-images-dir", options_.parent_path});
  return {};
}

sys::Result<> Dump::add_pages() {
  if (!options_.page_server.empty()) {
    CLOCHE_TRY_ASSIGN(address, page_server_address(options_.page_server));
    if (!options_.flags.lazy_pages) add({"--page-server"});
    add({"--address", address.host, "--port", address.port});
  }
  if (options_.status_fd >= 0) {
    add({"--status-fd", fmt::format("{}", options_.status_fd)});
    command_.keep.push_back(options_.status_fd);
  }
  return {};
}

// Those of others, which the config joins: they are there already when the container is restored.
sys::Result<> Dump::add_namespaces() {
  if (!config_.linux_) return {};
  for (const spec::Namespace& entry : config_.linux_->namespaces) {
    if (entry.path.empty() || (entry.type != "network" && entry.type != "pid")) continue;
    const std::string file = entry.type == "network" ? "net" : "pid";
    CLOCHE_TRY_ASSIGN(st, sys::stat_at(AT_FDCWD, proc("ns/" + file)));
    add({"--external", fmt::format("{}[{}]:{}", file, st.st_ino, plan::external_namespace_key(entry.type))});
  }
  return {};
}

sys::Result<std::vector<MountLine>> Dump::mounts_of(const std::string& process) const {
  CLOCHE_TRY_ASSIGN(text,
                    sys::read_file(AT_FDCWD, fmt::format("/proc/{}/mountinfo", process), kLargestTable));
  return parse_mount_lines(text);
}

sys::Result<> Dump::add_mounts() {
  CLOCHE_TRY_ASSIGN(inside, mounts_of(fmt::format("{}", pid_)));
  CLOCHE_TRY_ASSIGN(host, mounts_of("self"));
  inside_ = std::move(inside);
  const bool user =
      config_.linux_ && std::ranges::find(config_.linux_->namespaces, "user", &spec::Namespace::type) !=
                            config_.linux_->namespaces.end();
  for (const std::string& target : external_mounts(inside_, host, user))
    add({"--external", fmt::format("mnt[{}]:{}", target, target)});
  return {};
}

// As they were when the container was made, however a shell has moved them since; a terminal is looked up.
sys::Result<> Dump::add_streams() {
  for (size_t i = 0; i < kStandardStreams; ++i) {
    StreamName stream = name_of_stream(fmt::format("{}", pid_), static_cast<int>(i), inside_);
    const std::vector<std::string>& made_with = container_.state.streams;
    if (i < made_with.size() && !made_with[i].empty()) stream.outside = made_with[i];
    const std::string& name = stream.outside;
    if (name.starts_with("file[") || name.starts_with("tty[")) add({"--external", name});
    if (name.starts_with("socket:[")) add({"--external", "unix" + name.substr(name.find('['))});
    streams_.push_back(name.empty() ? stream.link : name);
  }
  return {};
}

// What is wrong is said before anything is written.
sys::Result<> Dump::prepare() {
  if (container_.status != Status::running && container_.status != Status::paused)
    return sys::fail_because(fmt::format("container not running: it is {}", name(container_.status)));
  CLOCHE_TRY(gather());
  CLOCHE_TRY(check());
  CLOCHE_TRY_ASSIGN(program, find_criu(options_.criu));
  command_.program = std::move(program);
  if (facts_.cgroup.v1.empty()) command_.cgroups = facts_.cgroup.mount;
  add({options_.pre_dump ? "pre-dump" : "dump", "--tree", fmt::format("{}", pid_), "--log-file", "-", "-v4"});
  for (const std::string& word : plan::criu_arguments(options_.flags)) add({word});
  if (!container_.state.cgroup.empty()) add({"--freeze-cgroup", container_.state.cgroup});
  if (options_.leave_running && !options_.pre_dump) add({"--leave-running"});
  CLOCHE_TRY(add_parent());
  CLOCHE_TRY(add_pages());
  CLOCHE_TRY(add_namespaces());
  CLOCHE_TRY(add_mounts());
  CLOCHE_TRY(add_streams());
  CLOCHE_TRY(places());
  add({"--images-dir", images_, "--work-dir", work_});
  command_.log = work_ + "/dump.log";
  return {};
}

// From here on no other checkpoint of the container begins, also without its lock.
sys::Result<CriuPlace> Dump::take_place() {
  CLOCHE_TRY_ASSIGN(place, CriuPlace::make(place_));
  if (!command_.cgroups.empty()) add({"--cgroup-yard", place.cgroups()});
  // criu writes its own only at the end of a dump: one that fails must not look whole by another's.
  (void)sys::remove_at(AT_FDCWD, images_ + "/" + kInventory);
  const std::string streams = images_ + "/" + kStreams;
  (void)sys::remove_at(AT_FDCWD, streams);
  // Before criu: with lazy pages the images are read while it still runs.
  if (!options_.pre_dump) CLOCHE_TRY(sys::create_file(AT_FDCWD, streams, streams_to_json(streams_), 0600));
  return place;
}

sys::Result<> Dump::run(const CriuPlace& place) {
  auto dumped = run_criu(std::move(command_), place);
  if (!dumped && !options_.pre_dump) (void)sys::remove_at(AT_FDCWD, images_ + "/" + kStreams);
  return dumped;
}

}  // namespace

sys::Result<> checkpoint(const StateRoot& root, const CheckpointOptions& options, Report& report) {
  auto directory = root.find(options.id);
  if (!directory) return not_found(std::move(directory).error());
  auto lock = directory->lock();
  if (!lock) return not_found(std::move(lock).error());
  CLOCHE_TRY_ASSIGN(container, load(*std::move(directory)));
  Dump dump(options, container, root.criu_place(options.id));
  CLOCHE_TRY(dump.prepare());
  CLOCHE_TRY_ASSIGN(place, dump.take_place());
  // The memory is fetched for as long as that takes: a `delete` in between is not made to wait.
  if (options.flags.lazy_pages) lock->reset();
  CLOCHE_TRY(dump.run(place));
  if (options.leave_running || options.pre_dump) return {};
  if (options.flags.lazy_pages) lock = container.directory.lock();
  if (!lock && lock.error().code == ENOENT) return {};  // deleted meanwhile
  if (!lock) return std::unexpected(std::move(lock).error());
  return clean_up(container, report);
}

sys::Result<plan::RestoreRequest> restore_request(const RestoreOptions& options, plan::Request container) {
  CLOCHE_TRY(check_modes(options.flags));
  const std::string& wanted = options.image_path;
  CLOCHE_TRY(holds_checkpoint(wanted.empty() ? kDefaultImages : wanted, "--image-path"));
  plan::RestoreRequest request{.container = std::move(container),
                               .flags = options.flags,
                               .lsm_profile = options.lsm_profile,
                               .lsm_mount_context = options.lsm_mount_context};
  CLOCHE_TRY_ASSIGN(program, find_criu(options.criu));
  CLOCHE_TRY_ASSIGN(images, sys::real_path(wanted.empty() ? kDefaultImages : wanted));
  request.work = images;
  request.place = options.place;
  if (!options.work_path.empty()) {
    CLOCHE_TRY_ASSIGN(work, made_directory(options.work_path, "--work-path"));
    request.work = std::move(work);
  }
  request.program = std::move(program);
  request.images = std::move(images);
  CLOCHE_TRY_ASSIGN(maps, id_maps_in(request.images));
  request.maps = std::move(maps);
  const auto json = sys::read_file(AT_FDCWD, request.images + "/" + kStreams);
  if (!json && json.error().code != ENOENT) return std::unexpected(json.error());
  if (!json) return request;  // made by somebody who keeps them elsewhere
  auto streams = streams_from_json(*json);
  if (!streams) return sys::wrap(std::move(streams).error(), request.images + "/" + kStreams);
  request.streams = *std::move(streams);
  const std::optional<spec::Process>& process = request.container.spec.process;
  CLOCHE_TRY(check_streams(request.streams, process && process->terminal, request.maps));
  return request;
}

}  // namespace cloche::runtime
