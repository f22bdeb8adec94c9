// Published holes of earlier runtimes, tried: what these tests share.
//
// CLOCHE_SECURITY_RUNTIME names another runtime and its global flags ("runc", "crun --cgroup-manager=disabled"), so
// that a test can be seen to catch a runtime that has the hole. Those know cgroup v2 alone:
//   unshare -m sh -c 'umount -R /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup; CLOCHE_SECURITY_RUNTIME=runc
//   build/release/bin/cloche_security_tests --gtest_filter=...'
#pragma once

#include <fmt/format.h>

#include <string>
#include <utility>
#include <vector>

#include "support/bundle.h"
#include "support/needs.h"

namespace cloche::test {

// A tree of the host that nobody may change: a directory, files, a device.
class Canary {
 public:
  explicit Canary(std::string path);

  [[nodiscard]] const std::string& path() const { return path_; }
  // One line for each entry that was added, removed or changed; "" when all is as it was.
  [[nodiscard]] std::string changes() const;

 private:
  [[nodiscard]] std::string look() const;
  std::string path_, before_;
};

class SecurityTest : public RuntimeTest {
 protected:
  void SetUp() override;
  [[nodiscard]] std::vector<std::string> runtime_program() const override;
  // Not Cloche but the runtime named in the environment.
  [[nodiscard]] static bool peer();
  // CLOCHE_SECURITY_MORE is set: all that is tried, not the part of it that fits into a minute.
  [[nodiscard]] static bool more();

  // A bundle with the probe as /bin/probe.
  Bundle image(std::vector<std::string> args, const std::string& name = "bundle");
  static spec::Mount mount(std::string at, std::string type, std::string source, spec::Strings options) {
    return {.destination = std::move(at),
            .type = std::move(type),
            .source = std::move(source),
            .options = std::move(options),
            .uidMappings = {},
            .gidMappings = {}};
  }
  static void give(Bundle& box, const std::vector<std::string>& capabilities);
  // The first process's pid, as the host counts.
  std::string pid_of(const std::string& id = "box");
  // SIGTERM to the probe that is the container's first process; what it printed at its end.
  std::string end_probe(const std::string& id = "box");

  // "tried 256 working directories ...", beside the test's result.
  template <class... Args>
  static void tried(fmt::format_string<Args...> format, Args&&... args) {
    print(fmt::format(format, std::forward<Args>(args)...));
  }
  // The number after "NAME " at the start of a line; -1 where there is none.
  static long number(const std::string& text, const std::string& name);

 private:
  static void print(const std::string& text);
};

}  // namespace cloche::test
