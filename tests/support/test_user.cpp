#include "support/test_user.h"

#include <fmt/format.h>
#include <pwd.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "support/host_state.h"

namespace cloche::test {
namespace {

namespace fs = std::filesystem;

constexpr char kPrefix[] = "cloche-t";

void must(const std::vector<std::string>& argv) {
  const Outcome outcome = run({.argv = argv});
  if (!outcome.ok()) throw std::runtime_error(fmt::format("{}: {}", argv.front(), outcome.describe()));
}

void remove_user(const std::string& name, const std::string& runtime) {
  if (!runtime.empty()) remove_tree(runtime);
  // userdel removes the home directory whatever is mounted in it.
  remove_tree("/home/" + name);
  // Takes the home directory and the lines of /etc/subuid and /etc/subgid along.
  (void)run({.argv = {"userdel", "--remove", "--force", name}});
}

// Users of test programs that were killed: their names hold the pid of the program.
void remove_stale_users() {
  std::ifstream file("/etc/passwd");
  std::vector<std::string> stale;
  for (std::string line; std::getline(file, line);) {
    const std::string name = line.substr(0, line.find(':'));
    if (!name.starts_with(kPrefix)) continue;
    int pid = 0;
    std::from_chars(name.data() + sizeof(kPrefix) - 1, name.data() + name.size(), pid);
    if (pid > 0 && pid != getpid() && kill(pid, 0) != 0 && errno == ESRCH) stale.push_back(name);
  }
  for (const std::string& name : stale) {
    const passwd* entry = getpwnam(name.c_str());
    remove_user(name, entry != nullptr ? fmt::format("/run/user/{}", entry->pw_uid) : "");
  }
}

}  // namespace

TestUser& TestUser::get(SubordinateIds ids) {
  if (ids == SubordinateIds::kNone) {
    static TestUser without(SubordinateIds::kNone);
    return without;
  }
  static TestUser with(SubordinateIds::kOneRange);
  return with;
}

TestUser::TestUser(SubordinateIds ids)
    : name_(fmt::format("{}{}{}", kPrefix, getpid(), ids == SubordinateIds::kNone ? "n" : "")),
      home_(fmt::format("/home/{}", name_)) {
  remove_stale_users();
  // useradd gives a range to every new user, if the files are there at all.
  for (const char* file : {"/etc/subuid", "/etc/subgid"}) std::ofstream(file, std::ios::app).flush();
  const std::string count = ids == SubordinateIds::kNone ? "0" : "65536";
  must({"useradd", "--create-home", "--home-dir", home_, "--shell", "/bin/sh", "--user-group",
        "--no-log-init", "-K", "SUB_UID_COUNT=" + count, "-K", "SUB_GID_COUNT=" + count, name_});
  const passwd* entry = getpwnam(name_.c_str());
  if (entry == nullptr) throw std::runtime_error(name_ + " is not in /etc/passwd after useradd");
  identity_ = {.uid = entry->pw_uid, .gid = entry->pw_gid};
  // What pam_systemd would make at login.
  runtime_ = fmt::format("/run/user/{}", identity_.uid);
  made_run_user_ = fs::create_directory("/run/user");
  fs::create_directory(runtime_);
  fs::permissions(runtime_, fs::perms::owner_all);
  if (chown(runtime_.c_str(), identity_.uid, identity_.gid) != 0)
    throw std::runtime_error("cannot give " + runtime_ + " to " + name_);
}

TestUser::~TestUser() {
  remove_user(name_, runtime_);
  // Stays if another has come to use it.
  if (made_run_user_) rmdir("/run/user");
}

Command TestUser::command(Command command) const {
  command.as = identity_;
  if (command.cwd.empty()) command.cwd = home_;
  const std::vector<std::string> own{"HOME=" + home_, "USER=" + name_, "LOGNAME=" + name_,
                                     "XDG_RUNTIME_DIR=" + runtime_};
  // The command's own come last, and win.
  command.set_env.insert(command.set_env.begin(), own.begin(), own.end());
  return command;
}

}  // namespace cloche::test
