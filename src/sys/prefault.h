// Pages that every start uses, mapped by a few calls instead of by one fault each (sys/populate.h). Most of that is done
// where the kernel enters (sys/entry.h); docs/performance.md has what it is worth.
#pragma once

namespace cloche::sys {

// Once, before the work begins: the part of the heap that a start comes to use.
void prefault_heap();

// In the container's first process, after the clone: program text is not mapped in it. What both sides had written is
// left to be copied when one of them writes again; most of it never is.
void prefault_container_side();

}  // namespace cloche::sys
