// What is read out of criu's log, and the command line as it is shown.
#include "runtime/criu.h"

#include <gtest/gtest.h>

namespace cloche::runtime {
namespace {

TEST(Criu, TheReasonIsTheFirstErrorThatIsNoTrial) {
  EXPECT_EQ(criu_reason("(00.297246) Error (criu/tun.c:85): tun: Unable to create tun: No such file\n"
                        "(00.346964) Error (criu/files-reg.c:1710): Can't lookup mount=31 for fd=0 path=/x\n"
                        "(00.347285) Error (criu/cr-dump.c:1635): Dump files (pid: 116) failed with -1\n"
                        "(00.508369) Error (criu/cr-dump.c:2053): Dumping FAILED.\n"),
            "Can't lookup mount=31 for fd=0 path=/x");
}

TEST(Criu, AKernelItCannotWorkWithIsNamedByWhatWasTriedLast) {
  EXPECT_EQ(criu_reason(
                "Error (criu/vdso.c:381): vdso: Unexpected rt vDSO area bounds\n"
                "Error (criu/kerndat.c:1615): kerndat_vdso_fill_symtable failed when initializing kerndat.\n"
                "Error (criu/crtools.c:260): Could not initialize kernel features detection.\n"),
            "kerndat_vdso_fill_symtable failed when initializing kerndat.");
}

TEST(Criu, ALogWithoutErrorsGivesNoReason) {
  EXPECT_EQ(criu_reason(""), "");
  EXPECT_EQ(criu_reason("(00.1) Warn  (criu/net.c:3767): NSID isn't reported\nError ("), "");
}

TEST(Criu, ACommandIsShownAsAShellTakesIt) {
  EXPECT_EQ(shown({.program = "/usr/sbin/criu", .args = {"dump", "--external", "mnt[/a b]:c"}}),
            "/usr/sbin/criu dump --external 'mnt[/a b]:c'");
}

TEST(Criu, AProgramThatIsNotThereIsSaidWithItsPackage) {
  for (const char* name : {"no-such-criu", "/no/such/criu", "/etc/passwd"}) {
    const auto found = find_criu(name);
    ASSERT_FALSE(found) << name;
    EXPECT_NE(found.error().message().find("install the package criu"), std::string::npos);
    EXPECT_NE(found.error().message().find("--criu PATH"), std::string::npos);
  }
}

}  // namespace
}  // namespace cloche::runtime
