#include "runtime/init_program.h"

#include <cstddef>
#include <string_view>

#include "init/failure_packet.h"
#include "runtime/protocol.h"
#include "runtime/shared_record.h"
#include "sys/files.h"

// The bytes of src/init/'s program; CLOCHE_INIT_PROGRAM is its path, given by CMake.
asm(".section .rodata\n"
    ".globl cloche_init_begin\n.globl cloche_init_end\n"
    "cloche_init_begin:\n.incbin \"" CLOCHE_INIT_PROGRAM
    "\"\ncloche_init_end:\n"
    ".previous\n");
extern "C" const char cloche_init_begin[];
extern "C" const char cloche_init_end[];

namespace cloche::runtime {

// Two descriptions of one packet, held together here: the init has no C library to share the first with.
static_assert(sizeof(init::FailurePacket) == 2 + sizeof(FailureRecord));
static_assert(offsetof(init::FailurePacket, step) == 2 + offsetof(FailureRecord, step));
static_assert(offsetof(init::FailurePacket, code) == 2 + offsetof(FailureRecord, code));
static_assert(offsetof(init::FailurePacket, call) == 2 + offsetof(FailureRecord, call));
static_assert(offsetof(init::FailurePacket, context) == 2 + offsetof(FailureRecord, context));
static_assert(static_cast<int>(Message::failed) == 6 && kProtocolVersion == 1 &&
              FailureRecord::kVersion == 1);

sys::Result<sys::Fd> init_program() {
  return sys::sealed_memory_file("cloche-init", std::string_view(cloche_init_begin, cloche_init_end));
}

}  // namespace cloche::runtime
