// The io controller, on disks that are the guest's own.
#include <fmt/format.h>

#include "support/box.h"
#include "support/host_state.h"
#include "support/needs.h"
#include "vm/counters.h"

namespace cloche::test {
namespace {

class VmIo : public LeaksNothing {};

// Two containers write the same way, each to a disk of its own, until the bounded one has written a little.
TEST_F(VmIo, ABoundedWriterWritesFarLessThanAFreeOne) {
  CLOCHE_NEEDS(needs::cgroup2_controller("io"));
  CLOCHE_NEEDS(needs::disks());
  ASSERT_TRUE(shell("chmod 666 $CLOCHE_VM_DISKS").ok());
  const std::string number = shell("lsblk -ndo MAJ:MIN ${CLOCHE_VM_DISKS% *} | tr -d ' \\n'").out;
  const std::string written = "; sed 's/.* wbytes=\\([0-9]*\\).*/wbytes \\1/' /sys/fs/cgroup/io.stat";

  Running free(box({"--device", "/dev/vdb"},
                   "trap stop=1 TERM; echo ready; while [ -z \"$stop\" ]; do "
                   "dd if=/dev/zero of=/dev/vdb bs=32k count=64 oflag=direct status=none; done" +
                       written));
  ASSERT_TRUE(free.wait_for_output("ready")) << free.so_far().describe();
  const Outcome bounded =
      run_box({"--device", "/dev/vda", "--io-max", number + " wbps=262144"},
              "dd if=/dev/zero of=/dev/vda bs=32k count=32 oflag=direct status=none" + written);
  free.signal(SIGTERM);
  const Outcome unbounded = free.finish();
  ASSERT_EQ(counter(bounded.out, "wbytes"), 1 << 20) << bounded.describe();
  EXPECT_GT(counter(unbounded.out, "wbytes"), 4 << 20) << unbounded.describe();
}

}  // namespace
}  // namespace cloche::test
