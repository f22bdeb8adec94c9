// The callers with systemd's cgroup driver, beside a systemd of the test's own.
#pragma once

#include "callers/containerd.h"
#include "callers/docker.h"
#include "callers/podman.h"

namespace cloche::test {

// Asks for a unit's limits, on one line: bytes, tasks, time per second.
inline std::string show_limits(const std::string& unit, const std::string& manager = "--system") {
  return fmt::format(
      "systemctl {} show -p MemoryMax -p MemorySwapMax -p TasksMax -p CPUQuotaPerSecUSec {} | sort | paste "
      "-sd ' '",
      manager, unit);
}

// `Caller`: the fixture of one of them.
template <class Caller>
class BesideSystemd : public Caller {
 protected:
  [[nodiscard]] bool with_systemd() const override { return true; }
  [[nodiscard]] std::string property(const std::string& unit, const std::string& name) const {
    return this->systemd().property(unit, name);
  }
  // Of whatever state; nor is a cgroup of that name left.
  void expect_no_unit(const std::string& pattern) const {
    EXPECT_TRUE(wait_until([&] { return units(pattern).empty(); })) << units(pattern);
    EXPECT_EQ(this->line_of("find /sys/fs/cgroup -name '" + pattern + "'"), "");
  }
  // Of a process, by its pid beside systemd.
  [[nodiscard]] std::string cgroup_of(const std::string& pid) const {
    return this->line_of("sed -n s/^0:://p /proc/" + pid + "/cgroup");
  }

 private:
  [[nodiscard]] std::string units(const std::string& pattern) const {
    return this->line_of("systemctl list-units --all --plain --no-legend '" + pattern + "'");
  }
};

class PodmanSystemdTest : public BesideSystemd<PodmanTest> {
 protected:
  void SetUp() override {
    PodmanTest::SetUp();
    if (!IsSkipped() && !HasFatalFailure()) import_image();
  }
  [[nodiscard]] std::string of_box(const std::string& field) const {
    return line_of("podman inspect -f '{{." + field + "}}' box");
  }
};

class DockerSystemdTest : public BesideSystemd<DockerTest> {
 protected:
  [[nodiscard]] std::string of_box(const std::string& field) const {
    return line_of("docker inspect -f '{{." + field + "}}' box");
  }
};

class ContainerdSystemdTest : public BesideSystemd<ContainerdTest> {
 protected:
  // As docs/callers.md names it to `ctr`.
  static constexpr char kUnit[] = "ctr-box.scope";
};

}  // namespace cloche::test
