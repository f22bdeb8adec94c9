// The io controller, on disks that are the guest's own.
#include <fmt/format.h>

#include "support/box.h"
#include "support/host_state.h"
#include "support/needs.h"
#include "vm/counters.h"

namespace cloche::test {
namespace {

class VmIo : public LeaksNothing {};

// Two containers work in the same `way`, each on a disk of its own: while the one that is bounded by `limit` does so
// `count` times, the free one is to count twenty times as much under `key` of io.stat.
void expect_bounded(const std::string& limit, const std::string& key, const std::string& way, int count) {
  CLOCHE_NEEDS(needs::cgroup2_controller("io"));
  CLOCHE_NEEDS(needs::disks());
  ASSERT_TRUE(shell("chmod 666 $CLOCHE_VM_DISKS").ok());
  const ParentCgroup frees("vm-io-free"), bounds("vm-io-bound");
  const auto counted = [&](const ParentCgroup& cgroup) { return io_counter(cgroup.path(), key); };
  const auto dd = [&](const char* disk, int times) {
    return fmt::format("dd {} count={} status=none", fmt::format(fmt::runtime(way), disk), times);
  };
  const std::string number = shell("lsblk -ndo MAJ:MIN ${CLOCHE_VM_DISKS% *} | tr -d ' \\n'").out;
  Running free(box({"--device", "/dev/vdb", "--cgroup-parent", frees.name()},
                   "trap exit TERM; echo ready; while :; do " + dd("/dev/vdb", 256) + "; done"));
  ASSERT_TRUE(free.wait_for_output("ready")) << free.so_far().describe();
  Running bounded(
      box({"-i", "--device", "/dev/vda", "--cgroup-parent", bounds.name(), "--io-max", number + " " + limit},
          "echo ready; read -r go; " + dd("/dev/vda", count) + " && echo done; read -r go"));
  ASSERT_TRUE(bounded.wait_for_output("ready")) << bounded.so_far().describe();
  const int64_t free_begin = counted(frees), bounded_begin = counted(bounds);
  bounded.send_input("go\n");
  EXPECT_TRUE(bounded.wait_for_output("done")) << bounded.so_far().describe();
  const int64_t free_work = counted(frees) - free_begin, bounded_work = counted(bounds) - bounded_begin;
  bounded.send_input("go\n");
  bounded.finish();
  free.signal(SIGTERM);
  free.finish();
  EXPECT_GT(bounded_work, 0);
  EXPECT_GT(free_work, 20 * bounded_work);
}

TEST_F(VmIo, BytesWrittenAreBounded) {
  expect_bounded("wbps=262144", "wbytes", "if=/dev/zero of={} bs=32k oflag=direct", 16);
}

TEST_F(VmIo, BytesReadAreBounded) {
  expect_bounded("rbps=262144", "rbytes", "if={} of=/dev/null bs=32k iflag=direct", 16);
}

TEST_F(VmIo, WritesAreBounded) {
  expect_bounded("wiops=10", "wios", "if=/dev/zero of={} bs=4k oflag=direct", 16);
}

TEST_F(VmIo, ReadsAreBounded) {
  expect_bounded("riops=10", "rios", "if={} of=/dev/null bs=4k iflag=direct", 16);
}

}  // namespace
}  // namespace cloche::test
