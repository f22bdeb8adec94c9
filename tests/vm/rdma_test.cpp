// The rdma controller, on a device that the kernel makes of an ordinary network interface (soft RoCE, rdma-link(8)).
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <filesystem>

#include "support/bundle.h"
#include "support/needs.h"
#include "vm/counters.h"

namespace cloche::test {
namespace {

constexpr char kDevice[] = "/dev/infiniband/uverbs0";
constexpr char kCgroup[] = "/sys/fs/cgroup/vm-rdma";

class VmRdma : public RuntimeTest {
 protected:
  void TearDown() override {
    shell("rdma link del rxe0; ip link del vm-rdma0");
    RuntimeTest::TearDown();
  }
  void SetUp() override {
    RuntimeTest::SetUp();
    CLOCHE_NEEDS(needs::cgroup2_controller("rdma"));
    CLOCHE_NEEDS(needs::program("rdma"));
    const Outcome made = shell(
        "set -e; ip link add vm-rdma0 type veth peer name vm-rdma1; "
        "ip link set vm-rdma0 up; rdma link add rxe0 type rxe netdev vm-rdma0");
    ASSERT_TRUE(made.ok()) << made.describe();
  }
  // What the probe says under a limit, and then rdma.current.
  std::string asked_for(const std::string& what, const spec::Rdma& limit) {
    auto box = bundle({"/probe", what, "/dev/rdma"});
    std::filesystem::copy_file(program("cloche_rdma_probe"), box.rootfs() + "/probe",
                               std::filesystem::copy_options::skip_existing);
    struct stat node{};
    EXPECT_EQ(stat(kDevice, &node), 0);
    const int64_t major = gnu_dev_major(node.st_rdev), minor = gnu_dev_minor(node.st_rdev);
    auto& config = *box.config.linux_;
    config.cgroupsPath = "/vm-rdma";
    config.devices = {{.path = "/dev/rdma", .type = "c", .major = major, .minor = minor}};
    config.resources.emplace().rdma["rxe0"] = limit;
    config.resources->devices = {
        {.allow = true, .type = "c", .major = major, .minor = minor, .access = "rw"}};
    EXPECT_TRUE(start_detached(box).ok());
    EXPECT_TRUE(says("done\n"));
    const std::string said = output() + text_of(std::string(kCgroup) + "/rdma.current");
    stop();
    // Linux 6.1 keeps what it noted of a limit beyond its cgroup's end, and stumbles over it when the device goes.
    std::ofstream(std::string(kCgroup) + "/rdma.max") << "rxe0 hca_handle=max hca_object=max";
    EXPECT_TRUE(runtime({"delete", "box"}).ok());
    return said;
  }
};

TEST_F(VmRdma, PastItsHandlesNoFurtherContextOpens) {
  EXPECT_EQ(asked_for("contexts", {.hcaHandles = 2, .hcaObjects = {}}),
            "context\ncontext\ndone\nrxe0 hca_handle=2 hca_object=0 \n");
  EXPECT_EQ(
      asked_for("contexts", {.hcaHandles = 1, .hcaObjects = {}}),
      "context\nno context: errno " + std::to_string(EAGAIN) + "\ndone\nrxe0 hca_handle=1 hca_object=0 \n");
}

TEST_F(VmRdma, PastItsObjectsNoFurtherDomainIsMade) {
  EXPECT_EQ(asked_for("domains", {.hcaHandles = {}, .hcaObjects = 2}),
            "context\ndomain\ndomain\ndone\nrxe0 hca_handle=1 hca_object=2 \n");
  EXPECT_EQ(asked_for("domains", {.hcaHandles = {}, .hcaObjects = 1}),
            "context\ndomain\nno domain: errno " + std::to_string(EAGAIN) +
                "\ndone\nrxe0 hca_handle=1 hca_object=1 \n");
}

}  // namespace
}  // namespace cloche::test
