// Mounts that begin with something: what is in them, seen from inside.
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "support/bundle.h"
#include "support/needs.h"

namespace cloche::test {
namespace {

namespace fs = std::filesystem;

class RuntimeMounts : public RuntimeTest {
 protected:
  static spec::Mount copied(const std::string& where, spec::Strings more = {}) {
    more.insert(more.end(), {"rprivate", "nosuid", "nodev", "rw", "tmpcopyup"});
    return {.destination = where,
            .type = "tmpfs",
            .source = "tmpfs",
            .options = std::move(more),
            .uidMappings = {},
            .gidMappings = {}};
  }
  // A directory with one of each kind of file in it.
  static void fill(const std::string& top) {
    const Outcome made =
        shell("mkdir -p " + top + "/sub/deep && cd " + top +
              " && echo content > file && chown 7:8 file && chmod 4757 file && echo deep > sub/deep/it && "
              "ln -s /no/where link && mkfifo -m 622 pipe && "
              "truncate -s 3M holes && echo end >> holes && chown 7:8 sub && chmod 1717 sub && chown -h 9:9 "
              "link && chmod 715 . && chown 5:6 . && touch -hd @1000000000 link && "
              "touch -d @1000000001 file pipe && touch -d @1000000002 sub && touch -d @1000000003 .");
    ASSERT_TRUE(made.ok()) << made.describe();
  }
};

// Every file's type, mode, owner, time, and target.
constexpr const char* kListing =
    "cd /data && busybox stat -c '%n %A %u:%g %Y %N' . file sub sub/deep/it link pipe | "
    "busybox sed -E '/deep.it/s/ [0-9]{10} / - /'; cat file sub/deep/it; busybox stat -c %s holes; "
    "busybox tail -c 4 holes; busybox awk '$5 == \"/data\" { print $6 }' /proc/self/mountinfo";

TEST_F(RuntimeMounts, ACopiedTmpfsHoldsWhatTheImageHas) {
  CLOCHE_NEEDS(needs::root());
  auto box =
      bundle({"sh", "-c", std::string(kListing) + "; echo changed > file && touch sub/new && echo written"});
  fill(box.rootfs() + "/data");
  box.config.mounts.push_back(copied("/data"));
  const Outcome outcome = run(box);
  EXPECT_TRUE(outcome.ok()) << outcome.describe();
  EXPECT_EQ(outcome.out,
            ". drwx--xr-x 5:6 1000000003 .\n"
            "file -rwsr-xrwx 7:8 1000000001 file\n"
            "sub drwx--xrwt 7:8 1000000002 sub\n"
            "sub/deep/it -rw-r--r-- 0:0 - sub/deep/it\n"
            "link lrwxrwxrwx 9:9 1000000000 'link' -> '/no/where'\n"
            "pipe prw--w--w- 0:0 1000000001 pipe\n"
            "content\ndeep\n3145732\nend\nrw,nosuid,nodev,relatime\nwritten\n");
  EXPECT_EQ(shell("cat " + box.rootfs() + "/data/file").out, "content\n") << "the image is as it was";
}

TEST_F(RuntimeMounts, ExtendedAttributesAreCopied) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"sleep", "1000"});
  fs::create_directories(box.rootfs() + "/data");
  std::ofstream(box.rootfs() + "/data/file") << "content";
  ASSERT_EQ(::setxattr((box.rootfs() + "/data/file").c_str(), "trusted.kept", "yes", 3, 0), 0);
  box.config.mounts.push_back(copied("/data"));
  ASSERT_TRUE(start_detached(box).ok());
  const std::string file = "/proc/" + member(runtime({"state", "box"}).out, ".pid") + "/root/data/file";
  std::string value(16, '\0');
  EXPECT_EQ(::getxattr(file.c_str(), "trusted.kept", value.data(), value.size()), 3);
  EXPECT_EQ(value.substr(0, 3), "yes");
  stop();
}

// What Podman sends for --read-only: the root cannot be written, /run and /tmp can, and hold what the image has.
TEST_F(RuntimeMounts, AReadOnlyRootWithCopiedPlacesForWriting) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"sh", "-c",
                     "touch /etc/x 2>/dev/null || echo read-only; cat /run/lock/of-image; "
                     "echo mine > /run/mine && echo mine > /tmp/mine && cat /run/mine; ls /tmp; "
                     "busybox stat -c %a /tmp; touch /ro/x 2>/dev/null || cat /ro/kept"});
  fs::create_directories(box.rootfs() + "/run/lock");
  fs::create_directories(box.rootfs() + "/ro");
  std::ofstream(box.rootfs() + "/run/lock/of-image") << "of the image\n";
  std::ofstream(box.rootfs() + "/ro/kept") << "kept\n";
  box.config.root->readonly = true;
  box.config.mounts.push_back(copied("/run"));
  box.config.mounts.push_back(copied("/tmp", {"mode=1770"}));
  box.config.mounts.push_back(copied("/ro"));
  box.config.mounts.back().options = {"ro", "tmpcopyup"};
  const Outcome outcome = run(box);
  EXPECT_TRUE(outcome.ok()) << outcome.describe();
  EXPECT_EQ(outcome.out, "read-only\nof the image\nmine\nmine\n1770\nkept\n");
}

