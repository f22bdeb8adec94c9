# Programs, and what of them is installed.

# Builds the programs without the tests: what `make demo` needs.
add_custom_target(programs)

# cloche_program(NAME SOURCES... DEPENDS LAYERS...): one program in bin/, installed there.
function(cloche_program name)
  cmake_parse_arguments(ARG "" "" "DEPENDS" ${ARGN})
  add_executable(${name} ${ARG_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PRIVATE cloche_options ${ARG_DEPENDS})
  cloche_precompiled(${name} cloche_sys)
  add_dependencies(programs ${name})
  install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endfunction()

# What a start executes lies together in the file, in the order of startup.order (scripts/order writes it): a program is
# mapped by the 64 KiB where it is executed, and that is most of what a start costs in memory, and much of its time
# (docs/performance.md). Only lld takes such a list; without it the programs are larger in memory, and else the same.
find_program(CLOCHE_LLD ld.lld)
if(NOT CLOCHE_LLD)
  message(STATUS "no ld.lld: the programs are linked without startup.order, and start slower")
endif()
function(cloche_order_text name)
  if(NOT CLOCHE_LLD OR NOT CMAKE_BUILD_TYPE STREQUAL Release)
    return()
  endif()
  set(order ${CMAKE_SOURCE_DIR}/cmake/startup.order)
  target_link_options(${name} PRIVATE -fuse-ld=lld -Wl,--symbol-ordering-file=${order} -Wl,--no-warn-symbol-ordering)
  set_property(TARGET ${name} APPEND PROPERTY LINK_DEPENDS ${order})
  set_property(GLOBAL APPEND PROPERTY CLOCHE_ORDERED $<TARGET_FILE:${name}>)
endfunction()

# Files of a target that run before the C library has begun (sys/entry.h).
function(cloche_before_c_library target)
  foreach(file ${ARGN})
    set_source_files_properties(${file} PROPERTIES SKIP_PRECOMPILE_HEADERS ON COMPILE_OPTIONS
      "-O2;-ffreestanding;-fno-builtin;-fno-stack-protector;-fno-sanitize=all;-fno-exceptions;-fno-threadsafe-statics")
    string(REPLACE "." "-" name ${file})
    add_test(NAME ${name}-needs-no-c-library COMMAND ${CMAKE_SOURCE_DIR}/scripts/check-before-c-library
             $<FILTER:$<TARGET_OBJECTS:${target}>,INCLUDE,/${file}.o$>)
    set_tests_properties(${name}-needs-no-c-library PROPERTIES LABELS check)
  endforeach()
endfunction()

# The same, linked fully static: it starts without the dynamic loader, and can be copied into a sealed memory file
# and executed from there. A sanitized build stays dynamic, since the sanitizers have no static runtime.
function(cloche_static_program name)
  cloche_program(${name} ${ARGN})
  if(NOT CLOCHE_SANITIZE)
    # not position independent: no relocations to apply before main
    target_link_options(${name} PRIVATE -static -no-pie -Wl,--gc-sections -Wl,-u,cloche_entry,-e,cloche_entry
      -Wl,-z,relro,-z,now,-z,noexecstack)
    cloche_order_text(${name})
    add_test(NAME ${name}-links-no-shared-library
             COMMAND ${CMAKE_SOURCE_DIR}/scripts/check-static $<TARGET_FILE:${name}>)
    add_test(NAME ${name}-is-entered-before-the-c-library
             COMMAND ${CMAKE_SOURCE_DIR}/scripts/check-entry $<TARGET_FILE:${name}>)
    set_tests_properties(${name}-links-no-shared-library ${name}-is-entered-before-the-c-library
      PROPERTIES LABELS check)
  endif()
endfunction()

install(FILES LICENSE README.md CHANGELOG.md SECURITY.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
