// What a refusal of systemd's, of the bus or of polkit is in words: who, what it said, what to do.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/systemd.h"

namespace cloche::runtime {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string said(const std::string& name, const std::string& message, bool user = false) {
  return systemd_words({"StartTransientUnit", name, message}, user, "cloche-box.scope");
}

TEST(SystemdWords, ARefusalNamesTheCallTheMessageAndTheError) {
  EXPECT_THAT(said("org.freedesktop.DBus.Error.AccessDenied", "Rejected send message"),
              AllOf(HasSubstr("StartTransientUnit for cloche-box.scope"), HasSubstr("Rejected send message"),
                    HasSubstr("AccessDenied"), HasSubstr("policy")));
  EXPECT_THAT(said("org.freedesktop.DBus.Error.InteractiveAuthorizationRequired",
                   "Interactive authentication required."),
              AllOf(HasSubstr("polkit"), HasSubstr("manage-units")));
  EXPECT_THAT(said("org.freedesktop.systemd1.UnitExists", "Unit cloche-box.scope was already loaded"),
              AllOf(HasSubstr("systemctl stop cloche-box.scope"), HasSubstr("another id")));
  EXPECT_THAT(said("org.freedesktop.systemd1.UnitExists", "x", true), HasSubstr("systemctl --user stop"));
  EXPECT_THAT(said("EACCES", "Permission denied"), HasSubstr("the connection to systemd refused"));
}

TEST(SystemdWords, NobodyThereIsSaidForRootAndForUsers) {
  EXPECT_THAT(said("ENOENT", "No such file or directory"),
              AllOf(HasSubstr("no systemd answers on this host"), HasSubstr("cgroupfs")));
  EXPECT_THAT(said("ENOENT", "No such file or directory", true),
              AllOf(HasSubstr("loginctl enable-linger"), HasSubstr("XDG_RUNTIME_DIR")));
  EXPECT_THAT(said("org.freedesktop.DBus.Error.ServiceUnknown", "The name is not activatable"),
              HasSubstr("no systemd answers"));
  EXPECT_TRUE(is_unreachable({"", "ECONNREFUSED", ""}));
  EXPECT_FALSE(is_unreachable({"", "EACCES", ""}));
}

TEST(SystemdWords, ABusySystemdIsSaid) {
  EXPECT_THAT(systemd_words({"job", "timeout", "the job was not done in time"}, false, "a.scope"),
              AllOf(HasSubstr("the job did not end in time"), HasSubstr("list-jobs")));
  EXPECT_THAT(systemd_words({"job", "job", "failed"}, false, "a.scope"),
              AllOf(HasSubstr("ended as \"failed\""), HasSubstr("journalctl")));
}

}  // namespace
}  // namespace cloche::runtime
