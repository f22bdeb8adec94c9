#include "sys/prefault.h"

#include <malloc.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "sys/call.h"

// Marks in the program, which begins with its read-only data. In the text, the linker puts the functions of a start
// between the first and the last one, those of the container's side behind the middle one (cmake/startup.order). Where
// it was not given the list, they are anywhere.
extern "C" {
extern const char __executable_start[];
extern void _start();
void cloche_container_text_begin();
void cloche_startup_text_end();
}
[[gnu::used]] void cloche_container_text_begin() { asm volatile("nop"); }
[[gnu::used]] void cloche_startup_text_end() { asm volatile("nop; nop"); }

namespace cloche::sys {
namespace {

constexpr size_t kPage = 4096;  // a larger one is populated as well
constexpr size_t kMostText = 2 << 20;
constexpr size_t kConstants = 384 << 10;  // most of them, and some tables for exceptions
constexpr size_t kHeap = 120 << 10;  // below what malloc takes from mmap(2)
constexpr size_t kStack = 40 << 10;

void populate(uintptr_t begin, uintptr_t end, int advice) {
  begin &= ~(kPage - 1);
  raw_call(SYS_madvise, begin, end - begin, advice);
}

void populate_text(void (*from)()) {
  const auto begin = reinterpret_cast<uintptr_t>(from);
  const auto end = reinterpret_cast<uintptr_t>(&cloche_startup_text_end);
  if (begin >= end || end - begin > kMostText) return;
  populate(begin, end, MADV_POPULATE_READ);
  const auto constants = reinterpret_cast<uintptr_t>(&__executable_start[0]);
  if (constants + kConstants < begin) populate(constants, constants + kConstants, MADV_POPULATE_READ);
}

}  // namespace

void prefault_start() {
  populate_text(&_start);
  const auto here = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
  populate(here - kStack, here, MADV_POPULATE_WRITE);
  // Asked for and given back, it is the part that the next allocations come from: it must not go back to the kernel.
  mallopt(M_TRIM_THRESHOLD, 1 << 20);
  void* block = std::malloc(kHeap);
  if (block == nullptr) return;
  const auto heap = reinterpret_cast<uintptr_t>(block);
  populate(heap, heap + kHeap, MADV_POPULATE_WRITE);
  std::free(block);
}

void prefault_container_side() { populate_text(&cloche_container_text_begin); }

}  // namespace cloche::sys
