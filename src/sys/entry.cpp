#include "sys/entry.h"

#include <cstdint>

#include "sys/populate.h"

extern "C" {
extern const char _GLOBAL_OFFSET_TABLE_[], _end[];  // the linker's
[[gnu::used]] void cloche_before_start(long* stack);
}

#define CLOCHE_ENTRY                                                              \
  ".pushsection .text.cloche_entry,\"ax\",@progbits\n.globl cloche_entry\n.type " \
  "cloche_entry,@function\ncloche_entry:\n"

// argc, argv and envp are on the stack (x86-64 psABI, 3.4.1), which is left as it was found.
#if defined(__x86_64__)
asm(CLOCHE_ENTRY
    "  xor %ebp, %ebp\n  mov %rsp, %rdi\n  call cloche_before_start\n"
    "  xor %edx, %edx\n  jmp _start\n.popsection\n");
#elif defined(__aarch64__)
asm(CLOCHE_ENTRY
    "  mov x29, #0\n  mov x0, sp\n  bl cloche_before_start\n"
    "  mov x0, #0\n  mov x30, #0\n  b _start\n.popsection\n");
#endif

void cloche_at_entry(char** /*argv*/, char** /*envp*/) {}

void cloche_before_start(long* stack) {
  constexpr uintptr_t kStack = 40 << 10;
  // Of the linker, which are read-only afterwards; the last of them has a name.
  constexpr uintptr_t kTables = 8 << 10;
  char** argv = reinterpret_cast<char**>(stack + 1);
  cloche_at_entry(argv, argv + *stack + 1);
  cloche::sys::populate_text(&cloche_startup_text_end);
  cloche::sys::populate_constants();
  cloche::sys::populate(reinterpret_cast<uintptr_t>(_GLOBAL_OFFSET_TABLE_) - kTables,
                        reinterpret_cast<uintptr_t>(_end), MADV_POPULATE_WRITE);
  const auto here = reinterpret_cast<uintptr_t>(stack);
  cloche::sys::populate(here - kStack, here, MADV_POPULATE_WRITE);
}
