// Keeping the runtime's own file from a container: whoever is root in one without a user namespace could write it by way
// of /proc/PID/exe of a process that has joined (CVE-2019-5736).
#pragma once

#include "sys/error.h"

namespace cloche::runtime {

// For run_sealed(): main's own, which must stay.
void remember_arguments(char** argv);

// What runs is a file that cannot be written by way of /proc/PID/exe: in a read-only overlay, or a sealed memory file.
[[nodiscard]] bool runs_sealed();

// Executes this program again, with the same arguments and environment, as it is in a read-only overlay or, where none
// can be had, from a sealed memory file. Returns at once where runs_sealed() is true already; else only on failure.
sys::Result<> run_sealed();

}  // namespace cloche::runtime
