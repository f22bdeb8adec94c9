#include "stage.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cstddef>
#include <cstdlib>
#include <filesystem>

#include "measure.h"
#include "sys/files.h"

namespace cloche::bench {
namespace {

namespace files = std::filesystem;
namespace json = boost::json;
constexpr char kCgroups[] = "/sys/fs/cgroup";

sys::Result<> mount_new(const char* type, const std::string& target) {
  if (mount(type, target.c_str(), type, 0, nullptr) < 0)
    return sys::fail(errno, fmt::format("mount(\"{}\", \"{}\")", type, target));
  return {};
}

// Mount points below /sys/fs/cgroup, innermost first. Source: proc_pid_mountinfo(5), fifth field.
std::vector<std::string> cgroup_mounts(const std::string& mountinfo) {
  std::vector<std::string> found;
  for (size_t at = 0; at < mountinfo.size();) {
    size_t end = std::min(mountinfo.find('\n', at), mountinfo.size());
    std::string line = mountinfo.substr(at, end - at);
    at = end + 1;
    size_t begin = 0;
    for (int field = 0; field < 4; ++field) begin = line.find(' ', begin) + 1;
    std::string target = line.substr(begin, line.find(' ', begin) - begin);
    if (target.starts_with(kCgroups)) found.push_back(target);
  }
  std::ranges::reverse(found);
  return found;
}

sys::Result<> see_only_cgroup2(Stage& stage) {
  auto mountinfo = sys::read_file(AT_FDCWD, "/proc/self/mountinfo");
  if (!mountinfo) return std::unexpected(mountinfo.error());
  std::vector<std::string> mounts = cgroup_mounts(*mountinfo);
  if (mounts.size() == 1) return {};  // one cgroup2 tree, as current hosts have
  for (const std::string& target : mounts) umount2(target.c_str(), MNT_DETACH);
  stage.notes.emplace_back(
      "cgroup controllers are on v1 here: run with a cgroup2 mount of its own, without controllers");
  // In a namespace of its own: a mount in the host's would set the options of the host's tree anew.
  if (unshare(CLONE_NEWCGROUP) < 0) return sys::fail(errno, "unshare(CLONE_NEWCGROUP)");
  return mount_new("cgroup2", kCgroups);
}

// crun before 1.9 insists on raising RLIMIT_MEMLOCK, which no kernel has needed for BPF since 5.11. Without
// CAP_SYS_RESOURCE that fails, so prlimit64(RLIMIT_MEMLOCK) is answered with success, for all candidates alike.
sys::Result<> pretend_memlock(Stage& stage) {
  const rlimit all{RLIM_INFINITY, RLIM_INFINITY};
  if (setrlimit(RLIMIT_MEMLOCK, &all) == 0) return {};
  std::array<sock_filter, 6> filter = {{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_prlimit64, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args) + sizeof(uint64_t)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, RLIMIT_MEMLOCK, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  }};
  sock_fprog program{.len = filter.size(), .filter = filter.data()};
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) < 0)
    return sys::fail(errno, "prctl(PR_SET_SECCOMP)");
  stage.notes.emplace_back(
      "no CAP_SYS_RESOURCE here: a seccomp filter around all candidates lets crun believe it raised "
      "RLIMIT_MEMLOCK");
  return {};
}

void take_realtime(Stage& stage) {
  const sched_param priority{.sched_priority = 1};
  if (sched_setscheduler(0, SCHED_FIFO, &priority) == 0)
    stage.notes.emplace_back(
        "all candidates run with SCHED_FIFO, so that other work on this machine weighs little");
  else
    stage.notes.emplace_back("no real-time scheduling here: other work on this machine weighs in");
}

sys::Result<json::object> default_config(const Stage& stage, const std::string& spec_writer) {
  std::string directory = stage.directory + "/spec";
  files::create_directory(directory);
  // `spec` writes into its working directory.
  std::string script = fmt::format("cd '{}' && exec '{}' spec", directory, spec_writer);
  Launcher launcher{.program = stage.directory + "/launch", .error_log = stage.directory + "/stderr"};
  auto written = run_measured(launcher, {"/bin/sh", "-c", script});
  if (!written) return std::unexpected(written.error());
  auto text = sys::read_file(AT_FDCWD, directory + "/config.json");
  if (!text) return std::unexpected(text.error());
  boost::system::error_code failed;
  json::value value = json::parse(*text, failed);
  if (failed || !value.is_object()) return sys::fail_because("the default configuration is not JSON");
  return std::move(value.as_object());
}

