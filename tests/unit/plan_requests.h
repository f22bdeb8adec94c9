// A request to change, and what the planner says to it: for the tests of its rules.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "plan/planner.h"
#include "plan_hosts.h"

namespace cloche::plan::test {

// What `runc spec` would give, cut to what the rules look at.
inline Request basic() {
  Request request;
  request.id = "t";
  request.root = BundleRoot{"/bundle/rootfs"};
  auto& spec = request.spec;
  spec.process.emplace();
  spec.process->args = {"sh"};
  spec.process->cwd = "/";
  spec.process->noNewPrivileges = true;
  spec.linux_.emplace();
  spec.linux_->namespaces = {{"mount", ""}, {"pid", ""}, {"uts", ""}, {"ipc", ""}, {"network", ""}};
  return request;
}

inline spec::Linux& os(Request& request) { return *request.spec.linux_; }

inline void with_user_namespace(Request& request, std::vector<spec::IDMapping> map) {
  os(request).namespaces.push_back({"user", ""});
  os(request).uidMappings = os(request).gidMappings = std::move(map);
}

template <class A>
const A* find(const Plan& plan, std::string_view id) {
  const size_t at = plan.find(id);
  return at == plan.steps.size() ? nullptr : std::get_if<A>(&plan.steps[at].action);
}

inline std::string cgroup_value(const Request& request, std::string_view id,
                                const HostFacts& host = root_host()) {
  const auto plan = make_plan(request, host);
  if (!plan) return "refused " + plan.error().field + ": " + plan.error().sentence;
  const auto* write = find<WriteCgroup>(*plan, id);
  return write ? write->value : "not there";
}

inline std::string refusal(const Request& request, const HostFacts& host = root_host()) {
  const auto plan = make_plan(request, host);
  return plan ? "planned" : plan.error().field + ": " + plan.error().sentence;
}

inline testing::AssertionResult says(const std::string& text, std::initializer_list<const char*> words) {
  for (const char* word : words)
    if (text.find(word) == std::string::npos)
      return testing::AssertionFailure() << "no \"" << word << "\" in: " << text;
  return testing::AssertionSuccess();
}

}  // namespace cloche::plan::test
