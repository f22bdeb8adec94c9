// Class 7: who the process is, made out of words and of the image's files (CVE-2016-3697, CVE-2024-40635; groups:
// CVE-2022-36109, CVE-2022-2989).
//
// Seen to fail before it was mended: a FIFO as the host's passwd hung every `cloche run`, an empty --user was root, a
// user whose gid in passwd is no number got the group 0, and the primary group could be left. No version of a runtime with
// these holes was at hand: the first was in runc before 0.1, the others in engines.
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <filesystem>
#include <fstream>

#include "security/security.h"
#include "spec/write.h"

namespace cloche::test {
namespace {
namespace fs = std::filesystem;

constexpr const char kPasswd[] =
    "root:x:0:0:root:/root:/bin/sh\n"
    "alice:x:1001:2001::/:/bin/sh\n"
    "1005:x:0:0:digits as a name:/:/bin/sh\n"
    "alice:x:0:0:the second of the name:/:/bin/sh\n"
    "twin:x:1001:0:another of her number:/:/bin/sh\n"
    "zeros:x:01003:2003::/:/bin/sh\n"
    "huge:x:4294967296:0::/:\nall:x:4294967295:0::/:\nwrap:x:18446744073709551616:0::/:\n"
    "minus:x:-1:0::/:\nplus:x:+0:0::/:\nspace:x: "
    "0:0::/:\nhex:x:0x0:0::/:\nempty:x::0::/:\nword:x:root:0::/:\n"
    "badgid:x:1002:4294967296::/:\nnogid:x:1002:::/:\nshort:x:0\n:x:0:0:no name:/:\n"
    "bob\t:x:0:0::/:\n# comment:x:0:0::/:\ncr:x:1004:2004::/:/bin/sh\r\n";
constexpr const char kGroup[] =
    "root:x:0:\nstaff:x:50:alice\n2001:x:0:\nbig:x:4294967296:\nnone:x::\nstaff:x:0:\n";

struct Row {
  const char *text, *ids;  // "UID GID GROUPS"; nullptr: refused
};
constexpr Row kRows[] = {{"0", "0 0"},
                         {"00", "0 0"},
                         {"root", "0 0"},
                         {"0:0", "0 0"},
                         {"root:root", "0 0"},
                         {"1", "1 0 0"},
                         {"1:1", "1 1 1"},
                         {"1001", "1001 2001 2001"},
                         {"01001", "1001 2001 2001"},
                         {"1003", "1003 2003 2003"},
                         {"zeros", "1003 2003 2003"},
                         {"cr", "1004 2004 2004"},
                         {"alice", "1001 2001 2001"},
                         {"alice:staff", "1001 50 50"},
                         {"alice:7", "1001 7 7"},
                         {"alice:0", "1001 0 0"},
                         {"1005", "1005 0 0"},
                         {"1:2001", "1 2001 2001"},
                         {"twin", "1001 0 0"},
                         // Nothing of these is anybody.
                         {"", nullptr},
                         {":", nullptr},
                         {":0", nullptr},
                         {"0:", nullptr},
                         {":staff", nullptr},
                         {"alice:", nullptr},
                         {"::", nullptr},
                         {"0:0:0", nullptr},
                         {"alice:staff:x", nullptr},
                         {"-0", nullptr},
                         {"+0", nullptr},
                         {"-1", nullptr},
                         {"0:-1", nullptr},
                         {"-1:-1", nullptr},
                         {" 0", nullptr},
                         {"0 ", nullptr},
                         {"0x0", nullptr},
                         {"0b0", nullptr},
                         {"1e3", nullptr},
                         {"0.0", nullptr},
                         {"0,0", nullptr},
                         {"4294967295", nullptr},
                         {"4294967296", nullptr},
                         {"4294968297", nullptr},
                         {"18446744073709551616", nullptr},
                         {"18446744073709552617", nullptr},
                         {"99999999999999999999999999999999", nullptr},
                         {"1:4294967295", nullptr},
                         {"1:4294967296", nullptr},
                         {"1:99999999999999999999", nullptr},
                         {"huge", nullptr},
                         {"all", nullptr},
                         {"wrap", nullptr},
                         {"minus", nullptr},
                         {"plus", nullptr},
                         {"space", nullptr},
                         {"hex", nullptr},
                         {"empty", nullptr},
                         {"word", nullptr},
                         {"badgid", nullptr},
                         {"nogid", nullptr},
                         {"short", nullptr},
                         {"bob", nullptr},
                         {"alice:big", nullptr},
                         {"alice:none", nullptr},
                         {"alice:nobody-here", nullptr},
                         {"ALICE", nullptr},
                         {"alice\n", nullptr},
                         {"root\nalice", nullptr},
                         {"../root", nullptr},
                         {"root/", nullptr},
                         {"root:x:0", nullptr},
                         {"\u0661", nullptr},
                         {"0\u200b", nullptr},
                         // No user namespace of 65536 ids has them; without one they are only numbers.
                         {"2147483648", nullptr},
                         {"4294967294", nullptr}};

// "0 0", "1001 2001 2001": real and effective ids that are all the same, then the supplementary groups.
std::string ids_of(const std::string& status) {
  const auto line = [&](const std::string& name) {
    const size_t at = status.find("\n" + name + ":");
    if (at == std::string::npos) return std::string("?");
    std::string words;
    for (const char c : status.substr(at + name.size() + 2, status.find('\n', at + 1) - at - name.size() - 2))
      words += c == '\t' ? ' ' : c;
    const size_t first = words.find_first_not_of(' ');
    return first == std::string::npos ? "" : words.substr(first, words.find_last_not_of(' ') + 1 - first);
  };
  const auto one = [](const std::string& four) {
    const std::string id = four.substr(0, four.find(' '));
    return four == fmt::format("{0} {0} {0} {0}", id) ? id : "(" + four + ")";
  };
  const std::string groups = line("Groups");
  return one(line("Uid")) + " " + one(line("Gid")) + (groups.empty() ? "" : " " + groups);
}

class Users : public SecurityTest {
 protected:
  // cloche run FLAGS host -- cat /proc/self/status, where /etc is `etc`. 400 MB of addresses are all it gets.
  Outcome run_with_etc(const std::string& etc, const std::vector<std::string>& flags) {
    std::vector<std::string> argv{"unshare",
                                  "-m",
                                  "sh",
                                  "-c",
                                  "mount --bind " + etc + " /etc && ulimit -v 400000 && exec \"$@\"",
                                  "sh",
                                  program("cloche"),
                                  "run"};
    argv.insert(argv.end(), flags.begin(), flags.end());
    argv.insert(argv.end(), {"host", "--", "cat", "/proc/self/status"});
    return test::run({.argv = argv, .limit = std::chrono::seconds(20)});
  }
  std::string make_etc() {
    std::string etc = scratch() + "/etc";
    EXPECT_TRUE(shell("cp -a /etc " + etc).ok());
    std::ofstream(etc + "/passwd") << kPasswd;
    std::ofstream(etc + "/group") << kGroup;
    return etc;
  }
  // Puts something else in a table's place. The host's canary has "/HOST" as everybody's home.
  std::string canary() { return scratch() + "/canary"; }
  void plant(const std::string& path, const std::string& kind) {
    std::ofstream(canary()) << "alice:x:0:0::/HOST:\nx:x:1000:0::/HOST:\nstaff:x:0:\n";
    fs::remove_all(path);
    if (kind == "FIFO") ::mkfifo(path.c_str(), 0666);
    if (kind == "directory") fs::create_directory(path);
    if (kind == "empty device") ::mknod(path.c_str(), S_IFCHR | 0666, makedev(1, 3));
    if (kind == "endless device") ::mknod(path.c_str(), S_IFCHR | 0666, makedev(1, 5));
    if (kind == "terminal") ::mknod(path.c_str(), S_IFCHR | 0666, makedev(5, 0));
    if (kind == "absolute link") fs::create_symlink(canary(), path);
    if (kind == "climbing link") fs::create_symlink("../../../../../../../../../.." + canary(), path);
    if (kind == "magic link") fs::create_symlink("/proc/self/root" + canary(), path);
    if (kind == "magic cwd") fs::create_symlink("/proc/self/cwd" + canary(), path);
    if (kind.starts_with("descriptor")) fs::create_symlink("/proc/self/fd/" + kind.substr(11), path);
    if (kind == "loop") fs::create_symlink(fs::path(path).filename(), path);
    if (kind == "dangling link") fs::create_symlink("/nowhere/at/all", path);
    if (kind == "sparse GiB") {
      std::ofstream(path) << "";
      fs::resize_file(path, 1UL << 30);
    }
    if (kind == "endless line") std::ofstream(path) << std::string(20 << 20, 'a');
    if (kind == "NULs") std::ofstream(path) << std::string("alice\0:x:0:0::/:\nal\0ice:x:0:0::/:\n", 34);
    if (kind == "colons") std::ofstream(path) << std::string(1 << 16, ':');
  }
};

const char* const kKinds[] = {"FIFO",          "directory",     "empty device", "endless device", "terminal",
                              "absolute link", "climbing link", "magic link",   "magic cwd",      "loop",
                              "dangling link", "sparse GiB",    "endless line", "NULs",           "colons",
                              "descriptor 0",  "descriptor 3",  "descriptor 5", "descriptor 7"};

TEST_F(Users, WordsOfClocheRun) {
  const std::string etc = make_etc();
  int refused = 0, ran = 0;
  for (const Row& row : kRows) {
    const Outcome outcome = run_with_etc(etc, {"--user", row.text});
    EXPECT_FALSE(outcome.timed_out) << row.text;
    if (row.ids != nullptr) {
      // Root may change its groups anyway, and has none.
      EXPECT_EQ(outcome.ok() ? ids_of(outcome.out) : outcome.err, row.ids) << "--user " << row.text;
      ++ran;
      continue;
    }
    EXPECT_FALSE(outcome.ok()) << "--user \"" << row.text << "\" is " << ids_of(outcome.out);
    EXPECT_EQ(outcome.out, "") << row.text;
    EXPECT_FALSE(outcome.err.empty());
    ++refused;
  }
  for (const char* text : {"", "-1", "4294967295", "big", "none", "1:1", "staff ", "nobody-here"})
    EXPECT_FALSE(run_with_etc(etc, {"--group-add", text}).ok()) << text;
  const Outcome more = run_with_etc(etc, {"--user", "alice", "--group-add", "staff", "--group-add", "9"});
  EXPECT_EQ(ids_of(more.out), "1001 2001 9 50 2001") << more.describe();
  tried("{} words for cloche run --user: {} as meant, {} refused; 8 for --group-add", refused + ran, ran,
        refused);
}

TEST_F(Users, WordsOfExecAndConfig) {
  auto box = image({"sleep", "1000"});
  std::ofstream(box.rootfs() + "/etc/passwd") << kPasswd;
  ASSERT_TRUE(start_detached(box).ok());
  int refused = 0, ran = 0;
  for (const Row& row : kRows) {
    const std::string text = row.text;
    // The runtime knows numbers alone, and no range but the kernel's.
    const size_t odd = text.find_first_not_of("0123456789:");
    const bool in_range = text == "2147483648" || text == "4294967294";
    const bool right = odd == std::string::npos && (row.ids != nullptr || in_range);
    const Outcome outcome = runtime({"exec", "--user", text, "box", "cat", "/proc/self/status"});
    EXPECT_FALSE(outcome.timed_out) << text;
    EXPECT_EQ(outcome.ok(), right) << "--user \"" << text << "\": " << outcome.describe();
    if (right) {
      const size_t colon = text.find(':');
      EXPECT_EQ(ids_of(outcome.out),
                fmt::format("{} {}", std::stoul(text),
                            colon == std::string::npos ? 0 : std::stoul(text.substr(colon + 1))))
          << text;
    }
    right ? ++ran : ++refused;
  }
  const Outcome more = runtime({"exec", "--user", "1:2", "--additional-gids", "7", "--additional-gids", "5",
                                "box", "cat", "/proc/self/status"});
  EXPECT_EQ(ids_of(more.out), "1 2 5 7") << more.describe();
  for (const char* text : {"", "-1", "+1", "4294967295", "4294967296", "staff", "1,2"})
    EXPECT_FALSE(runtime({"exec", "--additional-gids", text, "box", "true"}).ok()) << text;
  stop();

  auto odd = image({"cat", "/proc/self/status"}, "odd");
  for (const char* number :
       {"4294967295", "4294967296", "-1", "18446744073709551616", "1e3", "0.5", "\"0\"", "[0]"})
    for (const char* field : {"\"uid\":0", "\"gid\":0", "\"additionalGids\":[0"}) {
      odd.config.process->user.additionalGids = {0};
      odd.config.process->terminal = false;
      std::string json = spec::to_json(odd.config);
      std::erase_if(json, [](char c) { return c == ' ' || c == '\n' || c == '\t'; });
      const size_t at = json.find(field);
      ASSERT_NE(at, std::string::npos) << field << json;
      odd.write_raw(json.replace(at + std::string(field).size() - 1, 1, number));
      const Outcome outcome = runtime({"run", "--bundle", odd.path(), "odd"});
      EXPECT_FALSE(outcome.ok()) << field << number << " is " << ids_of(outcome.out);
      ++refused;
    }
  tried("{} words for exec --user and numbers in a config: {} as meant, {} refused", refused + ran, ran,
        refused);
}

TEST_F(Users, WhateverTheTablesAre) {
  const std::string etc = make_etc();
  int refused = 0, numbers = 0;
  for (const char* kind : kKinds)
    for (const char* table : {"/passwd", "/group"}) {
      plant(etc + table, kind);
      const bool group = std::string(table) == "/group";
      for (const char* user : {"alice:staff", "1000"}) {
        const Outcome outcome = run_with_etc(etc, {"--user", user});
        const std::string label = fmt::format("{} is a {}, --user {}\n", table, kind, user);
        EXPECT_FALSE(outcome.timed_out) << label;
        EXPECT_EQ(outcome.signal, 0) << label << outcome.describe();
        // The image host is the host: there a link leads where it says.
        const bool host =
            std::string(kind).ends_with("absolute link") || std::string(kind) == "climbing link";
        if (std::string(user) == "1000") {
          EXPECT_TRUE(!outcome.ok() || ids_of(outcome.out).starts_with("1000 0"))
              << label << outcome.describe();
          EXPECT_TRUE(!group || outcome.ok()) << label << outcome.describe();
          ++numbers;
        } else if (!host) {
          EXPECT_FALSE(outcome.ok()) << label << ids_of(outcome.out);
          EXPECT_TRUE(outcome.err.contains("--user")) << label << outcome.describe();
          ++refused;
        }
      }
      fs::remove_all(etc + table);
      std::ofstream(etc + table) << (group ? kGroup : kPasswd);
    }
  tried("{} kinds of passwd and group under cloche run: {} names refused, {} numbers", std::size(kKinds),
        refused, numbers);
}

// The image's passwd says where the command's home is, and no file of the host's does.
TEST_F(Users, HomeIsTheImages) {
  auto box = image({"busybox", "sh", "-c", "echo $HOME"});
  auto running = image({"sleep", "1000"}, "running");
  running.config.root->path = box.rootfs();
  ASSERT_TRUE(start_detached(running, "running").ok());
  box.config.process->user.uid = 1000;
  int homes = 0;
  const auto both = [&](const std::string& wanted, const std::string& kind) {
    box.write();
    for (const std::vector<std::string>& words :
         {std::vector<std::string>{"run", "--bundle", box.path(), "box"},
          {"exec", "--user", "1000", "running", "busybox", "sh", "-c", "echo $HOME"}}) {
      std::vector<std::string> argv = command(words);
      argv.insert(argv.begin(), {"sh", "-c", "ulimit -v 400000; exec \"$@\" 3<$0 4<$0 5</", canary()});
      const Outcome outcome = test::run({.argv = argv, .limit = std::chrono::seconds(20)});
      EXPECT_FALSE(outcome.timed_out) << kind;
      EXPECT_EQ(outcome.out, wanted + "\n") << kind << outcome.describe();
      ++homes;
    }
  };
  plant(box.rootfs() + "/etc/passwd", "FIFO");
  for (const char* kind : kKinds) {
    plant(box.rootfs() + "/etc/passwd", kind);
    both("/", kind);
  }
  fs::remove(box.rootfs() + "/etc/passwd");
  std::ofstream(box.rootfs() + "/etc/other") << "x:x:1000:0::/image:\n";
  fs::create_symlink("/etc/other", box.rootfs() + "/etc/passwd");
  both("/image", "link in the root");
  stop("running");
  tried("{} kinds of passwd in the image, run and exec: {} homes", std::size(kKinds) + 1, homes);
}

}  // namespace
}  // namespace cloche::test
