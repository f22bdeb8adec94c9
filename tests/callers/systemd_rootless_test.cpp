// An ordinary user's Podman with systemd's cgroup driver.
#include "callers/systemd_rootless.h"

namespace cloche::test {
namespace {

class RootlessPodmanSystemd : public RootlessPodmanSystemdTest {};

TEST_F(RootlessPodmanSystemd, AContainerIsAScopeOfTheUsersManager) {
  EXPECT_EQ(callers_line("podman info -f '{{.Host.CgroupManager}} {{.Host.Security.Rootless}}'"),
            "systemd true");
  const Outcome started = as_caller("podman run -d --name box box sleep 1000");
  ASSERT_TRUE(started.ok()) << started.describe();
  const std::string unit = "libpod-" + of_box("Id") + ".scope";
  EXPECT_EQ(callers_line("systemctl --user show -P ActiveState " + unit), "active");
  EXPECT_EQ(cgroup_of(of_box("State.Pid")),
            fmt::format("/user.slice/user-{0}.slice/user@{0}.service/user.slice/{1}", user().uid(), unit));
  EXPECT_EQ(callers_line("podman exec --user app box id -u"), "1000");
  EXPECT_EQ(callers_line("podman exec box sed -n s/^0:://p /proc/self/cgroup"), "/");
  EXPECT_EQ(as_caller("podman exec box sh -c 'exit 7'").exit_code, 7);
  const Outcome removed = as_caller("podman rm -f -t 0 box");
  EXPECT_TRUE(removed.ok()) << removed.describe();
  EXPECT_EQ(callers_line("podman run --rm box echo hello"), "hello");
  expect_no_unit("libpod*.scope");
}

}  // namespace
}  // namespace cloche::test
