// madvise(2), MADV_POPULATE_READ and MADV_POPULATE_WRITE (Linux 5.14), by bare system calls: it is used before the C
// library has begun. Nothing fails here: what is not mapped beforehand is mapped when it is touched.
#pragma once

#include <sys/mman.h>
#include <sys/syscall.h>

#include <cstddef>
#include <cstdint>

#include "sys/kernel_calls.h"

// Marks in the program, which begins with its read-only data. In the text, the linker puts the functions of a start
// between the first and the last one, those of the container's side behind the middle one (cmake/startup.order). Where
// it was not given the list, they are anywhere.
extern "C" {
extern const char __executable_start[];  // NOLINT(bugprone-dynamic-static-initializers): the linker's
extern void _start();
void cloche_container_text_begin();
void cloche_startup_text_end();
}

namespace cloche::sys {

inline void populate(uintptr_t begin, uintptr_t end, int advice) {
  constexpr uintptr_t kPage = 4096;  // where pages are larger, less may be mapped
  begin &= ~(kPage - 1);
  kernel_call(SYS_madvise, static_cast<long>(begin), static_cast<long>(end - begin), advice);
}

// From that function on, and the constants.
inline void populate_text(void (*from)()) {
  constexpr uintptr_t kMostText = 2 << 20;
  constexpr uintptr_t kConstants = 384 << 10;  // most of them, and some tables for exceptions
  const auto begin = reinterpret_cast<uintptr_t>(from);
  const auto end = reinterpret_cast<uintptr_t>(&cloche_startup_text_end);
  if (begin >= end || end - begin > kMostText) return;
  populate(begin, end, MADV_POPULATE_READ);
  const auto constants = reinterpret_cast<uintptr_t>(&__executable_start[0]);
  if (constants + kConstants < begin) populate(constants, constants + kConstants, MADV_POPULATE_READ);
}

}  // namespace cloche::sys
