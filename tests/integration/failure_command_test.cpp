// The command that cannot be run: docs/errors.md, "The command".
#include <elf.h>
#include <unistd.h>

#include <cstring>
#include <iterator>

#include "failure_support.h"

namespace cloche::test {
namespace {

class CommandFailure : public Failure {
 protected:
  // Runs /t/NAME of the scratch directory.
  Outcome run_file(const std::string& name, const std::string& option = "ro") {
    return cloche_run({"-v", fmt::format("{}:/t:{}", scratch(), option), "host", "--", "/t/" + name});
  }
};

std::string elf_header(unsigned char bits, uint16_t machine) {
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = bits;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_ident[EI_VERSION] = EV_CURRENT;
  header.e_type = ET_EXEC;
  header.e_machine = machine;
  header.e_version = EV_CURRENT;
  return {reinterpret_cast<const char*>(&header), sizeof header};
}

TEST_F(CommandFailure, NotInPath) {
  CLOCHE_NEEDS(needs::root());
  const Outcome outcome = cloche_run({"host", "--", "no-such-command"});
  expect(outcome, {127, "\"no-such-command\" is in no directory of PATH", "command",
                   "newfstatat(AT_FDCWD, \"DIRECTORY/no-such-command\")", "-ENOENT", "check the spelling"});
  EXPECT_THAT(flat(outcome.err), HasSubstr("exec: \"no-such-command\": executable file not found in $PATH"));
}

TEST_F(CommandFailure, NotThere) {
  CLOCHE_NEEDS(needs::root());
  expect(cloche_run({"host", "--", "/no/such/file"}),
         {127, "/no/such/file: /no is not in the container", "command",
          "newfstatat(AT_FDCWD, \"/no/such/file\")", "-ENOENT", "as it is seen from inside"});
}

TEST_F(CommandFailure, ALinkToNothing) {
  CLOCHE_NEEDS(needs::root());
  std::filesystem::create_symlink("/nowhere/at/all", scratch() + "/link");
  expect(run_file("link"),
         {127, "/t/link is a symbolic link to nothing in the container, it says: /nowhere/at/all", "command",
          "newfstatat", "-ENOENT", "what it points to"});
}

TEST_F(CommandFailure, NotExecutable) {
  CLOCHE_NEEDS(needs::root());
  file("plain", "#!/bin/sh\n", 0644);
  expect(run_file("plain"), {126, "/t/plain has no execute permission for the user 0 (its mode is 0644",
                             "command", "faccessat2(AT_FDCWD, \"/t/plain\", X_OK", "-EACCES", "chmod +x"});
}

TEST_F(CommandFailure, NotExecutableForAnotherUserOfTheContainer) {
  CLOCHE_NEEDS(needs::root());
  // Owned by the container's root, which may execute it.
  const Outcome map = cloche_run({"host", "--", "awk", "{print $2}", "/proc/self/uid_map"});
  ASSERT_TRUE(map.ok()) << map.describe();
  const uid_t owner = static_cast<uid_t>(std::stoul(map.out));
  ASSERT_EQ(chown(file("mine", "#!/bin/sh\n", 0700).c_str(), owner, owner), 0);
  expect(cloche_run({"--user", "1234", "--cap-drop", "DAC_OVERRIDE", "-v", scratch() + ":/t", "host", "--",
                     "/t/mine"}),
         {126, "/t/mine has no execute permission for the user 1234", "exec", "execve(\"/t/mine\"", "-EACCES",
          "chmod +x"});
}

TEST_F(CommandFailure, ADirectory) {
  CLOCHE_NEEDS(needs::root());
  std::filesystem::create_directory(scratch() + "/dir");
  expect(run_file("dir"), {126, "/t/dir is a directory, not a program", "command", "is a directory", "EISDIR",
                           "name a program"});
}

TEST_F(CommandFailure, OnANoexecMount) {
  CLOCHE_NEEDS(needs::root());
  file("script", "#!/bin/sh\n", 0755);
  expect(run_file("script", "noexec"), {126, "/t/script is on a mount with the option noexec", "command",
                                        "faccessat2", "-EACCES", "mount with exec"});
}

TEST_F(CommandFailure, OfAnotherArchitecture) {
  CLOCHE_NEEDS(needs::root());
#if defined(__x86_64__)
  file("other", elf_header(ELFCLASS64, EM_AARCH64), 0755);
  const std::string name = "arm64";
#else
  file("other", elf_header(ELFCLASS64, EM_X86_64), 0755);
  const std::string name = "x86-64";
#endif
  expect(run_file("other"), {126, fmt::format("/t/other is a program for {}; this machine is", name), "exec",
                             "execve(\"/t/other\"", "-ENOEXEC", "qemu-user-static"});
}

TEST_F(CommandFailure, OfAnotherWordSize) {
  CLOCHE_NEEDS(needs::root());
  file("small", elf_header(ELFCLASS32, EM_386), 0755);
  expect(run_file("small"), {126, "/t/small is a program for x86 (32 bit)", "exec", "execve", "-ENOEXEC",
                             "built for this machine"});
}

TEST_F(CommandFailure, WithoutItsLoader) {
  CLOCHE_NEEDS(needs::root());
  std::ifstream source("/bin/true", std::ios::binary);
  std::string image{std::istreambuf_iterator<char>(source), {}};
  Elf64_Ehdr header;
  std::memcpy(&header, image.data(), sizeof header);
  bool patched = false;
  for (unsigned i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment;
    std::memcpy(&segment, image.data() + header.e_phoff + uint64_t{i} * header.e_phentsize, sizeof segment);
    if (segment.p_type != PT_INTERP) continue;
    image.replace(segment.p_offset, 5, "/gone");
    patched = true;
  }
  ASSERT_TRUE(patched) << "/bin/true is static here";
  file("unloadable", image, 0755);
  expect(run_file("unloadable"),
         {127, "/t/unloadable needs the ELF loader /gone", "exec", "execve", "-ENOENT", "C library"});
}

TEST_F(CommandFailure, ATruncatedProgram) {
  CLOCHE_NEEDS(needs::root());
#if defined(__x86_64__)
  file("cut", elf_header(ELFCLASS64, EM_X86_64), 0755);
#else
  file("cut", elf_header(ELFCLASS64, EM_AARCH64), 0755);
#endif
  expect(run_file("cut"),
         {126, "/t/cut is an ELF file that the kernel cannot load", "exec", "execve", "-ENOEXEC", "readelf"});
}

TEST_F(CommandFailure, WithoutItsInterpreter) {
  CLOCHE_NEEDS(needs::root());
  file("script", "#! /no/such/python -u\n", 0755);
  expect(run_file("script"), {127, "/t/script is a script for /no/such/python, which is not in the container",
                              "exec", "execve", "-ENOENT", "add that interpreter"});
}

TEST_F(CommandFailure, WithDosLineEnds) {
  CLOCHE_NEEDS(needs::root());
  file("dos", "#!/bin/sh\r\necho no\r\n", 0755);
  expect(run_file("dos"), {127, "/t/dos ends its first line in a carriage return (DOS line ends)", "exec",
                           "execve", "-ENOENT", "sed -i 's/\\r$//'"});
}

TEST_F(CommandFailure, WithoutAFirstLine) {
  CLOCHE_NEEDS(needs::root());
  file("text", "echo no\n", 0755);
  expect(run_file("text"), {126, "neither an ELF program nor a script with a \"#!\" line", "exec", "execve",
                            "-ENOEXEC", "#!/bin/sh as its first line"});
  file("empty", "", 0755);
  expect(run_file("empty"),
         {126, "/t/empty is an empty file", "exec", "execve", "-ENOEXEC", "make it again"});
}

TEST_F(CommandFailure, TheTextHasNoEscapesWhereNobodyAskedForColour) {
  CLOCHE_NEEDS(needs::root());
  const Outcome outcome = cloche_run({"host", "--", "\x1b[31mevil\x1b[0m"});
  EXPECT_EQ(outcome.exit_code, 127);
  EXPECT_THAT(outcome.err, Not(HasSubstr("\x1b")));
}

TEST_F(CommandFailure, ARelativePathIsThatOfTheWorkingDirectory) {
  CLOCHE_NEEDS(needs::root());
  file("here", "#!/bin/sh\necho ran\n", 0755);
  const Outcome outcome = cloche_run({"-v", scratch() + ":/t", "-w", "/t", "host", "--", "./here"});
  EXPECT_EQ(outcome.out, "ran\n") << outcome.describe();
}

}  // namespace
}  // namespace cloche::test
