// The types of runtime.h as JSON, which read.h reads back to the same value.
#pragma once

#include <string>

#include "spec/runtime.h"

namespace cloche::spec {

enum class Layout { compact, indented };  // indented: with tabs, and a newline at the end

// Left out: absent optionals, and empty strings, arrays and maps. Numbers and booleans are always written, also when
// zero: the specification requires some of them, and none of them changes its meaning by being said. A string that is
// not UTF-8 cannot come from a reader; such a byte is written as U+FFFD.
std::string to_json(const Spec& spec, Layout layout = Layout::indented);
std::string to_json(const Process& process, Layout layout = Layout::indented);
std::string to_json(const Resources& resources, Layout layout = Layout::indented);
std::string to_json(const Seccomp& seccomp, Layout layout = Layout::indented);

// One JSON string with its quotes, for those who write JSON of their own.
void append_json_string(std::string& out, std::string_view text);

}  // namespace cloche::spec
