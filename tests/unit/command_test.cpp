#include "runtime/command.h"

#include <elf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "runtime/command_faults.h"

namespace cloche::runtime {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

class Command : public ::testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/command-test-XXXXXX";
    ASSERT_NE(mkdtemp(pattern), nullptr);
    directory_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string file(const std::string& name, const std::string& content, mode_t mode) {
    const std::string path = directory_ + "/" + name;
    std::ofstream(path, std::ios::binary) << content;
    chmod(path.c_str(), mode);
    return path;
  }
  static std::string explained(const std::string& path, int code) {
    sys::Error error{.code = code, .call = "execve()", .context = {}};
    explain_exec_failure(error, path);
    return error.context.empty() ? "" : error.context.back();
  }

  std::string directory_;
};

TEST(SearchPath, IsTheFirstPathOfTheEnvironmentOrTheUsualOne) {
  EXPECT_EQ(search_path_of({"XPATH=/x", "PATH=/a:/b", "PATH=/c"}), "/a:/b");
  EXPECT_EQ(search_path_of({"PATH="}), "");
  EXPECT_THAT(search_path_of({}), HasSubstr("/usr/bin"));
}

TEST_F(Command, IsFoundInTheOrderOfThePath) {
  std::filesystem::create_directories(directory_ + "/a");
  std::filesystem::create_directories(directory_ + "/b/tool");
  file("a/tool", "", 0755);
  const std::string path = directory_ + "/b:" + directory_ + "/a";
  EXPECT_EQ(find_command("tool", path).value(),
            directory_ + "/a/tool");  // a directory of that name is passed over
  EXPECT_EQ(find_command(directory_ + "/a/tool", "").value(), directory_ + "/a/tool");
}

TEST_F(Command, AnEmptyPartOfThePathIsNotTheWorkingDirectory) {
  file("tool", "", 0755);
  const auto here = std::filesystem::current_path();
  std::filesystem::current_path(directory_);
  EXPECT_FALSE(find_command("tool", "::"));
  EXPECT_FALSE(find_command("tool", ""));
  std::filesystem::current_path(here);
}

TEST_F(Command, TheWordsThatCallersLookForComeFirst) {
  const auto missing = find_command("no-such", directory_);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ENOENT);
  EXPECT_THAT(missing.error().message(), StartsWith("exec: \"no-such\": executable file not found in $PATH"));
  EXPECT_THAT(missing.error().context.front(), HasSubstr(kNotInPath.says));

  file("plain", "", 0644);
  const auto refused = find_command("plain", directory_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, EACCES);
  EXPECT_THAT(refused.error().message(), StartsWith("exec: \"plain\": permission denied"));
  EXPECT_THAT(refused.error().context.front(), HasSubstr(kNoExecuteBit.says));
  EXPECT_THAT(refused.error().context.front(), HasSubstr("its mode is 0644"));
}

TEST_F(Command, WhatCannotBeACommand) {
  const auto code_of = [](const std::string& command) {
    const auto found = find_command(command, "/usr/bin:/bin");
    return found ? 0 : found.error().code;
  };
  EXPECT_EQ(code_of(""), ENOENT);
  EXPECT_EQ(code_of(directory_), EISDIR);
  EXPECT_EQ(code_of("/dev/null"), EACCES);
  EXPECT_EQ(code_of("/etc/passwd/x"), ENOTDIR);
  EXPECT_EQ(code_of("/" + std::string(5000, 'x')), ENAMETOOLONG);
  EXPECT_EQ(code_of(std::string(300, 'x')), ENOENT);
}

TEST_F(Command, AMissingFileNamesThePartThatIsMissing) {
  const auto found = find_command(directory_ + "/no/such", "");
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().context.front(),
            directory_ + "/no/such: " + directory_ + "/no is not in the container");
  std::filesystem::create_symlink("/nowhere", directory_ + "/link");
  EXPECT_THAT(find_command(directory_ + "/link", "").error().context.front(), EndsWith("it says: /nowhere"));
}

