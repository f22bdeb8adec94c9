// The parts of diagnose.cpp, one per kind of step. An empty cause: nothing better is known than what the errno says.
#pragma once

#include "runtime/diagnose.h"

namespace cloche::runtime {

// diagnose_namespaces.cpp
[[nodiscard]] plan::Diagnosis about(const plan::CloneProcess& step, int code, const plan::HostFacts& facts,
                                    const Circumstances& around);
[[nodiscard]] plan::Diagnosis about(const plan::WriteIdMap& step, const sys::Error& error,
                                    const plan::HostFacts& facts, const Circumstances& around);
[[nodiscard]] plan::Diagnosis about(const plan::JoinNamespace& step, int code);
[[nodiscard]] plan::Diagnosis about(const plan::SetUser& step, int code, const plan::Plan& plan);

// diagnose_files.cpp
[[nodiscard]] plan::Diagnosis about(const plan::MountFs& step, const sys::Error& error,
                                    const plan::HostFacts& facts);
// `source` is what the tree shows.
[[nodiscard]] plan::Diagnosis about(const plan::IdmapTree& step, const std::string& source, int code,
                                    const plan::HostFacts& facts, const Circumstances& around);
// A step that opens `source` of the host.
[[nodiscard]] plan::Diagnosis about_source(const std::string& source, const sys::Error& error);
// A step that needs `target` made in the new root: which mount of the plan stands in its way.
[[nodiscard]] plan::Diagnosis about_target(const plan::Plan& plan, size_t index, int code);

}  // namespace cloche::runtime
