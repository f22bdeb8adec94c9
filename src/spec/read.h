// Reads the JSON documents of the OCI runtime specification into the types of runtime.h.
//
// What is accepted follows Go's encoding/json, which the other runtimes' callers are tested against: null is
// an absent key, a number must be whole and in the field's range, a string is never a number. Keys are exact
// (Go's are not case-sensitive; a warning says which key was probably meant). Invalid UTF-8, NUL bytes in
// strings, more than 32 levels and anything after the document are errors.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "spec/problem.h"
#include "spec/runtime.h"

namespace cloche::spec {

inline constexpr size_t kLargestDocument = size_t{16} << 20;  // bytes

ReadResult<Spec> read_spec(std::string_view json);
// What `exec --process FILE` holds.
ReadResult<Process> read_process(std::string_view json);
// What `update --resources FILE` holds: linux.resources.
ReadResult<Resources> read_resources(std::string_view json);
// linux.seccomp alone. Profile files with conditions are kernel/seccomp_profile.h.
ReadResult<Seccomp> read_seccomp(std::string_view json);

// The text of a regular file of at most kLargestDocument bytes. Anything else (a directory, a FIFO, a device)
// is refused and never read from or waited for.
std::expected<std::string, Problem> read_document(const std::string& path);

ReadResult<Spec> read_spec_file(const std::string& path);
ReadResult<Process> read_process_file(const std::string& path);
ReadResult<Resources> read_resources_file(const std::string& path);
ReadResult<Seccomp> read_seccomp_file(const std::string& path);

}  // namespace cloche::spec
