// What a file is besides its name, to read it and to give it to another: entries, bytes, times, extended attributes.
#pragma once

#include <sys/stat.h>

#include <string>
#include <string_view>
#include <vector>

#include "sys/error.h"
#include "sys/fd.h"

namespace cloche::sys {

// The names in an open directory, without "." and "..", in no order: getdents64(2).
Result<std::vector<std::string>> list_directory(const Fd& directory);

// Appends nothing: `to` gets the bytes of `from` at the same places, holes stay holes, and the same size. Both are
// regular files open for it; sendfile(2), lseek(2) with SEEK_DATA.
Result<> copy_content(const Fd& from, const Fd& to);

// utimensat(2) of an entry itself (never of what a link points to); "" is what `dirfd` names.
Result<> set_times(int dirfd, const std::string& name, const struct stat& like);

// Names of extended attributes, xattr(7). A file system without any has none. Not with O_PATH.
Result<std::vector<std::string>> list_attributes(const Fd& file);
Result<std::string> get_attribute(const Fd& file, const std::string& name);
Result<> set_attribute(const Fd& file, const std::string& name, std::string_view value);

}  // namespace cloche::sys