sys::Result<> write_bundle(json::object config, const std::string& bundle, const std::string& command) {
  files::create_directories(bundle);
  json::object& process = config["process"].as_object();
  process["terminal"] = false;
  process["args"] = json::array{json::string(command)};
  return sys::create_file(AT_FDCWD, bundle + "/config.json", json::serialize(config), 0644);
}

sys::Result<> make_bundles(Stage& stage, const StageOptions& options) {
  auto config = default_config(stage, options.spec_writer);
  if (!config) return std::unexpected(config.error());
  stage.bundle = stage.directory + "/bundle";
  stage.pause_bundle = stage.directory + "/pause";
  stage.host_bundle = stage.directory + "/host";
  CLOCHE_TRY(write_bundle(*config, stage.bundle, "/true"));
  CLOCHE_TRY(write_bundle(*config, stage.pause_bundle, "/pause"));
  for (const std::string& bundle : {stage.bundle, stage.pause_bundle}) {
    for (const char* name : {"proc", "dev", "sys"}) files::create_directories(bundle + "/rootfs/" + name);
    files::copy_file(options.programs + "/cloche_bench_true", bundle + "/rootfs/true");
    files::copy_file(options.programs + "/cloche_bench_pause", bundle + "/rootfs/pause");
  }
  // The root itself cannot be pivoted onto ("/" as root.path is EBUSY), so it is mounted once more.
  std::string root = stage.directory + "/host-root";
  files::create_directory(root);
  if (mount("/", root.c_str(), nullptr, MS_BIND, nullptr) < 0)
    return sys::fail(errno, "mount(\"/\", MS_BIND)");
  (*config)["root"].as_object()["path"] = root;
  return write_bundle(*config, stage.host_bundle, "/bin/true");
}

sys::Result<> make_directory(std::string pattern, std::string& made) {
  if (mkdtemp(pattern.data()) == nullptr) return sys::fail(errno, fmt::format("mkdtemp(\"{}\")", pattern));
  made = std::move(pattern);
  return {};
}

sys::Result<> make_work_directory(Stage& stage, const StageOptions& options) {
  CLOCHE_TRY(make_directory(files::temp_directory_path() / "cloche-bench-XXXXXX", stage.directory));
  CLOCHE_TRY(make_directory(options.programs + "/bench-XXXXXX", stage.installed));
  CLOCHE_TRY(mount_new("tmpfs", stage.directory));
  files::copy_file(options.programs + "/cloche_bench_launch", stage.directory + "/launch");
  files::copy_file(options.programs + "/cloche_bench_many", stage.directory + "/many");
  files::copy_file(options.programs + "/cloche_floor", stage.directory + "/floor");
  return {};
}

sys::Result<> fill_stage(Stage& stage, const StageOptions& options) {
  try {
    CLOCHE_TRY(make_work_directory(stage, options));
    return make_bundles(stage, options);
  } catch (const std::exception& error) {  // std::filesystem
    return sys::fail_because(error.what());
  }
}

}  // namespace

std::string id_prefix() { return fmt::format("bench-{}-", getpid()); }

sys::Result<Stage> enter_stage(const StageOptions& options) {
  Stage stage;
  if (unshare(CLONE_NEWNS) < 0)
    return sys::wrap({.code = errno, .call = "unshare(CLONE_NEWNS)"}, "the benchmark needs root");
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0)
    return sys::fail(errno, "mount(\"/\", MS_PRIVATE)");
  CLOCHE_TRY(see_only_cgroup2(stage));
  CLOCHE_TRY(pretend_memlock(stage));
  if (options.realtime) take_realtime(stage);
  if (auto filled = fill_stage(stage, options); !filled) {
    leave_stage(stage);
    return std::unexpected(filled.error());
  }
  return stage;
}

std::string install(const Stage& stage, const std::string& name, const std::string& program) {
  const std::string found = find_program(program);
  if (found.empty()) return found;
  const files::path place = files::path(stage.installed) / name;
  const files::path copy = place / files::path(found).filename();
  std::error_code failed;
  files::create_directories(place, failed);
  return files::copy_file(found, copy, failed) ? copy.string() : "";
}

void leave_stage(const Stage& stage) {
  std::error_code ignored;
  for (const auto& entry : files::directory_iterator(kCgroups, ignored))
    if (entry.path().filename().string().starts_with(id_prefix())) rmdir(entry.path().c_str());
  if (!stage.installed.empty()) files::remove_all(stage.installed, ignored);
  if (stage.directory.empty()) return;
  umount2(stage.directory.c_str(), MNT_DETACH);
  rmdir(stage.directory.c_str());
}

}  // namespace cloche::bench
