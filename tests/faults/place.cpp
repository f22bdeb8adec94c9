#include "faults/place.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "support/files.h"
#include "support/host_state.h"
#include "sys/files.h"

namespace cloche::faults {
namespace {

namespace fs = std::filesystem;

void give_to(const std::string& path, const test::TestUser& user) {
  if (::lchown(path.c_str(), user.uid(), user.gid()) != 0) throw std::runtime_error("chown failed: " + path);
}

}  // namespace

Place::Place(const std::string& scratch, const std::string& name, const test::TestUser* user)
    : path_(scratch + "/" + name),
      cgroup_(fmt::format("cloche-faults-{}-{}", ::getpid(), name)),
      user_(user) {
  fs::create_directories(path_);
  if (user != nullptr) give_to(path_, *user);
}

test::Bundle Place::bundle(std::vector<std::string> args) const {
  test::Bundle made(path_ + "/bundle", std::move(args));
  made.config.linux_->cgroupsPath = "/" + cgroup_;
  return made;
}

void Place::write(const test::Bundle& bundle) const {
  bundle.write();
  if (user_ == nullptr) return;
  give_to(bundle.path(), *user_);
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(bundle.path()))
    give_to(entry.path(), *user_);
}

test::Command Place::command(std::vector<std::string> words) const {
  test::Command made{.argv = {test::program("cloche-runtime"), "--debug", "--root", path_ + "/state"},
                     .limit = std::chrono::seconds(20)};
  made.argv.insert(made.argv.end(), words.begin(), words.end());
  return user_ == nullptr ? made : user_->command(std::move(made));
}

test::Outcome Place::run(std::vector<std::string> words) const {
  test::Command made = command(std::move(words));
  const std::string out = path_ + "/run.out", err = path_ + "/run.err";
  const std::vector<std::string> quietly{
      "sh", "-c", "out=$1; err=$2; shift 2; exec \"$@\" </dev/null >\"$out\" 2>\"$err\"", "sh", out, err};
  made.argv.insert(made.argv.begin(), quietly.begin(), quietly.end());
  test::Outcome outcome = test::run(made);
  outcome.out = test::text_of(out);
  outcome.err = test::text_of(err);
  return outcome;
}

pid_t Place::init() const {
  pid_t pid = 0;
  std::ifstream(state() + "/init") >> pid;
  return pid;
}

test::Outcome Place::delete_box() const {
  test::Running deleting(command({"delete", "--force", "box"}));
  siginfo_t ended{};
  while (::waitid(P_ALL, 0, &ended, WEXITED | WNOWAIT) == 0 && ended.si_pid != deleting.pid())
    ::waitpid(ended.si_pid, nullptr, 0);
  return deleting.finish();
}

std::vector<std::string> Place::left(const std::vector<pid_t>& pids) const {
  std::vector<std::string> found;
  if (fs::exists(state())) found.emplace_back("the state");
  for (const char* mount : {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"})
    if (fs::exists(fmt::format("{}/{}", mount, cgroup_))) found.emplace_back("the cgroup");
  for (const std::string& mount : test::mounts_below(path_)) found.push_back("the mount " + mount);
  for (const pid_t pid : pids) {
    for (int tries = 0; tries < 500 && runs(pid); ++tries) ::usleep(10'000);
    if (runs(pid)) found.push_back(fmt::format("process {}, running", pid));
  }
  while (::waitpid(-1, nullptr, WNOHANG) > 0) {
  }
  return found;
}

bool runs(pid_t pid) {
  // An error in place of its end: it ended while it was read.
  const std::string line = sys::read_file(AT_FDCWD, fmt::format("/proc/{}/stat", pid), 4096).value_or("");
  const size_t name = line.rfind(')');
  return name != std::string::npos && line.size() > name + 2 && line[name + 2] != 'Z' &&
         line[name + 2] != 'X';
}

}  // namespace cloche::faults
