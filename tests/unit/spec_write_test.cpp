#include <gtest/gtest.h>

#include <boost/mp11.hpp>
#include <filesystem>

#include "spec/default_spec.h"
#include "spec/read.h"
#include "spec/write.h"
#include "support/place.h"

namespace cloche::spec {
namespace {

// Member by member over the described types, so that the writer is not compared with itself.
template <class T>
bool same(const T& a, const T& b) {
  if constexpr (boost::describe::has_describe_members<T>::value) {
    bool equal = true;
    boost::mp11::mp_for_each<boost::describe::describe_members<T, boost::describe::mod_public>>(
        [&](auto member) { equal = equal && same(a.*member.pointer, b.*member.pointer); });
    return equal;
  } else if constexpr (requires { a.has_value(); }) {
    return a.has_value() == b.has_value() && (!a || same(*a, *b));
  } else if constexpr (requires { typename T::mapped_type; }) {
    return std::ranges::equal(
        a, b, [](const auto& x, const auto& y) { return x.first == y.first && same(x.second, y.second); });
  } else if constexpr (requires { a.capacity(); } && !std::is_same_v<T, std::string>) {
    return std::ranges::equal(a, b, [](const auto& x, const auto& y) { return same(x, y); });
  } else {
    return a == b;
  }
}

TEST(WriteSpec, EveryRealConfigComesBackTheSame) {
  for (const auto& entry :
       std::filesystem::directory_iterator(test::source_directory() / "tests/fuzz/corpus/fuzz_config")) {
    if (entry.path().extension() != ".json") continue;
    const Spec spec = read_spec_file(entry.path())->value;
    for (const Layout layout : {Layout::compact, Layout::indented}) {
      const auto again = read_spec(to_json(spec, layout));
      ASSERT_TRUE(again) << entry.path() << ": " << again.error().message();
      EXPECT_TRUE(again->warnings.empty());
      EXPECT_TRUE(same(spec, again->value)) << entry.path();
    }
  }
}

TEST(WriteSpec, TheComparisonSeesADifference) {
  const Spec spec = default_spec();
  Spec other = spec;
  other.linux_->namespaces.back().type = "time";
  EXPECT_FALSE(same(spec, other));
  other = spec;
  other.process->capabilities.reset();
  EXPECT_FALSE(same(spec, other));
  EXPECT_TRUE(same(spec, default_spec()));
}

TEST(WriteSpec, LeavesOutWhatIsAbsent) {
  Spec spec;
  spec.ociVersion = "1.2.0";
  EXPECT_EQ(to_json(spec, Layout::compact), R"({"ociVersion":"1.2.0"})");
  spec.linux_.emplace().resources.emplace().memory.emplace().limit = 0;
  EXPECT_EQ(to_json(spec, Layout::compact),
            R"({"ociVersion":"1.2.0","linux":{"resources":{"memory":{"limit":0}}}})");
  EXPECT_EQ(to_json(Spec{}, Layout::indented), "{}\n");
}

TEST(WriteSpec, IndentsWithTabs) {
  Resources resources;
  resources.pids = Pids{.limit = 7};
  resources.unified = {{"a", "1"}, {"b", "2"}};
  EXPECT_EQ(to_json(resources),
            "{\n\t\"pids\": {\n\t\t\"limit\": 7\n\t},\n\t\"unified\": {\n\t\t\"a\": \"1\",\n\t\t\"b\": "
            "\"2\"\n\t}\n}\n");
}

TEST(WriteSpec, StringsAreEscaped) {
  std::string out;
  append_json_string(out, "a\"\\\n\t\x01\x7f é\xff");
  EXPECT_EQ(out, "\"a\\\"\\\\\\n\\t\\u0001\\u007f é\xef\xbf\xbd\"");
  Process process;
  process.args = {"\x1f", "\xf0\x9f\x94\x94"};
  EXPECT_EQ(read_process(to_json(process))->value.args, process.args);
}

TEST(DefaultSpec, RootlessAsksForNothingAUserCannotHave) {
  const Spec spec = default_rootless_spec(1000, 1001);
  EXPECT_EQ(spec.linux_->uidMappings, (std::vector<IDMapping>{{0, 1000, 1}}));
  EXPECT_EQ(spec.linux_->gidMappings, (std::vector<IDMapping>{{0, 1001, 1}}));
  EXPECT_FALSE(spec.linux_->resources);
  for (const auto& ns : spec.linux_->namespaces) EXPECT_NE(ns.type, "network");
  for (const auto& mount : spec.mounts) {
    EXPECT_NE(mount.type, "sysfs");
    for (const auto& option : mount.options) EXPECT_FALSE(option.starts_with("gid="));
  }
}

}  // namespace
}  // namespace cloche::spec
