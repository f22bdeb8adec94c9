// A copy of a directory of the container, made before something covers it. Nothing is followed: each entry is opened
// by its name in a directory that is open already, and links are copied as links.
#pragma once

#include <string>

#include "sys/error.h"
#include "sys/fd.h"

namespace cloche::runtime {

// Which of the source directory's own attributes the target takes over.
struct CopiedTop {
  bool uid = true, gid = true, mode = true;
};

// Copies what is in the directory `from` into the empty directory `to`: files, directories, links, pipes, sockets and
// devices with owners, modes, times and extended attributes; hard links become files of their own. `proc` is a proc
// file system that shows this process. The value names what the kernel does not allow here: attributes that the
// target's file system lacks, devices in a user namespace, owners it does not map; "" when the copy is complete.
sys::Result<std::string> copy_tree(const sys::Fd& from, const sys::Fd& to, const sys::Fd& proc,
                                   const CopiedTop& top);

}  // namespace cloche::runtime
