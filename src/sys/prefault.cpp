#include "sys/prefault.h"

#include <malloc.h>

#include <cstdint>
#include <cstdlib>

#include "sys/populate.h"

[[gnu::used]] void cloche_startup_text_begin() { asm volatile("nop"); }
[[gnu::used]] void cloche_container_text_end() { asm volatile("nop; nop"); }
[[gnu::used]] void cloche_startup_text_end() { asm volatile("nop; nop; nop"); }

namespace cloche::sys {

void prefault_heap() {
  constexpr size_t kHeap = 120 << 10;  // below what malloc takes from mmap(2)
  // Asked for and given back, it is the part that the next allocations come from: it must not go back to the kernel.
  mallopt(M_TRIM_THRESHOLD, 1 << 20);
  void* block = std::malloc(kHeap);
  if (block == nullptr) return;
  const auto heap = reinterpret_cast<uintptr_t>(block);
  populate(heap, heap + kHeap, MADV_POPULATE_WRITE);
  std::free(block);
}

void prefault_container_side() { populate_text(&cloche_container_text_end); }

}  // namespace cloche::sys
