#include "support/needs.h"

#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

#include "support/command.h"

namespace cloche::test::needs {
namespace {

struct Mount {
  std::string path, type, options;
};

std::vector<Mount> mounts() {
  std::vector<Mount> result;
  std::ifstream file("/proc/self/mounts");
  std::string device, rest;
  for (Mount mount; file >> device >> mount.path >> mount.type >> mount.options && std::getline(file, rest);)
    result.push_back(mount);
  return result;
}

bool lists(const std::string& text, char separator, const std::string& word) {
  std::istringstream words(text);
  for (std::string each; std::getline(words, each, separator);)
    if (each == word) return true;
  return false;
}

}  // namespace

Missing root() {
  if (geteuid() == 0) return std::nullopt;
  return "root";
}

Missing test_user() {
  if (geteuid() != 0) return "root, to make an ordinary user for the test";
  return program("useradd");
}

Missing id_map_helpers() {
  if (auto missing = program("newuidmap")) return missing;
  return program("newgidmap");
}

Missing user_namespaces() {
  if (test::run({.argv = {"unshare", "--user", "true"}}).ok()) return std::nullopt;
  return "user namespaces (unshare --user fails here)";
}

Missing kernel(int major, int minor) {
  utsname name{};
  uname(&name);
  const char* const end = name.release + std::strlen(name.release);
  int have_major = 0, have_minor = 0;
  const auto first = std::from_chars(name.release, end, have_major);
  if (first.ec != std::errc{} || first.ptr == end ||
      std::from_chars(first.ptr + 1, end, have_minor).ec != std::errc{})
    return "a kernel that tells its version";
  if (have_major > major || (have_major == major && have_minor >= minor)) return std::nullopt;
  return fmt::format("Linux {}.{}, this is {}", major, minor, name.release);
}

Missing cgroup2() {
  for (const Mount& mount : mounts())
    if (mount.type == "cgroup2" && access(mount.path.c_str(), W_OK) == 0) return std::nullopt;
  return "a cgroup2 mount that is writable for us";
}

Missing cgroup2_controller(const std::string& name) {
  std::string elsewhere;
  for (const Mount& mount : mounts()) {
    if (mount.type == "cgroup" && lists(mount.options, ',', name)) elsewhere = mount.path;
    if (mount.type != "cgroup2") continue;
    std::ifstream file(mount.path + "/cgroup.controllers");
    std::string controllers;
    std::getline(file, controllers);
    if (lists(controllers, ' ', name)) return cgroup2();
  }
  return fmt::format("the {} controller on cgroup v2{}", name,
                     elsewhere.empty() ? "" : fmt::format(", this machine has it on v1 at {}", elsewhere));
}

Missing program(const std::string& name) {
  const char* path = std::getenv("PATH");
  std::istringstream directories(std::string(path != nullptr ? path : "") + ":/usr/sbin:/sbin");
  for (std::string directory; std::getline(directories, directory, ':');)
    if (access(fmt::format("{}/{}", directory, name).c_str(), X_OK) == 0) return std::nullopt;
  return "the program " + name;
}

Missing built(const std::string& name) {
  if (access(test::program(name).c_str(), X_OK) == 0) return std::nullopt;
  return name + " in this build";
}

Missing capability(int number, const std::string& name) {
  if (prctl(PR_CAPBSET_READ, number) == 1) return std::nullopt;
  return name + " in the bounding set";
}

Missing pressure() {
  if (access("/proc/pressure/cpu", R_OK) == 0) return std::nullopt;
  return "a kernel with CONFIG_PSI";
}

Missing numa() {
  if (access("/proc/self/numa_maps", R_OK) == 0) return std::nullopt;
  return "a kernel with CONFIG_NUMA";
}

Missing disks() {
  if (std::getenv("CLOCHE_VM_DISKS") != nullptr) return std::nullopt;
  return "the disks of the guest (tests/vm/guest)";
}

}  // namespace cloche::test::needs
