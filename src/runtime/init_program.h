// The small init of --init, embedded at build time (src/init/).
#pragma once

#include "sys/error.h"
#include "sys/fd.h"

namespace cloche::runtime {

// A sealed memory file that holds the program: executed from there, it is no file of any file system.
sys::Result<sys::Fd> init_program();

}  // namespace cloche::runtime
