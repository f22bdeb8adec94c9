// linux.netDevices: a device of the host becomes the container's.
#include <optional>

#include "support/bundle.h"
#include "support/needs.h"

namespace cloche::test {
namespace {

class NetDevices : public RuntimeTest {
 protected:
  static constexpr const char* kDevice = "clochet0";

  // A pair of which one end is to move; its other end shows whether the first is there, wherever it is.
  void make_device(const std::string& more = "") {
    const Outcome made =
        shell(std::string("ip link add clochet0 address 02:00:00:00:00:07 mtu 1400 type veth peer "
                          "name clochet1 && ip addr add 192.0.2.7/24 brd + dev clochet0 && "
                          "ip addr add 2001:db8::7/64 dev clochet0 nodad && ip link set "
                          "clochet0 up && ip link set clochet1 up;") +
              more);
    ASSERT_TRUE(made.ok()) << made.describe();
  }
  void TearDown() override {
    shell("ip link del clochet0 2>/dev/null; ip link del clochet1 2>/dev/null;");
    other_.reset();
    RuntimeTest::TearDown();
  }
  // A network namespace that outlives the container.
  void make_other() {
    other_.emplace(Command{.argv = {"unshare", "--net", "sh", "-c", "echo there; read end"}});
    ASSERT_TRUE(other_->wait_for_output("there"));
  }
  std::string other() { return "/proc/" + std::to_string(other_->pid()) + "/ns/net"; }
  Outcome inside_other(const std::string& script) {
    return shell("nsenter --net=" + other() + " sh -c '" + script + "'");
  }
  Bundle moving(const std::string& name, std::vector<std::string> args) {
    auto box = bundle(std::move(args));
    box.config.linux_->netDevices[kDevice] = {.name = name};
    return box;
  }
  static void join(Bundle& box, const std::string& path) {
    for (spec::Namespace& ns : box.config.linux_->namespaces)
      if (ns.type == "network") ns.path = path;
  }
  void expect_untouched() {
    const Outcome here = shell("ip -o addr show clochet0 scope global; ip -o link show clochet0");
    EXPECT_NE(here.out.find("192.0.2.7/24"), std::string::npos) << here.describe();
    EXPECT_NE(here.out.find("2001:db8::7/64"), std::string::npos) << here.describe();
    EXPECT_NE(here.out.find(",UP,"), std::string::npos) << here.describe();
  }
  std::optional<Running> other_;
};

bool has(const std::string& text, const std::string& word) { return text.find(word) != std::string::npos; }

TEST_F(NetDevices, MovesWithItsNameItsAddressesAndUp) {
  CLOCHE_NEEDS(needs::root());
  CLOCHE_NEEDS(needs::program("ip"));
  make_device("ip addr add 192.0.2.99/24 valid_lft 1000 preferred_lft 1000 dev clochet0");
  const auto box = moving("inside0", {"sh", "-c", "busybox ip addr; busybox ip link"});
  const Outcome outcome = run(box);
  ASSERT_TRUE(outcome.ok()) << outcome.describe();
  EXPECT_TRUE(has(outcome.out, "inside0@")) << "its name\n" << outcome.out;
  EXPECT_TRUE(has(outcome.out, "inet 192.0.2.7/24 brd 192.0.2.255 scope global inside0")) << outcome.out;
  EXPECT_TRUE(has(outcome.out, "inet6 2001:db8::7/64 scope global")) << outcome.out;
  EXPECT_TRUE(has(outcome.out, ",UP")) << outcome.out;
  EXPECT_TRUE(has(outcome.out, "mtu 1400")) << outcome.out;
  EXPECT_TRUE(has(outcome.out, "02:00:00:00:00:07")) << outcome.out;
  EXPECT_FALSE(has(outcome.out, "192.0.2.99")) << "not permanent\n" << outcome.out;
  EXPECT_FALSE(has(outcome.out, kDevice)) << outcome.out;
}

// A virtual device ends with its namespace; the container's end is not waited for by the kernel's.
TEST_F(NetDevices, IsTheContainersWhileItRuns) {
  CLOCHE_NEEDS(needs::root());
  CLOCHE_NEEDS(needs::program("ip"));
  make_device();
  ASSERT_TRUE(start_detached(moving("", {"sleep", "1000"})).ok());
  EXPECT_FALSE(shell("ip link show clochet0").ok()) << "gone from the host";
  EXPECT_TRUE(shell("ip link show clochet1").ok());
  EXPECT_TRUE(has(runtime({"exec", "box", "busybox", "ip", "link"}).out, "clochet0@")) << "its own name";
  stop();
  EXPECT_TRUE(runtime({"delete", "box"}).ok());
}

TEST_F(NetDevices, ATemplateIsGivenANumber) {
  CLOCHE_NEEDS(needs::root());
  CLOCHE_NEEDS(needs::program("ip"));
  make_device();
  const Outcome outcome = run(moving("net%d", {"sh", "-c", "busybox ip link"}));
  EXPECT_TRUE(has(outcome.out, "net0@")) << outcome.describe();
}

TEST_F(NetDevices, AUserNamespace) {
  CLOCHE_NEEDS(needs::root());
  CLOCHE_NEEDS(needs::program("ip"));
  make_device();
  auto box = moving("inside0", {"sh", "-c", "busybox ip addr"});
  box.map_ids(700000, 65536);
  const Outcome outcome = run(box);
  EXPECT_TRUE(has(outcome.out, "192.0.2.7/24")) << outcome.describe();
}

TEST_F(NetDevices, AJoinedNamespace) {
  CLOCHE_NEEDS(needs::root());
  CLOCHE_NEEDS(needs::program("ip"));
  make_device();
  make_other();
  auto box = moving("inside0", {"true"});
  join(box, other());
  const Outcome outcome = run(box);
  EXPECT_TRUE(outcome.ok()) << outcome.describe();
  EXPECT_TRUE(has(inside_other("ip addr show inside0").out, "192.0.2.7/24")) << "it is the namespace's";
}

TEST_F(NetDevices, ANameThatIsTaken) {
  CLOCHE_NEEDS(needs::root());
  CLOCHE_NEEDS(needs::program("ip"));
  make_device();
  make_other();
  ASSERT_TRUE(inside_other("ip link add taken type veth").ok());
  auto box = moving("taken", {"true"});
  join(box, other());
  const Outcome outcome = run(box);
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_TRUE(has(outcome.err, "net-device:clochet0")) << outcome.err;
  EXPECT_TRUE(has(outcome.err, "device \"taken\"") && has(outcome.err, "EEXIST")) << outcome.err;
  expect_untouched();
}

// The kernel refuses an address when the device has arrived already.
TEST_F(NetDevices, WhatCannotArriveWholeComesBackWhole) {
  CLOCHE_NEEDS(needs::root());
  CLOCHE_NEEDS(needs::program("ip"));
  make_device();
  make_other();
  ASSERT_TRUE(
      inside_other("cd /proc/sys/net/ipv6/conf; echo 1 > default/disable_ipv6; echo 1 > all/disable_ipv6")
          .ok());
  auto box = moving("inside0", {"true"});
  join(box, other());
  const Outcome outcome = run(box);
  EXPECT_EQ(outcome.exit_code, 1) << outcome.describe();
  EXPECT_TRUE(has(outcome.err, "RTM_NEWADDR")) << outcome.err;
  EXPECT_FALSE(has(outcome.err, "could not be moved back")) << outcome.err;
  expect_untouched();
  EXPECT_FALSE(has(inside_other("ip link").out, "inside0"));
}

TEST_F(NetDevices, WhatIsNotThere) {
  CLOCHE_NEEDS(needs::root());
  const Outcome outcome = run(moving("inside0", {"true"}));
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_TRUE(has(outcome.err, "the host has no network device \"clochet0\"") && has(outcome.err, "ENODEV"))
      << outcome.err;
  EXPECT_EQ(status(), "");
}

TEST_F(NetDevices, TheHostsOwnNamespace) {
  CLOCHE_NEEDS(needs::root());
  CLOCHE_NEEDS(needs::program("ip"));
  make_device();
  auto box = moving("inside0", {"true"});
  join(box, "/proc/self/ns/net");
  const Outcome outcome = run(box);
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_TRUE(has(outcome.err, "in already")) << outcome.err;
  expect_untouched();
}

TEST_F(NetDevices, AnOrdinaryUserHasNoRightToThem) {
  CLOCHE_NEEDS(needs::root());
  CLOCHE_NEEDS(needs::user_namespaces());
  auto box = moving("inside0", {"true"});
  box.map_ids(0, 1);
  box.write();
  const Outcome outcome = shell("chmod -R a+rX " + scratch() +
                                "; setpriv --reuid 65534 --regid 65534 --clear-groups env XDG_RUNTIME_DIR= " +
                                program("cloche-runtime") + " run --bundle " + box.path() + " box");
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_TRUE(has(outcome.err, "linux.netDevices") && has(outcome.err, "CAP_NET_ADMIN")) << outcome.err;
}

}  // namespace
}  // namespace cloche::test
