// The flags about the process itself: user, environment, limits of a process.
#pragma once

#include <expected>
#include <functional>
#include <string>
#include <utility>

#include "engine/run_options.h"
#include "plan/facts.h"
#include "spec/runtime.h"

namespace cloche::engine {

// How a parser says where a field came from.
struct FieldSources {
  std::function<void(std::string field, std::string from)> flag;
  std::function<void(std::string field, std::string from)> standard;
};

std::expected<void, std::string> apply_process_options(const RunOptions& options,
                                                       const plan::HostFacts& facts, spec::Spec& spec,
                                                       const FieldSources& sources);

// "USER[:GROUP]" by number or by name. Digits are never names. Names are looked up in the passwd and group files
// given as text, which for the image `host` are the host's own.
struct ResolvedUser {
  uint32_t uid = 0, gid = 0;
};
std::expected<ResolvedUser, std::string> resolve_user(std::string_view text, std::string_view passwd,
                                                      std::string_view group);

// A seccomp profile in the OCI form, or in Docker's with its conditions on capabilities and architecture.
std::expected<spec::Seccomp, std::string> read_seccomp_file(const std::string& path,
                                                            const Strings& capabilities);

}  // namespace cloche::engine
