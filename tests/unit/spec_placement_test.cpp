// linux.memoryPolicy, linux.intelRdt and process.execCPUAffinity, and the lists of numbers in them.
#include <gtest/gtest.h>

#include <functional>

#include "spec/default_spec.h"
#include "spec/numbers.h"
#include "spec/validate.h"

namespace cloche::spec {
namespace {

using Numbers = std::optional<std::vector<uint32_t>>;

std::string after(const std::function<void(Spec&)>& change) {
  Spec spec = default_spec();
  change(spec);
  const auto result = validate(spec);
  return result ? "valid" : result.error().message();
}

std::string policy(MemoryPolicy wanted) {
  return after([&](Spec& spec) { spec.linux_->memoryPolicy = std::move(wanted); });
}
std::string rdt(IntelRdt wanted) {
  return after([&](Spec& spec) { spec.linux_->intelRdt = std::move(wanted); });
}

TEST(NumberList, IsWhatCpusetTakes) {
  EXPECT_EQ(parse_number_list("", 8), Numbers(std::vector<uint32_t>{}));
  EXPECT_EQ(parse_number_list("0-2,7", 8), Numbers({0, 1, 2, 7}));
  EXPECT_EQ(parse_number_list("5,1,1-2", 8), Numbers({1, 2, 5}));
  for (const char* bad : {"8", "2-1", "1,", ",1", "-1", "1-", "a", "1 2", "0-99999999999", "1,,2"})
    EXPECT_EQ(parse_number_list(bad, 8), Numbers()) << bad;
}

TEST(ValidatePlacement, MemoryPolicies) {
  EXPECT_EQ(policy({.mode = "MPOL_DEFAULT"}), "valid");
  EXPECT_EQ(policy({.mode = "MPOL_PREFERRED"}), "valid");
  EXPECT_EQ(policy({.mode = "MPOL_INTERLEAVE", .nodes = "2-3", .flags = {"MPOL_F_STATIC_NODES"}}), "valid");
  EXPECT_EQ(policy({.mode = "MPOL_BIND", .nodes = "0", .flags = {"MPOL_F_NUMA_BALANCING"}}), "valid");
  EXPECT_EQ(policy({}), "linux.memoryPolicy.mode: a memory policy needs one");
  EXPECT_TRUE(policy({.mode = "MPOL_NEAR"}).starts_with("linux.memoryPolicy.mode: \"MPOL_NEAR\" is none of"));
  EXPECT_TRUE(policy({.mode = "MPOL_BIND"}).starts_with("linux.memoryPolicy.nodes: MPOL_BIND needs"));
  EXPECT_TRUE(
      policy({.mode = "MPOL_LOCAL", .nodes = "0"}).starts_with("linux.memoryPolicy.nodes: MPOL_LOCAL"));
  EXPECT_TRUE(policy({.mode = "MPOL_BIND", .nodes = "all"}).starts_with("linux.memoryPolicy.nodes: \"all\""));
  EXPECT_TRUE(
      policy({.mode = "MPOL_DEFAULT", .flags = {"MPOL_F_X"}}).starts_with("linux.memoryPolicy.flags[0]"));
  EXPECT_TRUE(
      policy({.mode = "MPOL_BIND", .nodes = "0", .flags = {"MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"}})
          .starts_with("linux.memoryPolicy.flags: "));
  EXPECT_TRUE(policy({.mode = "MPOL_INTERLEAVE", .nodes = "0", .flags = {"MPOL_F_NUMA_BALANCING"}})
                  .starts_with("linux.memoryPolicy.flags: MPOL_F_NUMA_BALANCING"));
}

TEST(ValidatePlacement, IntelRdt) {
  EXPECT_EQ(rdt({}), "valid");
  EXPECT_EQ(rdt({.closID = "/"}), "valid");
  EXPECT_EQ(rdt({.closID = "gold", .schemata = {"L3:0=f"}, .memBwSchema = "MB:0=20"}), "valid");
  for (const char* bad : {"a/b", "..", "info", "mon_groups", "/x", "x\ny"})
    EXPECT_TRUE(rdt({.closID = bad}).starts_with("linux.intelRdt.closID: ")) << bad;
  EXPECT_TRUE(rdt({.memBwSchema = "L3:0=f"}).starts_with("linux.intelRdt.memBwSchema: "));
  EXPECT_TRUE(rdt({.l3CacheSchema = "L3:0=f\nMB:0=1"}).starts_with("linux.intelRdt.l3CacheSchema: "));
  EXPECT_TRUE(rdt({.schemata = {"L3:0=f", "MB:0=1\n"}}).starts_with("linux.intelRdt.schemata[1]: "));
  EXPECT_TRUE(rdt({.schemata = {"f"}}).starts_with("linux.intelRdt.schemata[0]: "));
  Spec spec = default_spec();
  spec.linux_->intelRdt = IntelRdt{.enableCMT = true};
  EXPECT_EQ(validate(spec)->size(), 1U);
}

TEST(ValidatePlacement, Affinity) {
  const auto affinity = [](ExecCPUAffinity wanted) {
    return after([&](Spec& spec) { spec.process->execCPUAffinity = std::move(wanted); });
  };
  EXPECT_EQ(affinity({.initial = "0-3,7", .final_ = ""}), "valid");
  EXPECT_TRUE(affinity({.initial = "x", .final_ = ""}).starts_with("process.execCPUAffinity.initial: "));
  EXPECT_TRUE(affinity({.initial = "", .final_ = "3-1"}).starts_with("process.execCPUAffinity.final: "));
}

}  // namespace
}  // namespace cloche::spec
