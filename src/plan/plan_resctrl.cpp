// Intel RDT: the group of a resctrl file system that the container's processes share caches and bandwidth in.
#include <fmt/format.h>

#include "plan/builder.h"

namespace cloche::plan {
namespace {

bool monitors(const spec::IntelRdt& rdt) { return rdt.enableMonitoring || rdt.enableCMT || rdt.enableMBM; }

// The specification's order: the last one to name a resource holds.
Strings lines_of(const spec::IntelRdt& rdt) {
  Strings lines;
  if (!rdt.l3CacheSchema.empty()) lines.push_back(rdt.l3CacheSchema);
  if (!rdt.memBwSchema.empty()) lines.push_back(rdt.memBwSchema);
  lines.insert(lines.end(), rdt.schemata.begin(), rdt.schemata.end());
  return lines;
}

}  // namespace

std::expected<Strings, Refusal> resctrl_groups(const spec::IntelRdt& rdt, const std::string& id,
                                               const HostFacts& facts) {
  if (!facts.privileged)
    return refuse("linux.intelRdt",
                  "sharing the processor's caches and memory bandwidth needs root on the host");
  if (facts.resctrl.empty())
    return refuse(
        "linux.intelRdt",
        "no resctrl file system is mounted on this host: on a processor with Intel RDT, and a kernel with "
        "CONFIG_X86_CPU_RESCTRL, run `mount -t resctrl resctrl /sys/fs/resctrl`");
  Strings groups{facts.resctrl};
  if (rdt.closID != "/") groups[0] += "/" + (rdt.closID.empty() ? id : rdt.closID);
  if (monitors(rdt)) groups.push_back(fmt::format("{}/mon_groups/{}", groups[0], id));
  return groups;
}

Planned plan_resctrl(Builder& b) {
  if (!b.os.intelRdt) return {};
  const auto& rdt = *b.os.intelRdt;
  auto groups = resctrl_groups(rdt, b.request.id, b.facts);
  if (!groups) return std::unexpected(std::move(groups).error());
  const std::string& group = groups->front();
  const Strings lines = lines_of(rdt);
  b.host("resctrl",
         MakeResctrlGroup{group, rdt.closID.empty() ? "new"
                                 : lines.empty()    ? "existing"
                                                    : "shared"},
         b.why("linux.intelRdt.closID"));
  if (!lines.empty()) b.host("resctrl-schemata", WriteSchemata{group, lines}, b.why("linux.intelRdt"));
  if (groups->size() > 1)
    b.host("resctrl-monitor", MakeResctrlGroup{groups->back(), "new"},
           b.why("linux.intelRdt.enableMonitoring"));
  b.resctrl = *std::move(groups);
  return {};
}

// The group before the monitoring group in it, which takes nobody else in.
void plan_resctrl_join(Builder& b) {
  for (const std::string& group : b.resctrl) {
    const bool monitor = &group != &b.resctrl.front();
    b.host(monitor ? "resctrl-monitor-join" : "resctrl-join", JoinResctrlGroup{group},
           b.why(monitor ? "linux.intelRdt.enableMonitoring" : "linux.intelRdt"));
  }
}

}  // namespace cloche::plan
