// Where the kernel enters the static programs: `cloche_entry` (cmake/programs.cmake) runs before the C library's own
// `_start`. What is done there is done before the first of some twenty page faults that the C library's start takes.
//
// Nothing of the C library may be called there, memset(3) included: how its functions are reached is not settled yet, and
// there is no thread-local storage. Files that run so early are named by cloche_before_c_library in cmake/, which also has
// a check look at what they ask for.
#pragma once

extern "C" {
// A program may define it, else it does nothing: the first thing that is done. It may execute another program, and must
// return otherwise.
[[gnu::weak]] void cloche_at_entry(char** argv, char** envp);
}
