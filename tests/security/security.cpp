#include "security/security.h"

#include <sys/stat.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace cloche::test {
namespace fs = std::filesystem;

Canary::Canary(std::string path) : path_(std::move(path)) {
  fs::create_directories(path_ + "/directory");
  std::ofstream(path_ + "/file") << "the host's\n";
  std::ofstream(path_ + "/directory/file") << "the host's, too\n";
  for (const char* name : {"/file", "/directory/file"}) fs::permissions(path_ + name, fs::perms(0640));
  before_ = look();
}

std::string Canary::look() const {
  return shell("cd " + path_ +
               " && find . -printf '%p %y %m %U:%G %s %T@ %C@ %l\\n' | sort && cat file directory/file && "
               "awk '{print $5}' /proc/self/mountinfo | grep -F \"$PWD\"")
      .out;
}

std::string Canary::changes() const {
  const std::string now = look();
  return now == before_ ? "" : fmt::format("before:\n{}now:\n{}", before_, now);
}

void SecurityTest::SetUp() {
  RuntimeTest::SetUp();
  CLOCHE_NEEDS(needs::root());
}

bool SecurityTest::peer() { return std::getenv("CLOCHE_SECURITY_RUNTIME") != nullptr; }

bool SecurityTest::more() { return std::getenv("CLOCHE_SECURITY_MORE") != nullptr; }

std::vector<std::string> SecurityTest::runtime_program() const {
  const char* named = std::getenv("CLOCHE_SECURITY_RUNTIME");
  if (named == nullptr) return RuntimeTest::runtime_program();
  std::istringstream words(named);
  return {std::istream_iterator<std::string>(words), {}};
}

Bundle SecurityTest::image(std::vector<std::string> args, const std::string& name) {
  Bundle box = bundle(std::move(args), name);
  fs::copy_file(program("cloche_security_probe"), box.rootfs() + "/bin/probe",
                fs::copy_options::skip_existing);
  box.config.ociVersion = "1.0.2";  // Debian 12's crun knows no newer one
  return box;
}

void SecurityTest::give(Bundle& box, const std::vector<std::string>& capabilities) {
  for (auto* set : {&box.config.process->capabilities->bounding, &box.config.process->capabilities->effective,
                    &box.config.process->capabilities->permitted})
    set->insert(set->end(), capabilities.begin(), capabilities.end());
}

std::string SecurityTest::pid_of(const std::string& id) { return member(runtime({"state", id}).out, ".pid"); }

std::string SecurityTest::end_probe(const std::string& id) {
  EXPECT_TRUE(runtime({"kill", id, "TERM"}).ok());
  EXPECT_TRUE(reaches("stopped", id));
  return output();
}

long SecurityTest::number(const std::string& text, const std::string& name) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with(name + " ")) return std::strtol(line.c_str() + name.size(), nullptr, 10);
  return -1;
}

void SecurityTest::print(const std::string& text) {
  fmt::print("[  tried   ] {}\n", text);
  std::fflush(stdout);
}

}  // namespace cloche::test
