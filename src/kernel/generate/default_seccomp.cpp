// Build-time program: default_seccomp PROFILE.json OUTPUT.inc. Compiles the default seccomp profile, for a
// container without any of the capabilities it has conditions on, into C++ that seccomp_default.cpp includes.
#include <fmt/format.h>

#include <cstdio>
#include <string>

#include "kernel/seccomp.h"
#include "kernel/seccomp_profile.h"
#include "sys/files.h"

namespace {

using namespace cloche;

sys::Result<> generate(const char* profile_path, const char* output_path) {
  CLOCHE_TRY_ASSIGN(json, sys::read_file(AT_FDCWD, profile_path));
  CLOCHE_TRY_ASSIGN(profile, kernel::read_seccomp_profile(json, {}));
  CLOCHE_TRY_ASSIGN(program, kernel::compile_seccomp(profile.filter));
  std::string out = "// Generated from profiles/default.json.\nconstexpr sock_filter kDefaultProgram[] = {\n";
  for (const sock_filter& i : program.code)
    out += fmt::format("{{{:#x}, {}, {}, {:#x}}},\n", i.code, i.jt, i.jf, i.k);
  out += fmt::format("}};\nconstexpr uint32_t kDefaultFlags = {:#x};\n", program.flags);
  out += fmt::format("constexpr uint64_t kDefaultConditions = {:#x};\n", profile.conditions.bits());
  out += fmt::format("constexpr char kDefaultProfile[] = R\"profile({})profile\";\n", json);
  return sys::create_file(AT_FDCWD, output_path, out, 0644);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const sys::Result<> result = generate(argv[1], argv[2]);
  if (result) return 0;
  std::fputs((result.error().message() + "\n").c_str(), stderr);
  return 1;
}
