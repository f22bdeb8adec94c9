// The callers with systemd's cgroup driver, beside a systemd of the test's own.
#pragma once

#include "callers/containerd.h"
#include "callers/docker.h"
#include "callers/podman.h"

namespace cloche::test {

// `Caller`: the fixture of one of them. Its containers are scopes of the system's manager, unless a fixture says whose.
template <class Caller>
class BesideSystemd : public Caller {
 protected:
  [[nodiscard]] bool with_systemd() const override { return true; }
  [[nodiscard]] std::string property(const std::string& unit, const std::string& name) const {
    return this->systemd().property(unit, name);
  }
  // Who calls the engine and the manager of its scopes, and which that is.
  [[nodiscard]] virtual Outcome as_caller(const std::string& script) const { return this->call(script); }
  [[nodiscard]] virtual const char* manager() const { return "--system"; }
  // What is said then, without the line's end.
  [[nodiscard]] std::string callers_line(const std::string& script) const {
    std::string out = as_caller(script).out;
    while (out.ends_with('\n')) out.pop_back();
    return out;
  }
  // A unit's limits, on one line: bytes, tasks, time per second.
  [[nodiscard]] std::string limits_of(const std::string& unit) const {
    return callers_line(fmt::format(
        "systemctl {} show -p MemoryMax -p MemorySwapMax -p TasksMax -p CPUQuotaPerSecUSec {} | sort | paste "
        "-sd ' '",
        manager(), unit));
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
    return callers_line(
        fmt::format("systemctl {} list-units --all --plain --no-legend '{}'", manager(), pattern));
  }
};

class PodmanBesideSystemd : public BesideSystemd<PodmanTest> {
 protected:
  [[nodiscard]] std::string of_box(const std::string& field) const {
    return callers_line("podman inspect -f '{{." + field + "}}' box");
  }
};

class PodmanSystemdTest : public PodmanBesideSystemd {
 protected:
  void SetUp() override {
    PodmanTest::SetUp();
    if (!IsSkipped() && !HasFatalFailure()) import_image();
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
