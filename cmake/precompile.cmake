# Headers that most files include are parsed once per build. No file leans on it: clang-tidy, which scripts/lint runs
# without it, must find every include where it is needed.
option(CLOCHE_PRECOMPILE "Parse the large headers once per build" ON)

# cloche_precompiles(TARGET HEADERS...): the target that parses them.
function(cloche_precompiles target)
  if(CLOCHE_PRECOMPILE)
    target_precompile_headers(${target} PRIVATE ${ARGN}
      <algorithm> <array> <chrono> <cstdint> <expected> <filesystem> <fstream> <functional> <map> <memory> <optional>
      <set> <span> <sstream> <string> <string_view> <utility> <vector> <fmt/format.h> <fmt/ranges.h>)
    target_compile_options(${target} PUBLIC $<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess>)  # for ccache
  endif()
endfunction()

# cloche_precompiled(TARGET FROM): the target is compiled with the same options as FROM, and takes what that has parsed.
function(cloche_precompiled target from)
  if(CLOCHE_PRECOMPILE)
    target_precompile_headers(${target} REUSE_FROM ${from})
  endif()
endfunction()
