// Class 18: address families whose kernel code no container needs (AF_ALG: CVE-2026-31431; AF_VSOCK), under the default
// filter of `cloche run`, by every way into the kernel that a process of this machine has.
//
// Seen to fail: with AF_ALG and io_uring_setup in the profile, and with other architectures let through. Other runtimes
// bring no filter of their own.
#include <sstream>

#include "security/security.h"
#include "support/box.h"

namespace cloche::test {
namespace {

class Sockets : public SecurityTest {
 protected:
  // What `probe sockets HOW` says in a container with these flags: family -> its four answers (stream, datagram, raw,
  // seqpacket), each "made", an errno's number, "killed" (SIGSYS) or "signal-N".
  static std::map<int, std::string> answers(const std::string& how, std::vector<std::string> flags) {
    flags.insert(flags.end(), {"-v", program("cloche_security_probe") + ":/mnt/probe:ro"});
    std::vector<std::string> argv{program("cloche"), "run"};
    argv.insert(argv.end(), flags.begin(), flags.end());
    argv.insert(argv.end(), {"host", "--", "/mnt/probe", "sockets", how});
    const Outcome outcome = test::run({.argv = argv});
    EXPECT_TRUE(outcome.ok()) << outcome.describe();
    std::map<int, std::string> found;
    std::istringstream lines(outcome.out);
    int family = 0;
    for (std::string rest; lines >> family && std::getline(lines, rest);) found[family] = rest.substr(1);
    return found;
  }
};

constexpr const char kRefused[] = "1 1 1 1";  // EPERM
const std::vector<std::vector<std::string>> kFlags{{},
                                                   {"--cap-add", "NET_RAW"},
                                                   {"--cap-add", "ALL"},
                                                   {"--user", "1000"},
                                                   {"--net", "host"},
                                                   {"--new-privileges"}};

TEST_F(Sockets, FourFamiliesAreMade) {
  constexpr int kUnix = 1, kInet = 2, kInet6 = 10, kNetlink = 16, kPacket = 17;
  int calls = 0;
  for (const auto& flags : kFlags) {
    const auto said = answers("native", flags);
    const bool raw = !flags.empty() && flags[0] == "--cap-add";
    ASSERT_EQ(said.size(), 46U);
    for (const auto& [family, answer] : said) {
      ++calls;
      const bool let = family == kUnix || family == kInet || family == kInet6 || family == kNetlink ||
                       (raw && family == kPacket);
      if (let)
        EXPECT_TRUE(answer.contains("made")) << family << ": " << answer;
      else
        EXPECT_EQ(answer, kRefused) << family;
    }
  }
  tried(
      "46 families x 4 types, {} rights of the container: {} families asked, those of 4 (with NET_RAW 5) "
      "made",
      kFlags.size(), calls);
}

TEST_F(Sockets, NoOtherArchitecturesDoor) {
#if !defined(__x86_64__)
  GTEST_SKIP() << "needs x86-64: the other doors are its own";
#else
  int calls = 0;
  // A kernel without i386 (ia32_emulation=0) has no int 0x80: whoever tries gets SIGSEGV, outside of a container too.
  const auto closed = [](const std::string& how) {
    const Outcome outside = test::run({.argv = {program("cloche_security_probe"), "sockets", how}});
    return outside.out.starts_with("0 signal-11 ");
  };
  for (const auto& flags : {std::vector<std::string>{}, {"--cap-add", "ALL"}})
    for (const char* how : {"int80", "int80-socketcall", "x32"}) {
      const std::string ended =
          closed(how) ? "signal-11 signal-11 signal-11 signal-11" : "killed killed killed killed";
      const auto said = answers(how, flags);
      ASSERT_EQ(said.size(), 46U) << how;
      for (const auto& [family, answer] : said) {
        EXPECT_FALSE(answer.contains("made")) << how << " " << family << ": " << answer;
        // The filter names one architecture: a call of another ends the process.
        EXPECT_EQ(answer, ended) << how << " " << family;
        calls += 4;
      }
    }
  tried("int 0x80 (socket, socketcall) and x32: {} calls, every one ended the process", calls);
#endif
}

// A config's filter refuses at every door that it names, and ends whoever comes by another one.
TEST_F(Sockets, AConfigsFilterHoldsForItsArchitectures) {
#if !defined(__x86_64__)
  GTEST_SKIP() << "needs x86-64: the other doors are its own";
#else
  if (peer()) GTEST_SKIP() << "needs Cloche: others answer x32 as the kernel does";
  constexpr const char kRefusedHere[] = "0 95 95 95 95\n",
                       kEnded[] = "0 killed killed killed killed\n";  // EOPNOTSUPP
  const auto first = [&](const std::string& how, const spec::Strings& architectures) {
    auto box = image({"probe", "sockets", how});
    box.config.linux_->seccomp = spec::Seccomp{
        .defaultAction = "SCMP_ACT_ALLOW",
        .architectures = architectures,
        .syscalls = {{.names = {"socket"}, .action = "SCMP_ACT_ERRNO", .errnoRet = 95, .args = {}}}};
    const Outcome outcome = run(box);
    EXPECT_TRUE(outcome.ok()) << outcome.describe();
    return outcome.out.substr(0, outcome.out.find('\n') + 1);
  };
  const spec::Strings own{"SCMP_ARCH_X86_64"}, all{"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"};
  for (const auto& architectures : {spec::Strings{}, own, all})
    EXPECT_EQ(first("native", architectures), kRefusedHere);
  for (const auto& architectures : {spec::Strings{}, own}) EXPECT_EQ(first("x32", architectures), kEnded);
  EXPECT_EQ(first("x32", all), kRefusedHere);
  const Outcome outside = test::run({.argv = {program("cloche_security_probe"), "sockets", "int80"}});
  if (outside.out.starts_with("0 signal-11 ")) return;  // a kernel without i386
  EXPECT_EQ(first("int80", own), kEnded);
  EXPECT_EQ(first("int80", all), kRefusedHere);
#endif
}

// io_uring makes sockets too (IORING_OP_SOCKET), where no filter sees the family.
TEST_F(Sockets, NoRingBesideTheFilter) {
  for (const auto& flags : kFlags) {
    std::vector<std::string> all = flags;
    all.insert(all.end(), {"-v", program("cloche_security_probe") + ":/mnt/probe:ro"});
    const Outcome outcome = run_box(all, "/mnt/probe ring");
    EXPECT_EQ(outcome.out, "io_uring_setup: Operation not permitted\n") << outcome.describe();
  }
  tried("io_uring_setup with {} rights", kFlags.size());
}

}  // namespace
}  // namespace cloche::test
