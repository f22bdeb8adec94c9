// What can be wrong with a command: the words by which an error says it, and what to do about it. The container side
// writes the words (command.cpp), the host side reads them (diagnose.cpp); both take them from here.
#pragma once

#include <string_view>

namespace cloche::runtime {

struct CommandFault {
  std::string_view says, remedy;
};

inline constexpr CommandFault kNotInPath{
    "is in no directory of PATH inside the container",
    "check the spelling, give the whole path, or set PATH with -e PATH=..."};
inline constexpr CommandFault kMissingFile{
    "is not in the container", "check the path as it is seen from inside: cloche run ... -- ls -l DIRECTORY"};
inline constexpr CommandFault kDanglingLink{
    "is a symbolic link to nothing in the container, it says",
    "show what it points to inside as well (-v), or name that file itself"};
inline constexpr CommandFault kDirectory{"is a directory, not a program", "name a program in it"};
inline constexpr CommandFault kNoProgram{"is no regular file, so no program",
                                         "name a file that can be executed"};
inline constexpr CommandFault kNoExecuteBit{"has no execute permission",
                                            "chmod +x the file, or give it to its interpreter: sh FILE"};
inline constexpr CommandFault kNoExecMount{
    "is on a mount with the option noexec",
    "put the program elsewhere, or mount with exec: -v SOURCE:TARGET:exec, --tmpfs TARGET:exec"};
inline constexpr CommandFault kClosedDirectory{"is closed to the user",
                                               "chmod o+x that directory, or use another --user"};
inline constexpr CommandFault kOtherMachine{
    "is a program for",
    "use a program built for this machine, or as root: apt-get install qemu-user-static binfmt-support"};
inline constexpr CommandFault kNoLoader{
    "needs the ELF loader",
    "add the C library that it was linked with to the root file system, or link it statically"};
inline constexpr CommandFault kBrokenElf{
    "is an ELF file that the kernel cannot load",
    "it may be cut short or no program at all: look at it with readelf -hl FILE"};
inline constexpr CommandFault kNoInterpreter{"is a script for",
                                             "add that interpreter, or correct the script's first line"};
inline constexpr CommandFault kBadInterpreter{
    "names an interpreter that cannot be executed",
    "correct the script's first line, or the interpreter's permissions"};
inline constexpr CommandFault kCarriageReturn{"ends its first line in a carriage return (DOS line ends)",
                                              "convert the file: sed -i 's/\\r$//' FILE"};
inline constexpr CommandFault kEmptyFile{"is an empty file",
                                         "it may have been copied or built only in part: make it again"};
inline constexpr CommandFault kNoFormat{"is neither an ELF program nor a script with a \"#!\" line",
                                        "a shell script needs #!/bin/sh as its first line; or give it to its "
                                        "interpreter: sh FILE"};

// The more particular before the more general: "is not in the container" ends other sentences too.
inline constexpr CommandFault kCommandFaults[] = {
    kNotInPath,       kDanglingLink, kDirectory, kNoProgram,  kNoExecuteBit,  kNoExecMount,
    kClosedDirectory, kOtherMachine, kNoLoader,  kBrokenElf,  kNoInterpreter, kBadInterpreter,
    kCarriageReturn,  kEmptyFile,    kNoFormat,  kMissingFile};

}  // namespace cloche::runtime
