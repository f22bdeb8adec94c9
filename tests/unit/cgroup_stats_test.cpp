// Statistics from the texts of a cgroup's files.
#include "runtime/cgroup_stats.h"

#include <gtest/gtest.h>

namespace cloche::runtime {
namespace {

bool has(const std::string& json, const std::string& part) {
  EXPECT_TRUE(json.contains(part)) << json;
  return true;
}

TEST(CgroupStats, TimesAreNanoseconds) {
  const auto json = statistics_json({{"cpu.stat",
                                      "usage_usec 30\nuser_usec 20\nsystem_usec 10\nnr_periods 7\n"
                                      "nr_throttled 3\nthrottled_usec 5\n"}},
                                    "");
  has(json, R"("usage":{"total":30000,"kernel":10000,"user":20000})");
  has(json, R"("throttling":{"periods":7,"throttledPeriods":3,"throttledTime":5000})");
}

TEST(CgroupStats, MemoryAndSwapAreCountedTogether) {
  const auto json = statistics_json({{"memory.current", "100\n"},
                                     {"memory.max", "max\n"},
                                     {"memory.peak", "150\n"},
                                     {"memory.swap.current", "7\n"},
                                     {"memory.swap.max", "50\n"},
                                     {"memory.stat", "anon 60\nfile 40\n"},
                                     {"memory.events", "low 0\nhigh 2\nmax 4\noom 1\noom_kill 1\n"}},
                                    "");
  has(json, R"("cache":40,"usage":{"limit":18446744073709551615,"usage":100,"max":150,"failcnt":4})");
  has(json, R"("swap":{"limit":18446744073709551615,"usage":107)");
  has(json, R"("raw":{"anon":60,"file":40})");
  has(json, R"("event_count":{"low":0,"high":2,"max":4,"oom":1,"oom_kill":1,"oom_group_kill":0})");
  has(statistics_json({{"memory.max", "100\n"}, {"memory.swap.max", "50\n"}}, ""), R"("swap":{"limit":150)");
}

TEST(CgroupStats, DisksPagesDevicesAndInterfaces) {
  const auto json =
      statistics_json({{"io.stat", "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n8:16 \n"},
                       {"pids.current", "3\n"},
                       {"pids.max", "max\n"},
                       {"cpuset.cpus.effective", "0-2,5\n"},
                       {"hugetlb.2MB.current", "2097152\n"},
                       {"hugetlb.2MB.max", "max\n"},
                       {"hugetlb.2MB.events", "max 9\n"},
                       {"rdma.current", "mlx4_0 hca_handle=2 hca_object=20\n"},
                       {"rdma.max", "mlx4_0 hca_handle=3 hca_object=max\n"}},
                      "Inter-|   Receive  |  Transmit\n face |bytes packets|bytes packets\n"
                      "  eth0: 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\n");
  has(json, R"("ioServiceBytesRecursive":[{"major":8,"minor":0,"op":"Read","value":1},)"
            R"({"major":8,"minor":0,"op":"Write","value":2})");
  has(json, R"("pids":{"current":3,"limit":0})");
  has(json, R"("cpus":[0,1,2,5])");
  has(json, R"("hugetlb":{"2MB":{"usage":2097152,"max":18446744073709551615,"failcnt":9}})");
  has(json, R"("current":[{"device":"mlx4_0","hca_handle":2,"hca_object":20}])");
  has(json, R"("network_interfaces":[{"Name":"eth0","RxBytes":1,"RxPackets":2,"RxErrors":3,"RxDropped":4,)"
            R"("TxBytes":5,"TxPackets":6,"TxErrors":7,"TxDropped":8}])");
}

TEST(CgroupStats, PressureIsTwoLinesOrNone) {
  EXPECT_EQ(pressure_json("some avg10=1.50 avg60=0.00 avg300=0.00 total=12\n"
                          "full avg10=0.00 avg60=0.00 avg300=0.00 total=3\n"),
            R"({"some":{"avg10":1.50,"avg60":0.00,"avg300":0.00,"total":12},)"
            R"("full":{"avg10":0.00,"avg60":0.00,"avg300":0.00,"total":3}})");
  EXPECT_EQ(pressure_json(""), "");
}

// Whatever a kernel to come writes: it is left out, and the rest is JSON.
TEST(CgroupStats, LinesOfAnotherShapeAreLeftOut) {
  const auto json = statistics_json({{"io.stat", "   \n8:0 rbytes wbytes=2 rios=\n"},
                                     {"rdma.current", " \t\nmlx4_0 hca_handle\n"},
                                     {"cpu.pressure", "some avg10=1.2.3 avg60=0.00 avg300=0.00 total=1\n"}},
                                    "");
  has(json, R"("ioServiceBytesRecursive":[{"major":8,"minor":0,"op":"Write","value":2}])");
  has(json, R"("rdma":{"current":[{"device":"mlx4_0"}])");
  EXPECT_FALSE(json.contains("psi")) << json;
  for (const char* number : {"", ".", "1.", ".5", "007", "1.2.3", "-1", "1e5", "max"}) {
    const std::string line = std::string("some avg10=") + number + " avg60=0.00 avg300=0.00 total=1\n";
    EXPECT_EQ(pressure_json(line), "") << number;
  }
}

TEST(CgroupStats, WhatIsNotThereIsZero) {
  const auto json = statistics_json({}, "");
  has(json, R"("pids":{"current":0,"limit":0})");
  has(json, R"("hugetlb":{})");
  has(json, R"("network_interfaces":[])");
}

}  // namespace
}  // namespace cloche::runtime
