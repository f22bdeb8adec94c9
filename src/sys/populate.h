// madvise(2), MADV_POPULATE_READ and MADV_POPULATE_WRITE (Linux 5.14), by bare system calls: it is used before the C
// library has begun. Nothing fails here: what is not mapped beforehand is mapped when it is touched.
#pragma once

#include <sys/mman.h>
#include <sys/syscall.h>

#include <cstddef>
#include <cstdint>

#include "sys/kernel_calls.h"

// Marks in the program, which begins with its read-only data. In the text, the linker puts the functions of a start
// between the first and the last one, those of the container's side before the middle one (cmake/startup.order). Where
// it was not given the list, they are anywhere.
extern "C" {
// The linker's. NOLINTBEGIN(bugprone-dynamic-static-initializers)
extern const char __executable_start[], etext[];
// NOLINTEND(bugprone-dynamic-static-initializers)
void cloche_startup_text_begin();
void cloche_container_text_end();
void cloche_startup_text_end();
}

namespace cloche::sys {

inline void populate(uintptr_t begin, uintptr_t end, int advice) {
  constexpr uintptr_t kPage = 4096;  // where pages are larger, less may be mapped
  begin &= ~(kPage - 1);
  kernel_call(SYS_madvise, static_cast<long>(begin), static_cast<long>(end - begin), advice);
}

// Up to that mark, and what the linker puts at the end of the text: the way to the C library's functions that are
// chosen by the processor (memcpy(3) and the like), which every start goes.
inline void populate_text(void (*mark)()) {
  constexpr uintptr_t kMostText = 2 << 20;
  constexpr uintptr_t kWays = 1 << 10;
  const auto begin = reinterpret_cast<uintptr_t>(&cloche_startup_text_begin);
  const auto end = reinterpret_cast<uintptr_t>(mark);
  if (begin >= end || end - begin > kMostText) return;
  populate(begin, end, MADV_POPULATE_READ);
  const auto last = reinterpret_cast<uintptr_t>(&etext[0]);
  populate(last - kWays, last, MADV_POPULATE_READ);
}

// The constants: most of them, and some tables for exceptions.
inline void populate_constants() {
  constexpr uintptr_t kConstants = 384 << 10;
  const auto begin = reinterpret_cast<uintptr_t>(&__executable_start[0]);
  if (begin + kConstants < reinterpret_cast<uintptr_t>(&cloche_startup_text_begin))
    populate(begin, begin + kConstants, MADV_POPULATE_READ);
}

}  // namespace cloche::sys