TEST_F(Command, AnExecFailureIsReadFromTheFile) {
  EXPECT_THAT(explained(file("text", "echo\n", 0755), ENOEXEC), HasSubstr(kNoFormat.says));
  EXPECT_THAT(explained(file("empty", "", 0755), ENOEXEC), HasSubstr(kEmptyFile.says));
  EXPECT_THAT(explained(file("script", "#!\t /no/such -x\n", 0755), ENOENT),
              HasSubstr("is a script for /no/such,"));
  EXPECT_THAT(explained(file("dos", "#!/bin/sh\r\n", 0755), ENOENT), HasSubstr(kCarriageReturn.says));
  EXPECT_THAT(explained(file("bad", "#!/etc/passwd\n", 0755), EACCES), HasSubstr(kBadInterpreter.says));
  EXPECT_THAT(explained(directory_ + "/gone", ENOENT), HasSubstr(kMissingFile.says));
  // Nothing is made up where the file is not to blame.
  EXPECT_THAT(explained(file("fine", "#!/bin/sh\n", 0755), ENOMEM), IsEmpty());
  EXPECT_THAT(explained(file("text2", "echo\n", 0755), E2BIG), IsEmpty());
}

// Files made to mislead the reader of headers.
TEST_F(Command, HostileFilesAreRead) {
  EXPECT_THAT(explained(file("hash", "#!", 0755), ENOEXEC), IsEmpty());
  (void)explained(file("spaces", "#!   \t", 0755), ENOENT);
  (void)explained(file("magic",
                       "\x7f"
                       "ELF",
                       0755),
                  ENOEXEC);
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_phoff = ~uint64_t{0} - 8;  // wraps around when added to
  header.e_phnum = 0xffff;
  header.e_phentsize = 0xffff;
  EXPECT_THAT(explained(file("wrap", {reinterpret_cast<const char*>(&header), sizeof header}, 0755), ENOENT),
              IsEmpty());
  header.e_phoff = sizeof header;
  header.e_phnum = 1;
  Elf64_Phdr segment{};
  segment.p_type = PT_INTERP;
  segment.p_offset = 10;
  segment.p_filesz = ~uint64_t{0};
  std::string image(reinterpret_cast<const char*>(&header), sizeof header);
  image.append(reinterpret_cast<const char*>(&segment), sizeof segment);
  EXPECT_THAT(explained(file("huge", image, 0755), ENOENT), IsEmpty());
  const std::string fifo = directory_ + "/fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0755), 0);
  (void)explained(fifo, ENOEXEC);  // does not wait for a writer
}

TEST_F(Command, OtherMachinesAreNamedInEitherByteOrder) {
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2MSB;
  header.e_machine = static_cast<uint16_t>(EM_S390 << 8);
  const std::string image(reinterpret_cast<const char*>(&header), sizeof header);
  EXPECT_THAT(explained(file("s390", image, 0755), ENOEXEC),
              HasSubstr("is a program for s390x; this machine is"));
}

TEST(HomeOf, IsSlashForWhoIsNotListed) { EXPECT_EQ(home_of(4123456789U), "/"); }
TEST(HomeOf, IsTheFieldOfPasswd) { EXPECT_THAT(home_of(0), StartsWith("/")); }

// Each fault is found by its own words, before a more general one that shares some of them.
TEST(CommandFaults, AreToldApart) {
  for (size_t i = 0; i < std::size(kCommandFaults); ++i) {
    EXPECT_FALSE(kCommandFaults[i].remedy.empty());
    for (size_t j = 0; j < i; ++j)
      EXPECT_EQ(kCommandFaults[i].says.find(kCommandFaults[j].says), std::string_view::npos)
          << kCommandFaults[i].says;
  }
}

}  // namespace
}  // namespace cloche::runtime
