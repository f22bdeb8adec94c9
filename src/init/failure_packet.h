// The packet by which cloche-init tells that the command could not be executed: byte for byte what ContainerEnd::failed
// sends (runtime/protocol.h), in types that need no C library. src/runtime/init_program.cpp checks the layout.
#pragma once

#include <stdint.h>

namespace cloche::init {

struct [[gnu::packed]] FailurePacket {
  uint8_t protocol_version = 1;
  uint8_t message = 6;  // Message::failed
  uint32_t record_version = 1;
  uint32_t step = 0;
  int32_t code = 0;
  char call[600] = {};
  char context[600] = {};

  void fill(uint32_t failed_step, int32_t error, const char* path, const char* reason) {
    step = failed_step;
    code = error;
    unsigned at = 0;
    for (const char* from = "execve(\""; *from != '\0'; ++from) call[at++] = *from;
    for (; *path != '\0' && at < sizeof call - 3; ++path) call[at++] = *path;
    call[at++] = '"';
    call[at++] = ')';
    for (at = 0; reason[at] != '\0' && reason[at] != '\n' && at < sizeof context - 1; ++at)
      context[at] = reason[at];
  }
};

}  // namespace cloche::init
