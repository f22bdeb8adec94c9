// Another program of the host, run to its end, and what it wrote.
#pragma once

#include <string>
#include <vector>

#include "sys/error.h"
#include "sys/process.h"

namespace cloche::sys {

// Whether the caller may execute what is there (faccessat(2)); a directory may be executed too.
[[nodiscard]] bool executable(const std::string& path);
// Where `name` is in the caller's PATH, or where a shell would look without one. ENOENT with a sentence. Directories that
// are not absolute are left out: what is run must not depend on where the caller stands.
Result<std::string> find_program(const std::string& name);

struct Program {
  std::string path;
  std::vector<std::string> args;  // with the program's name
  std::vector<std::string> env;
  std::vector<int> captured{
      1, 2};  // which of its descriptors are read; the other standard ones are the caller's
  size_t longest = size_t{1} << 16;  // bytes; more is an error
};
struct Outcome {
  Ending ending;
  std::string text;
};
// Waits for it. Its signals have their defaults, and it gets no descriptor from 3 on. Errors: the pipe, the clone, an
// output that is too long; one that cannot be executed has written why, and ends with 127, as a shell has it.
Result<Outcome> run_program(const Program& program);

}  // namespace cloche::sys
