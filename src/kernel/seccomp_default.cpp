// The default profile: compiled by generate/default_seccomp.cpp at build time.
#include <cstdint>
#include <iterator>

#include "kernel/seccomp.h"
#include "kernel/seccomp_profile.h"

namespace cloche::kernel {
namespace {
#include "default_seccomp.inc"
}  // namespace

const SeccompProgram& default_seccomp_program() {
  static const SeccompProgram program{.code = {std::begin(kDefaultProgram), std::end(kDefaultProgram)},
                                      .flags = kDefaultFlags};
  return program;
}

CapabilitySet default_seccomp_conditions() { return CapabilitySet::from_bits(kDefaultConditions); }

sys::Result<spec::Seccomp> default_seccomp_profile(CapabilitySet capabilities) {
  CLOCHE_TRY_ASSIGN(profile, read_seccomp_profile(kDefaultProfile, {.capabilities = capabilities}));
  return std::move(profile.filter);
}

sys::Result<SeccompProgram> default_seccomp_program_for(CapabilitySet capabilities) {
  if ((capabilities & default_seccomp_conditions()).empty()) return default_seccomp_program();
  CLOCHE_TRY_ASSIGN(profile, default_seccomp_profile(capabilities));
  return compile_seccomp(profile);
}

}  // namespace cloche::kernel
