// Pages that every start uses, mapped by a few calls instead of by one fault each: madvise(2), MADV_POPULATE_READ and
// MADV_POPULATE_WRITE (Linux 5.14). docs/performance.md has what that is worth. Nothing fails here: what is not mapped
// beforehand is mapped when it is touched.
#pragma once

namespace cloche::sys {

// Once, before the work begins: the program text of a start, and the part of heap and stack that it comes to use.
void prefault_start();

// In the container's first process, after the clone: program text is not mapped in it. What both sides had written is
// left to be copied when one of them writes again; most of it never is.
void prefault_container_side();

}  // namespace cloche::sys
