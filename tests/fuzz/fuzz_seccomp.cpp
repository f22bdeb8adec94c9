// Any bytes as a seccomp profile, and what it says compiled: refused in a sentence, or a filter the kernel could take.
#include "fuzz/check.h"
#include "kernel/seccomp.h"
#include "kernel/seccomp_profile.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cloche;
  kernel::ProfileFacts facts;
  const auto profile = kernel::read_seccomp_profile(fuzz::text_of(data, size), facts);
  if (!profile) return fuzz::check_sentence(profile.error().message()), 0;
  const auto program = kernel::compile_seccomp(profile->filter);
  if (!program) return fuzz::check_sentence(program.error().message()), 0;
  fuzz::require(!program->code.empty() && program->code.size() <= 4096,
                "a filter of no length that the kernel takes", "");
  return 0;
}