// Where the image has no such directory there is nothing to take over: a user may write there, as below runc and crun.
TEST_F(RuntimeMounts, ACopiedTmpfsOnAMissingDirectoryKeepsItsOwnMode) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"busybox", "stat", "-c", "%n %a", "/new/place", "/read-only", "/given"});
  box.config.mounts.push_back(copied("/new/place"));
  box.config.mounts.push_back(copied("/read-only"));
  box.config.mounts.back().options = {"ro", "tmpcopyup"};
  box.config.mounts.push_back(copied("/given", {"mode=750"}));
  const Outcome outcome = run(box);
  EXPECT_EQ(outcome.out, "/new/place 1777\n/read-only 1777\n/given 750\n") << outcome.describe();
}

// Links lead nowhere: those in the directory are copied as links, and one in the mount's own path stays in the root.
TEST_F(RuntimeMounts, NothingOfTheHostIsCopied) {
  CLOCHE_NEEDS(needs::root());
  const std::string secret = scratch() + "/secret";
  fs::create_directories(secret);
  std::ofstream(secret + "/key") << "of the host\n";
  auto box = bundle({"sh", "-c",
                     "ls -A /way; echo -; ls -A /data; cat /data/out/key /data/up/key 2>/dev/null; "
                     "[ -L /data/out ] && echo a link"});
  std::string up = "..";
  for (int i = 0; i < 20; ++i) up += "/..";
  fs::create_directories(box.rootfs() + "/data");
  fs::create_symlink(secret, box.rootfs() + "/data/out");
  fs::create_symlink(up + secret, box.rootfs() + "/data/up");
  fs::create_symlink(up + secret, box.rootfs() + "/way");
  fs::create_directories(box.rootfs() + secret);
  std::ofstream(box.rootfs() + secret + "/of-image") << "x";
  box.config.mounts.push_back(copied("/data"));
  box.config.mounts.push_back(copied("/way"));
  const Outcome outcome = run(box);
  EXPECT_TRUE(outcome.ok()) << outcome.describe();
  EXPECT_EQ(outcome.out, "of-image\n-\nout\nup\na link\n");
  EXPECT_EQ(shell("ls -A " + secret).out, "key\n");
}

TEST_F(RuntimeMounts, OwnersOutsideTheIdMapFallToRootWithoutTheirRights) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"sh", "-c", "busybox stat -c '%n %a %u:%g' /data/*"});
  fs::create_directories(box.rootfs() + "/data");
  std::ofstream(box.rootfs() + "/data/foreign") << "x";
  std::ofstream(box.rootfs() + "/data/own") << "x";
  box.map_ids(700000, 1000);
  ASSERT_TRUE(shell("cd " + box.rootfs() +
                    "/data && chown 700005:700006 own && chown 5:6 foreign && chmod 6755 own foreign")
                  .ok());
  box.config.mounts.push_back(copied("/data"));
  const Outcome outcome = run(box);
  EXPECT_TRUE(outcome.ok()) << outcome.describe();
  EXPECT_EQ(outcome.out, "/data/foreign 755 0:0\n/data/own 6755 5:6\n");
  const Outcome told = runtime({"--debug", "run", "--bundle", box.path(), "told"});
  EXPECT_NE(told.err.find("not copied: owners outside the id map"), std::string::npos) << told.err;
}

TEST_F(RuntimeMounts, ACopyThatDoesNotFitIsAnErrorThatSaysSo) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"true"});
  fs::create_directories(box.rootfs() + "/data");
  std::ofstream(box.rootfs() + "/data/large") << std::string(size_t{1} << 20, 'x');
  box.config.mounts.push_back(copied("/data", {"size=64k"}));
  const Outcome outcome = run(box);
  EXPECT_EQ(outcome.exit_code, 1);
  for (const char* word : {"mount:/data", "copying ./large", "ENOSPC", "size="})
    EXPECT_NE(outcome.err.find(word), std::string::npos) << word << ": " << outcome.err;
}

TEST_F(RuntimeMounts, ALabelNeedsSelinux) {
  CLOCHE_NEEDS(needs::root());
  auto box = bundle({"true"});
  box.config.linux_->mountLabel = "system_u:object_r:container_file_t:s0";
  const Outcome outcome = run(box);
  if (fs::exists("/sys/fs/selinux/enforce")) return;  // there it would have to be one that the policy knows
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_NE(outcome.err.find("linux.mountLabel: the label"), std::string::npos) << outcome.err;
}

}  // namespace
}  // namespace cloche::test
