// Where this build is from, and where its programs are.
#pragma once

#include <filesystem>

namespace cloche::test {

[[nodiscard]] std::filesystem::path source_directory();   // the repository
[[nodiscard]] std::filesystem::path program_directory();  // "…/build/release/bin"

}  // namespace cloche::test
