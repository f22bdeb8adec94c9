// A container's life through Podman.
#include "callers/podman.h"

namespace cloche::test {
namespace {

class Podman : public PodmanTest {
 protected:
  void SetUp() override {
    PodmanTest::SetUp();
    if (!IsSkipped()) import_image();
  }
};

// Says when it is asked to end, and ends.
constexpr char kObedient[] =
    "sh -c 'trap \"echo asked; exit 3\" TERM; trap \"echo signal\" USR1; echo up; while :; do sleep 0.1; "
    "done'";

TEST_F(Podman, AContainersLife) {
  ASSERT_TRUE(call(fmt::format("podman run -d --name box box {}", kObedient)).ok());
  EXPECT_EQ(line_of("podman inspect -f '{{.OCIRuntime}} {{.State.Status}}' box"), "cloche-runtime running");
  EXPECT_TRUE(wait_until([&] { return line_of("podman logs box") == "up"; }));
  EXPECT_EQ(line_of("podman exec -e A=b box sh -c 'echo $A; exit 0'"), "b");
  EXPECT_EQ(call("podman exec box sh -c 'exit 5'").exit_code, 5);
  EXPECT_EQ(line_of("echo through | podman exec -i box cat"), "through");
  EXPECT_TRUE(call("podman top box").out.contains("while :"));
  EXPECT_TRUE(call("podman kill -s USR1 box").ok());
  EXPECT_TRUE(wait_until([&] { return line_of("podman logs box") == "up\nsignal"; }));
  EXPECT_TRUE(call("podman stop -t 60 box").ok());
  EXPECT_EQ(line_of("podman inspect -f '{{.State.Status}} {{.State.ExitCode}}' box"), "exited 3");
  EXPECT_EQ(line_of("podman logs box"), "up\nsignal\nasked");
  // A second life of the same container.
  EXPECT_TRUE(call("podman start box").ok());
  EXPECT_TRUE(call("podman kill box").ok());
  EXPECT_EQ(line_of("podman wait box"), "137");
  EXPECT_TRUE(call("podman rm box").ok());
  EXPECT_EQ(line_of("podman ps -aq"), "");
}

TEST_F(Podman, RemovesWhatIsRunningAndWhatHasEnded) {
  EXPECT_EQ(line_of("podman run --rm box echo hello"), "hello");
  EXPECT_EQ(line_of("echo in | podman run -i --rm box cat"), "in");
  ASSERT_TRUE(call("podman run -d --name box box sleep 1000").ok());
  EXPECT_TRUE(call("podman rm -f -t 0 box").ok());
  EXPECT_EQ(line_of("podman ps -aq"), "");
}

TEST_F(Podman, AFailureHasTheExitStatusAndTheWordsThatAreUsual) {
  EXPECT_EQ(call("podman run --rm box sh -c 'exit 7'").exit_code, 7);
  const Outcome missing = call("podman run --rm box missing");
  EXPECT_EQ(missing.exit_code, 127) << missing.describe();
  EXPECT_TRUE(missing.err.contains("exec: \"missing\": executable file not found in $PATH")) << missing.err;
  const Outcome directory = call("podman run --rm box /etc");
  EXPECT_EQ(directory.exit_code, 126) << directory.describe();
  EXPECT_TRUE(directory.err.contains("/etc is a directory, not a program")) << directory.err;
  const Outcome file = call("podman run --rm box /etc/passwd");
  EXPECT_EQ(file.exit_code, 126) << file.describe();
  EXPECT_TRUE(file.err.contains("exec: \"/etc/passwd\": permission denied")) << file.err;
  EXPECT_EQ(call("podman run --rm --no-such-flag box true").exit_code, 125);
}

TEST_F(Podman, AFailingExecHasTheExitStatusThatIsUsual) {
  ASSERT_TRUE(call("podman run -d --name box box sleep 1000").ok());
  EXPECT_EQ(call("podman exec box missing").exit_code, 127);
  EXPECT_EQ(call("podman exec box /etc/passwd").exit_code, 126);
  EXPECT_EQ(call("podman exec box sh -c 'kill -9 $$'").exit_code, 137);
  const Outcome nowhere = call("podman exec -w /nowhere box true");
  EXPECT_EQ(nowhere.exit_code, 127) << nowhere.describe();
  EXPECT_TRUE(nowhere.err.contains("/nowhere")) << nowhere.err;
  EXPECT_TRUE(call("podman kill box").ok());
  EXPECT_EQ(line_of("podman wait box"), "137");
  const Outcome ended = call("podman exec box true");
  EXPECT_EQ(ended.exit_code, 255) << ended.describe();
  EXPECT_TRUE(call("podman rm box").ok());
}

TEST_F(Podman, PausesAndGoesOn) {
  ASSERT_TRUE(call("podman run -d --name box box sleep 1000").ok());
  EXPECT_TRUE(call("podman pause box").ok());
  EXPECT_EQ(line_of("podman inspect -f '{{.State.Status}}' box"), "paused");
  EXPECT_NE(call("podman exec box true").exit_code, 0);
  EXPECT_TRUE(call("podman unpause box").ok());
  EXPECT_TRUE(call("podman exec box true").ok());
  EXPECT_TRUE(call("podman rm -f -t 0 box").ok());
}

TEST_F(Podman, AReadOnlyRootWithPlacesToWrite) {
  const Outcome inside = call(
      "podman run --rm --user app --read-only --tmpfs /scratch box sh -c "
      "'id -u; touch /file; touch /scratch/file /tmp/file && echo written; exit 4'");
  EXPECT_EQ(inside.exit_code, 4) << inside.describe();
  EXPECT_EQ(inside.out, "1000\nwritten\n") << inside.describe();
  EXPECT_TRUE(inside.err.contains("touch: /file: Read-only file system")) << inside.err;
}

// Podman asks for "tmpcopyup": what the image has there is in the tmpfs too.
TEST_F(Podman, ATmpfsHoldsWhatTheImageHasThere) {
  EXPECT_EQ(line_of("podman run --rm --tmpfs /etc box sh -c 'touch /etc/new && grep -c app /etc/passwd'"),
            "1");
}

TEST_F(Podman, ATerminalHasTheSizeOfTheUsers) {
  const Outcome outcome = call_on_terminal(
      "podman run --rm -it box sh -c 'until [ \"$(stty size)\" = \"33 77\" ]; do sleep 0.1; done; tty; exit "
      "6'");
  EXPECT_EQ(outcome.exit_code, 6) << outcome.describe();
  EXPECT_TRUE(outcome.out.contains("/dev/pts/0")) << outcome.out;
  ASSERT_TRUE(call("podman run -d --name box box sleep 1000").ok());
  const Outcome exec = call_on_terminal("podman exec -it box sh -c 'tty; exit 8'");
  EXPECT_EQ(exec.exit_code, 8) << exec.describe();
  EXPECT_TRUE(exec.out.contains("/dev/pts/")) << exec.out;
  EXPECT_TRUE(call("podman rm -f -t 0 box").ok());
}

TEST_F(Podman, AHealthcheckTells) {
  ASSERT_TRUE(call("podman run -d --name box --health-cmd 'test -e /tmp/well' --health-interval disable "
                   "--health-retries 1 box sleep 1000")
                  .ok());
  EXPECT_TRUE(call("podman exec box touch /tmp/well").ok());
  EXPECT_EQ(call("podman healthcheck run box").exit_code, 0);
  EXPECT_EQ(line_of("podman inspect -f '{{.State.Health.Status}}' box"), "healthy");
  EXPECT_TRUE(call("podman exec box rm /tmp/well").ok());
  EXPECT_EQ(call("podman healthcheck run box").exit_code, 1);
  EXPECT_EQ(line_of("podman inspect -f '{{.State.Health.Status}}' box"), "unhealthy");
  EXPECT_TRUE(call("podman rm -f -t 0 box").ok());
}

TEST_F(Podman, NamespacesOfAnotherContainer) {
  ASSERT_TRUE(call("podman run -d --name box --hostname shared box sleep 1000").ok());
  EXPECT_TRUE(call("podman run --rm --pid container:box box ps").out.contains("sleep 1000"));
  EXPECT_EQ(line_of("podman run --rm --uts container:box box hostname"), "shared");
  EXPECT_TRUE(call("podman rm -f -t 0 box").ok());
}

TEST_F(Podman, AUserNamespace) {
  EXPECT_EQ(line_of("podman run --rm --uidmap 0:200000:2000 --gidmap 0:200000:2000 box "
                    "sh -c 'id -u; awk \"{print \\$2}\" /proc/self/uid_map'"),
            "0\n200000");
}

TEST_F(Podman, WithoutACgroup) {
  const Outcome inside = call("podman run --rm --cgroups disabled box echo here");
  EXPECT_EQ(inside.out, "here\n") << inside.describe();
}

TEST_F(Podman, BuildsAnImage) {
  image_directory();
  write_file(scratch() + "/Containerfile",
             "FROM box\nENV A=b\nUSER app\nRUN id -u >/tmp/made && echo $A >>/tmp/made\nCMD [\"cat\", "
             "\"/tmp/made\"]\n");
  const Outcome built =
      call("podman build -t built -f " + scratch() + "/Containerfile " + scratch() + "/image");
  ASSERT_TRUE(built.ok()) << built.describe();
  EXPECT_EQ(line_of("podman run --rm built"), "1000\nb");
}

}  // namespace
}  // namespace cloche::test
