// A container's life through Docker.
#include "callers/docker.h"

namespace cloche::test {
namespace {

class Docker : public DockerTest {};

TEST_F(Docker, AContainersLife) {
  EXPECT_EQ(line_of("docker info -f '{{.DefaultRuntime}}'"), "cloche");
  ASSERT_TRUE(
      call("docker run -d --name box box sh -c 'trap \"echo asked; exit 3\" TERM; trap \"echo signal\" USR1; "
           "echo up; while :; do sleep 0.1; done'")
          .ok());
  EXPECT_EQ(line_of("docker inspect -f '{{.HostConfig.Runtime}} {{.State.Status}}' box"), "cloche running");
  EXPECT_TRUE(wait_until([&] { return line_of("docker logs box") == "up"; }));
  EXPECT_EQ(line_of("docker exec -e A=b box sh -c 'echo $A'"), "b");
  EXPECT_EQ(line_of("echo through | docker exec -i box cat"), "through");
  EXPECT_TRUE(call("docker top box").out.contains("while :"));
  EXPECT_TRUE(call("docker kill -s USR1 box").ok());
  EXPECT_TRUE(wait_until([&] { return line_of("docker logs box") == "up\nsignal"; }));
  EXPECT_TRUE(call("docker stop -t 60 box").ok());
  EXPECT_EQ(line_of("docker inspect -f '{{.State.Status}} {{.State.ExitCode}}' box"), "exited 3");
  EXPECT_EQ(line_of("docker logs box"), "up\nsignal\nasked");
  const Outcome again = call("docker kill box");
  EXPECT_EQ(again.exit_code, 1);
  EXPECT_TRUE(again.err.contains("is not running")) << again.err;
  EXPECT_TRUE(call("docker start box").ok());
  EXPECT_TRUE(call("docker rm -f box").ok());
  EXPECT_EQ(line_of("docker ps -aq"), "");
}

TEST_F(Docker, AFailureHasTheExitStatusAndTheWordsThatAreUsual) {
  EXPECT_EQ(call("docker run --rm box sh -c 'exit 7'").exit_code, 7);
  const Outcome missing = call("docker run --rm box missing");
  EXPECT_EQ(missing.exit_code, 127) << missing.describe();
  EXPECT_TRUE(missing.err.contains("exec: \"missing\": executable file not found in $PATH")) << missing.err;
  const Outcome directory = call("docker run --rm box /etc");
  EXPECT_EQ(directory.exit_code, 126) << directory.describe();
  EXPECT_TRUE(directory.err.contains("/etc is a directory, not a program")) << directory.err;
  const Outcome file = call("docker run --rm box /etc/passwd");
  EXPECT_EQ(file.exit_code, 126) << file.describe();
  EXPECT_TRUE(file.err.contains("exec: \"/etc/passwd\": permission denied")) << file.err;
  EXPECT_EQ(call("docker run --rm --no-such-flag box true").exit_code, 125);
  EXPECT_EQ(line_of("docker ps -aq"), "");
}

TEST_F(Docker, AFailingExecHasTheExitStatusThatIsUsual) {
  ASSERT_TRUE(call("docker run -d --name box box sleep 1000").ok());
  EXPECT_EQ(call("docker exec box sh -c 'exit 5'").exit_code, 5);
  // With Debian's Docker 126, whatever the runtime.
  const Outcome missing = call("docker exec box missing");
  EXPECT_NE(missing.exit_code, 0);
  EXPECT_TRUE((missing.err + missing.out).contains("exec: \"missing\": executable file not found in $PATH"))
      << missing.describe();
  EXPECT_EQ(call("docker exec box /etc/passwd").exit_code, 126);
  const Outcome nowhere = call("docker exec -w /nowhere box true");
  EXPECT_EQ(nowhere.exit_code, 126) << nowhere.describe();
  EXPECT_TRUE((nowhere.err + nowhere.out).contains("/nowhere")) << nowhere.describe();
  EXPECT_TRUE(call("docker rm -f box").ok());
}

TEST_F(Docker, AReadOnlyRootWithPlacesToWrite) {
  const Outcome inside = call(
      "docker run --rm --user app --read-only --tmpfs /scratch box sh -c "
      "'id -u; touch /file; touch /scratch/file && echo written; exit 4'");
  EXPECT_EQ(inside.exit_code, 4) << inside.describe();
  EXPECT_EQ(inside.out, "1000\nwritten\n") << inside.describe();
  EXPECT_TRUE(inside.err.contains("touch: /file: Read-only file system")) << inside.err;
}

TEST_F(Docker, AnInitIsProcessOne) {
  const Outcome inside = call("docker run --rm --init box sh -c 'cat /proc/1/comm; kill -9 $$'");
  EXPECT_EQ(inside.out, "docker-init\n") << inside.describe();
  EXPECT_EQ(inside.exit_code, 137);
}

TEST_F(Docker, ATerminalHasTheSizeOfTheUsers) {
  const Outcome outcome = call_on_terminal(
      "docker run --rm -it box sh -c 'until [ \"$(stty size)\" = \"33 77\" ]; do sleep 0.1; done; tty; exit "
      "6'");
  EXPECT_EQ(outcome.exit_code, 6) << outcome.describe();
  EXPECT_TRUE(outcome.out.contains("/dev/pts/0")) << outcome.out;
  ASSERT_TRUE(call("docker run -d --name box box sleep 1000").ok());
  const Outcome exec = call_on_terminal("docker exec -it box sh -c 'tty; exit 8'");
  EXPECT_EQ(exec.exit_code, 8) << exec.describe();
  EXPECT_TRUE(exec.out.contains("/dev/pts/")) << exec.out;
  EXPECT_TRUE(call("docker rm -f box").ok());
}

TEST_F(Docker, PausesAndGoesOn) {
  ASSERT_TRUE(call("docker run -d --name box box sleep 1000").ok());
  EXPECT_TRUE(call("docker pause box").ok());
  EXPECT_EQ(line_of("docker inspect -f '{{.State.Status}}' box"), "paused");
  EXPECT_NE(call("docker exec box true").exit_code, 0);
  EXPECT_TRUE(call("docker unpause box").ok());
  EXPECT_TRUE(call("docker exec box true").ok());
  EXPECT_TRUE(call("docker rm -f box").ok());
}

TEST_F(Docker, AHealthcheckTells) {
  ASSERT_TRUE(call("docker run -d --name box --health-cmd 'test -e /tmp/well' --health-interval 0.2s "
                   "--health-retries 1 box sh -c 'touch /tmp/well; sleep 1000'")
                  .ok());
  const auto turns = [&](const std::string& health) {
    return wait_until([&] { return line_of("docker inspect -f '{{.State.Health.Status}}' box") == health; });
  };
  EXPECT_TRUE(turns("healthy"));
  EXPECT_TRUE(call("docker exec box rm /tmp/well").ok());
  EXPECT_TRUE(turns("unhealthy"));
  EXPECT_TRUE(call("docker rm -f box").ok());
}

TEST_F(Docker, RightsAreThoseAskedFor) {
  EXPECT_EQ(line_of("docker run --rm box sh -c 'mount -t tmpfs none /tmp 2>/dev/null || echo refused'"),
            "refused");
  EXPECT_EQ(
      line_of("docker run --rm --cap-add SYS_ADMIN --security-opt seccomp=unconfined "
              "--security-opt apparmor=unconfined box sh -c 'mount -t tmpfs none /tmp && echo mounted'"),
      "mounted");
  EXPECT_EQ(line_of("docker run --rm --cap-drop ALL --security-opt no-new-privileges box "
                    "grep -E 'CapEff|NoNewPrivs' /proc/self/status"),
            "CapEff:\t0000000000000000\nNoNewPrivs:\t1");
}

TEST_F(Docker, BuildsAnImage) {
  write_file(scratch() + "/build/Dockerfile",
             "FROM box\nRUN echo made >/made && id -u >>/made\nCMD [\"cat\", \"/made\"]\n");
  const Outcome built =
      call("DOCKER_BUILDKIT=0 docker build --network none -t built " + scratch() + "/build");
  ASSERT_TRUE(built.ok()) << built.describe();
  EXPECT_EQ(line_of("docker run --rm built"), "made\n0");
}

}  // namespace
}  // namespace cloche::test
