// Builds whose commands run in the runtime.
#include "callers/podman.h"

namespace cloche::test {
namespace {

class Buildah : public PodmanTest {};

TEST_F(Buildah, RunsTheCommandsOfABuild) {
  write_file(scratch() + "/Containerfile",
             "FROM scratch\nCOPY image/ /\nRUN echo made >/made && id -u >>/made\nRUN test \"$(wc -l "
             "</made)\" = 2\n");
  image_directory();
  const Outcome built = call("cd " + scratch() + " && buildah bud --network none -t built .");
  ASSERT_TRUE(built.ok()) << built.describe();
  const std::string container = line_of("buildah from built");
  EXPECT_EQ(line_of("buildah run --network none " + container + " cat /made"), "made\n0");
  EXPECT_TRUE(call("buildah rm " + container).ok());
}

TEST_F(Buildah, ABuildFailsWithItsCommand) {
  write_file(scratch() + "/Containerfile", "FROM scratch\nCOPY image/ /\nRUN exit 9\n");
  image_directory();
  const Outcome built = call("cd " + scratch() + " && buildah bud --network none -t built .");
  EXPECT_EQ(built.exit_code, 9) << built.describe();
  EXPECT_TRUE(call("buildah rm -a").ok());
}

TEST_F(Buildah, RunsOneCommand) {
  const std::string container = line_of("buildah from scratch");
  ASSERT_TRUE(call("buildah copy " + container + " " + image_directory() + " /").ok());
  const Outcome ended =
      call("buildah run --network none --user app " + container + " -- sh -c 'id -u; exit 6'");
  EXPECT_EQ(ended.exit_code, 6) << ended.describe();
  EXPECT_EQ(ended.out, "1000\n");
  const Outcome missing = call("buildah run --network none " + container + " missing");
  EXPECT_NE(missing.exit_code, 0);
  EXPECT_TRUE(missing.err.contains("cloche-runtime: cannot create container")) << missing.err;
  EXPECT_TRUE(missing.err.contains("exec: \"missing\": executable file not found in $PATH")) << missing.err;
  const Outcome terminal = call_on_terminal("buildah run --network none -t " + container + " tty");
  EXPECT_TRUE(terminal.out.contains("/dev/pts/0")) << terminal.describe();
  EXPECT_TRUE(call("buildah rm " + container).ok());
}

}  // namespace
}  // namespace cloche::test
