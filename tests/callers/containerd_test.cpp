// A container's life through containerd and its shim.
#include "callers/containerd.h"

namespace cloche::test {
namespace {

class Containerd : public ContainerdTest {
 protected:
  Outcome ctr_runs(const std::string& flags, const std::string& command) const {
    return call(ctr_run(fmt::format("{} {} {}", flags, kImage, command)));
  }
  std::string status() const { return line_of("ctr task ls | awk '$1 == \"box\" {print $3}'"); }
};

TEST_F(Containerd, RunsToTheEnd) {
  const Outcome hello = ctr_runs("--rm", "box sh -c 'echo hello; echo aside >&2; exit 7'");
  EXPECT_EQ(hello.exit_code, 7) << hello.describe();
  EXPECT_EQ(hello.out, "hello\n");
  EXPECT_TRUE(hello.err.contains("aside")) << hello.err;
  EXPECT_EQ(ctr_runs("--rm --env A=b --cwd /tmp", "box sh -c 'echo $A; pwd'").out, "b\n/tmp\n");
  const Outcome read_only = ctr_runs("--rm --read-only", "box touch /file");
  EXPECT_EQ(read_only.exit_code, 1);
  EXPECT_TRUE(read_only.err.contains("Read-only file system")) << read_only.err;
}

TEST_F(Containerd, AFailureIsShownWithItsCause) {
  const Outcome missing = ctr_runs("--rm", "box missing");
  EXPECT_EQ(missing.exit_code, 1);
  EXPECT_TRUE(missing.err.contains("OCI runtime create failed: cannot create container \"box\""))
      << missing.err;
  EXPECT_TRUE(missing.err.contains("exec: \"missing\": executable file not found in $PATH")) << missing.err;
  const Outcome file = ctr_runs("--rm", "box /etc/passwd");
  EXPECT_TRUE(file.err.contains("exec: \"/etc/passwd\": permission denied")) << file.err;
  EXPECT_EQ(line_of("ctr container ls -q"), "");
}

TEST_F(Containerd, Execs) {
  ASSERT_TRUE(ctr_runs("-d", "box sleep 1000").ok());
  EXPECT_EQ(status(), "RUNNING");
  const Outcome exec = call("ctr task exec --exec-id one box sh -c 'echo inside; exit 3'");
  EXPECT_EQ(exec.exit_code, 3) << exec.describe();
  EXPECT_EQ(exec.out, "inside\n");
  EXPECT_EQ(line_of("echo through | ctr task exec --exec-id two box cat"), "through");
  const Outcome missing = call("ctr task exec --exec-id three box missing");
  EXPECT_TRUE(missing.err.contains("OCI runtime exec failed: cannot exec in container \"box\""))
      << missing.err;
  EXPECT_TRUE(missing.err.contains("exec: \"missing\": executable file not found in $PATH")) << missing.err;
  EXPECT_EQ(line_of("ctr task ps box | awk 'NR > 1' | wc -l"), "1");
  end("box");
}

TEST_F(Containerd, PausesAndGoesOn) {
  ASSERT_TRUE(ctr_runs("-d", "box sleep 1000").ok());
  EXPECT_TRUE(call("ctr task pause box").ok());
  EXPECT_EQ(status(), "PAUSED");
  EXPECT_NE(call("ctr task exec --exec-id one box true").exit_code, 0);
  EXPECT_TRUE(call("ctr task resume box").ok());
  EXPECT_EQ(status(), "RUNNING");
  EXPECT_EQ(call("ctr task exec --exec-id two box true").exit_code, 0);
  end("box");
}

TEST_F(Containerd, SignalsReachTheProcessAndAnEndedOneIsNotFound) {
  ASSERT_TRUE(
      ctr_runs("-d", "box sh -c 'trap \"exit 9\" TERM; touch /tmp/up; while :; do sleep 0.1; done'").ok());
  EXPECT_TRUE(wait_until([&] { return call("ctr task exec --exec-id up box test -e /tmp/up").ok(); }));
  EXPECT_TRUE(call("ctr task kill -s TERM box").ok());
  EXPECT_TRUE(wait_until([&] { return status() == "STOPPED"; }));
  const Outcome again = call("ctr task kill -s KILL box");
  EXPECT_EQ(again.exit_code, 1);
  EXPECT_TRUE(again.err.contains("not found")) << again.err;
  const Outcome removed = call("ctr task rm box");
  EXPECT_TRUE(removed.err.contains("non-zero exit code 9")) << removed.describe();
  EXPECT_TRUE(call("ctr container rm box").ok());
}

TEST_F(Containerd, EventsTellTheLife) {
  ASSERT_TRUE(call(fmt::format("ctr events >{}/events & echo $! >{}/pid", scratch(), scratch())).ok());
  // The listener is there once it has heard of something.
  EXPECT_TRUE(wait_until([&] {
    call("ctr namespace create heard; ctr namespace rm heard");
    return call("test -s " + scratch() + "/events").ok();
  }));
  ASSERT_TRUE(ctr_runs("-d", "box sleep 1000").ok());
  EXPECT_EQ(call("ctr task exec --exec-id one box sh -c 'exit 3'").exit_code, 3);
  EXPECT_TRUE(call("ctr task pause box && ctr task resume box").ok());
  end("box");
  const auto heard = [&](const std::string& pattern) {
    return wait_until([&] { return call("grep -q '" + pattern + "' " + scratch() + "/events").ok(); });
  };
  for (const char* pattern :
       {"/tasks/create.*\"container_id\":\"box\"", "/tasks/start", "/tasks/exec-started",
        "/tasks/exit.*\"id\":\"one\".*\"exit_status\":3", "/tasks/paused", "/tasks/resumed",
        "/tasks/exit.*\"id\":\"box\".*\"exit_status\":137", "/tasks/delete"})
    EXPECT_TRUE(heard(pattern)) << pattern << call("cat " + scratch() + "/events").out;
  call("kill $(cat " + scratch() + "/pid)");
}

TEST_F(Containerd, ATerminal) {
  const Outcome outcome = call_on_terminal(ctr_run(fmt::format(
      "--rm -t {} box sh -c 'until [ \"$(stty size)\" = \"33 77\" ]; do sleep 0.1; done; tty; exit 6'",
      kImage)));
  EXPECT_EQ(outcome.exit_code, 6) << outcome.describe();
  EXPECT_TRUE(outcome.out.contains("/dev/pts/0")) << outcome.out;
}

// A caller that knows no other name than runc.
TEST_F(Containerd, TakesTheRuntimeForRunc) {
  ASSERT_TRUE(call(documented("/usr/local/bin/runc")).ok());
  std::string words = ctr_run(fmt::format("--rm {} box sh -c 'exit 11'", kImage));
  const std::string flag = "--runc-binary /usr/local/bin/cloche-runtime";
  ASSERT_TRUE(words.contains(flag)) << words;
  words.erase(words.find(flag), flag.size());
  EXPECT_EQ(call("/usr/local/bin/runc --version").out.find("cloche-runtime version"), 0);
  EXPECT_EQ(call(words).exit_code, 11);
  EXPECT_TRUE(call("rm /usr/local/bin/runc").ok());
}

TEST_F(Containerd, TheServiceForKubernetesKnowsTheRuntime) {
  const Outcome known = call("containerd config dump");
  EXPECT_TRUE(known.out.contains("BinaryName = \"/usr/local/bin/cloche-runtime\"")) << known.describe();
  EXPECT_EQ(line_of("ctr plugin ls | awk '$2 == \"cri\" {print $NF}'"), "ok");
}

}  // namespace
}  // namespace cloche::test
