# Compiler options that every target of ours shares, as one interface target.
add_library(cloche_options INTERFACE)
# -iquote, not -I: our "sys/…" must never stand in for the C library's <sys/…>.
target_compile_options(cloche_options INTERFACE "SHELL:-iquote ${CMAKE_SOURCE_DIR}/src")
target_compile_definitions(cloche_options INTERFACE _GNU_SOURCE)
target_compile_options(cloche_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Werror=return-type
  -Wno-missing-field-initializers -ffunction-sections -fdata-sections)
# False alarms of GCC 12: overlapping copies in "literal" + std::string (its bug 105651), members of a std::variant that
# holds another alternative; and, of precompiled headers only, as if they were no system headers, copies beyond the end
# where a std::string is moved.
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  target_compile_options(cloche_options INTERFACE -Wno-restrict)
  if(CLOCHE_PRECOMPILE)
    target_compile_options(cloche_options INTERFACE -Wno-array-bounds -Wno-stringop-overflow -Wno-stringop-overread)
  endif()
  target_compile_options(cloche_options INTERFACE -Wno-maybe-uninitialized)
endif()
if(CLOCHE_SANITIZE)
  add_compile_options(-fsanitize=${CLOCHE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=undefined)
  add_link_options(-fsanitize=${CLOCHE_SANITIZE})
endif()
if(CLOCHE_FUZZ)
  # libFuzzer is blind to what is not instrumented: the layers need its coverage, not only the targets.
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

# Boost is used from its headers; Boost.JSON is compiled once, in src/spec/.
find_package(Boost 1.81 REQUIRED)

# cloche_layer(NAME ROOM DEPENDS...): one layer of the house as a static library. A layer sees only the layers it
# names, so an include that reaches upwards does not link.
function(cloche_layer name)
  cmake_parse_arguments(ARG "" "" "DEPENDS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS *.cpp)
  add_library(cloche_${name} STATIC ${sources})
  target_link_libraries(cloche_${name} PUBLIC cloche_options ${ARG_DEPENDS})
  if(name STREQUAL sys)
    cloche_precompiles(cloche_sys)
  else()
    cloche_precompiled(cloche_${name} cloche_sys)
  endif()
  set_property(GLOBAL APPEND PROPERTY CLOCHE_LAYERS cloche_${name})
endfunction()
