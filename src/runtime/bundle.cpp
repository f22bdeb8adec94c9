#include "runtime/bundle.h"

#include <fmt/format.h>

#include "runtime/facts.h"
#include "spec/read.h"
#include "spec/validate.h"
#include "sys/files.h"

namespace cloche::runtime {

std::string Bundle::rootfs() const {
  if (!spec.root || spec.root->path.empty()) return {};
  return spec.root->path.starts_with('/') ? spec.root->path : path + "/" + spec.root->path;
}

sys::Result<Bundle> read_bundle(const std::string& path, const std::string& config, Report& report) {
  Bundle bundle;
  CLOCHE_TRY_ASSIGN(real, sys::real_path(path.empty() ? "." : path));
  bundle.path = std::move(real);
  const std::string name = config.empty() ? "config.json" : config;
  auto text = spec::read_document(config.empty() ? bundle.path + "/config.json" : config);
  if (!text) return sys::fail_because(text.error().message());
  bundle.config = *std::move(text);
  auto read = spec::read_spec(bundle.config);
  if (!read) return sys::fail_because(fmt::format("{}: {}", name, read.error().message()));
  for (const spec::Problem& odd : read->warnings) report.warnings.push_back(name + ": " + odd.message());
  bundle.spec = std::move(read->value);
  auto valid = spec::validate(bundle.spec);
  if (!valid) return sys::fail_because(fmt::format("{}: {}", name, valid.error().message()));
  for (const spec::Problem& odd : *valid) report.warnings.push_back(name + ": " + odd.message());
  return bundle;
}

sys::Result<plan::Request> request_for(Bundle& bundle, const LaunchOptions& options, bool await_start) {
  plan::Request request;
  const std::string rootfs = bundle.rootfs();
  if (rootfs.empty()) return sys::fail_because("root.path: the path of the root file system is missing");
  request.id = options.id;
  request.root = plan::BundleRoot{rootfs};
  request.bundle = bundle.path;
  request.await_start = await_start;
  request.new_keyring = options.new_keyring;
  request.preserve_fds = options.preserve_fds;
  request.systemd_cgroup = options.systemd_cgroup;
  request.spec = std::move(bundle.spec);
  return request;
}

sys::Result<plan::HostFacts> facts_for(const spec::Spec& spec, const LaunchOptions& options) {
  FactsWanted wanted = wanted_for(spec, false);
  wanted.systemd = options.systemd_cgroup;
  wanted.mounts = options.restore.has_value();  // what is below a recursive bind has to be named
  CLOCHE_TRY_ASSIGN(facts, gather_facts(wanted));
  if (!options.own_cgroup) facts.cgroup = {};  // for the planner there is none then
  return facts;
}

}  // namespace cloche::runtime
