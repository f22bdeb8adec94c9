#include "sys/error.h"

#include <gtest/gtest.h>

namespace cloche::sys {
namespace {

TEST(Error, NamesTheErrnoAndTheCall) {
  const Error error{.code = ENOENT, .call = "open(\"/x\", O_RDONLY)", .context = {}};
  EXPECT_EQ(error.message(), "open(\"/x\", O_RDONLY) = -ENOENT (No such file or directory)");
}

TEST(Error, ContextsReadFromTheOutside) {
  Result<> inner = fail(EACCES, "mkdir(\"/a\")");
  Result<> outer = wrap(std::move(inner).error(), "create the cgroup");
  outer = wrap(std::move(outer).error(), "start box");
  EXPECT_EQ(outer.error().message(),
            "start box: create the cgroup: mkdir(\"/a\") = -EACCES (Permission denied)");
}

TEST(Error, ASentenceStandsAlone) {
  const Result<> result = fail_because("the id map has 400 lines, the kernel takes 340");
  EXPECT_EQ(result.error().message(), "the id map has 400 lines, the kernel takes 340");
}

TEST(Error, UnknownErrnoKeepsItsNumber) { EXPECT_EQ(errno_name(4242), "errno 4242"); }

}  // namespace
}  // namespace cloche::sys
