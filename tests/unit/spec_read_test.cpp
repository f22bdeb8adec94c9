#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "spec/read.h"
#include "support/place.h"

namespace cloche::spec {
namespace {

std::string error_of(std::string_view json) {
  const auto reading = read_spec(json);
  return reading ? "accepted" : reading.error().message();
}

std::vector<std::string> warnings_of(std::string_view json) {
  const auto reading = read_spec(json);
  if (!reading) return {"refused: " + reading.error().message()};
  std::vector<std::string> messages;
  for (const auto& warning : reading->warnings) messages.push_back(warning.message());
  return messages;
}

using Lines = std::vector<std::string>;

std::string corpus(const std::string& name) {
  std::ifstream file(test::source_directory() / "tests/fuzz/corpus/fuzz_config" / name);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(ReadSpec, TakesEveryShape) {
  const auto reading = read_spec(R"({
    "ociVersion": "1.2.0",
    "process": {"terminal": true, "consoleSize": {"height": 24, "width": 80},
      "user": {"uid": 4294967295, "gid": 1, "umask": 18, "additionalGids": [5, 6]},
      "args": ["sh", "-c", "\u00e9\n\"\\"], "env": ["A=b"], "cwd": "/", "oomScoreAdj": -1000,
      "capabilities": {"bounding": ["CAP_KILL"]},
      "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 18446744073709551615, "soft": 1024}],
      "ioPriority": {"class": "IOPRIO_CLASS_IDLE", "priority": 3},
      "execCPUAffinity": {"initial": "0", "final": "1"}},
    "root": {"path": "rootfs", "readonly": true},
    "annotations": {"a/b": "c", "d": ""},
    "linux": {"sysctl": {"net.ipv4.ip_forward": "1"}, "timeOffsets": {"boottime": {"secs": -7, "nanosecs": 9}},
      "resources": {"memory": {"limit": -1, "swap": 9223372036854775807}, "cpu": {"shares": 0}, "unified": {}},
      "devices": [{"path": "/dev/x", "type": "c", "major": 1, "minor": 3, "fileMode": 438}]}})");
  ASSERT_TRUE(reading) << reading.error().message();
  EXPECT_TRUE(reading->warnings.empty()) << reading->warnings[0].message();
  const Spec& spec = reading->value;
  EXPECT_EQ(spec.ociVersion, "1.2.0");
  EXPECT_EQ(spec.process->user.uid, 4294967295U);
  EXPECT_EQ(spec.process->user.umask, 18U);
  EXPECT_EQ(spec.process->user.additionalGids, (std::vector<uint32_t>{5, 6}));
  EXPECT_EQ(spec.process->args, (Strings{"sh", "-c", "é\n\"\\"}));
  EXPECT_EQ(spec.process->oomScoreAdj, -1000);
  EXPECT_EQ(spec.process->rlimits.at(0).hard, UINT64_MAX);
  EXPECT_EQ(spec.process->ioPriority->class_, "IOPRIO_CLASS_IDLE");
  EXPECT_EQ(spec.process->execCPUAffinity->final_, "1");
  EXPECT_EQ(spec.process->consoleSize->width, 80U);
  EXPECT_FALSE(spec.process->scheduler);
  EXPECT_TRUE(spec.root->readonly);
  EXPECT_EQ(spec.annotations.at("a/b"), "c");
  EXPECT_EQ(spec.linux_->timeOffsets.at("boottime").secs, -7);
  EXPECT_EQ(spec.linux_->resources->memory->limit, -1);
  EXPECT_EQ(spec.linux_->resources->memory->swap, INT64_MAX);
  EXPECT_EQ(spec.linux_->resources->cpu->shares, 0U);
  EXPECT_FALSE(spec.linux_->resources->cpu->quota);
  EXPECT_EQ(spec.linux_->devices.at(0).fileMode, 438U);
}

TEST(ReadSpec, WrongTypesNameTheField) {
  const std::pair<const char*, const char*> cases[] = {
      {R"([])", "expected an object, found an array"},
      {R"("x")", "expected an object, found a string"},
      {R"(7)", "expected an object, found a number"},
      {R"(null)", "expected an object, found null"},
      {R"({"ociVersion": 1})", "ociVersion: expected a string, found a number"},
      {R"({"process": []})", "process: expected an object, found an array"},
      {R"({"process": {"user": {"uid": "0"}}})", "process.user.uid: expected a number, found a string"},
      {R"({"process": {"user": {"uid": {}}}})", "process.user.uid: expected a number, found an object"},
      {R"({"process": {"user": {"umask": true}}})", "process.user.umask: expected a number, found true"},
      {R"({"process": {"user": {"additionalGids": [1, "x"]}}})",
       "process.user.additionalGids[1]: expected a number, found a string"},
      {R"({"process": {"args": "sh"}})", "process.args: expected an array, found a string"},
      {R"({"process": {"args": ["a", [], "b"]}})", "process.args[1]: expected a string, found an array"},
      {R"({"process": {"args": [null]}})", "process.args[0]: expected a string, found null"},
      {R"({"process": {"terminal": "yes"}})", "process.terminal: expected true or false, found a string"},
      {R"({"process": {"terminal": 1}})", "process.terminal: expected true or false, found a number"},
      {R"({"root": "rootfs"})", "root: expected an object, found a string"},
      {R"({"mounts": {}})", "mounts: expected an array, found an object"},
      {R"({"mounts": [{}, {"options": [1]}]})", "mounts[1].options[0]: expected a string, found a number"},
      {R"({"mounts": [[]]})", "mounts[0]: expected an object, found an array"},
      {R"({"annotations": {"org.x/y": 1}})", "annotations[\"org.x/y\"]: expected a string, found a number"},
      {R"({"annotations": {"n": 1}})", "annotations.n: expected a string, found a number"},
      {R"({"linux": {"sysctl": []}})", "linux.sysctl: expected an object, found an array"},
      {R"({"linux": {"resources": {"rdma": {"mlx": {"hcaHandles": "x"}}}}})",
       "linux.resources.rdma.mlx.hcaHandles: expected a number, found a string"},
      {R"({"linux": {"seccomp": {"syscalls": [{"args": [{"index": false}]}]}}})",
       "linux.seccomp.syscalls[0].args[0].index: expected a number, found false"},
  };
  for (const auto& [json, message] : cases) EXPECT_EQ(error_of(json), message) << json;
}

TEST(ReadSpec, NumbersAreWholeAndInRange) {
  const auto uid = [](const std::string& number) {
    return error_of(R"({"process": {"user": {"uid": )" + number + "}}}");
  };
  EXPECT_EQ(uid("4294967295"), "accepted");
  EXPECT_EQ(uid("-0"), "accepted");
  EXPECT_EQ(uid("4294967296"), "process.user.uid: 4294967296 is out of range (0 to 4294967295)");
  EXPECT_EQ(uid("-1"), "process.user.uid: -1 is out of range (0 to 4294967295)");
  EXPECT_EQ(uid("18446744073709551615"),
            "process.user.uid: 18446744073709551615 is out of range (0 to 4294967295)");
  EXPECT_EQ(uid("18446744073709551616"),
            "process.user.uid: 18446744073709551616 is out of range (0 to 4294967295)");
  EXPECT_EQ(uid("1.5"), "process.user.uid: expected a whole number without point or exponent, found 1.5");
  EXPECT_EQ(uid("1.0"), "process.user.uid: expected a whole number without point or exponent, found 1.0");
  EXPECT_EQ(uid("1e3"), "process.user.uid: expected a whole number without point or exponent, found 1e3");
  EXPECT_EQ(uid("1e400"), "process.user.uid: expected a whole number without point or exponent, found 1e400");
  EXPECT_EQ(uid("1e99999999999"),
            "line 1, column 41: a number with an exponent that is out of range (in process.user.uid)");
  EXPECT_EQ(uid("NaN"), "line 1, column 30: unexpected 'NaN' (in process.user.uid)");
  EXPECT_EQ(uid("Infinity"), "line 1, column 30: unexpected 'Infinity' (in process.user.uid)");
  EXPECT_EQ(uid("01"), "line 1, column 31: unexpected '1' (in process.user.uid)");
  EXPECT_EQ(uid(std::string(5000, '9')),
            "process.user.uid: 99999999999999999999999999999999… is out of range (0 to 4294967295)");
  const auto limit = [](const std::string& number) {
    return error_of(R"({"linux": {"resources": {"memory": {"limit": )" + number + "}}}}");
  };
  EXPECT_EQ(limit("-9223372036854775808"), "accepted");
  EXPECT_EQ(limit("-9223372036854775809"),
            "linux.resources.memory.limit: -9223372036854775809 is out of range (-9223372036854775808 to "
            "9223372036854775807)");
  EXPECT_EQ(limit("9223372036854775808"),
            "linux.resources.memory.limit: 9223372036854775808 is out of range (-9223372036854775808 to "
            "9223372036854775807)");
}

TEST(ReadSpec, NullIsAnAbsentKey) {
  const auto reading = read_spec(
      R"({"process": null, "hostname": null, "mounts": null, "linux": {"resources": {"memory": {"limit": null}},
          "seccomp": null, "foo": null}})");
  ASSERT_TRUE(reading) << reading.error().message();
  EXPECT_FALSE(reading->value.process);
  EXPECT_FALSE(reading->value.linux_->resources->memory->limit);
  EXPECT_FALSE(reading->value.linux_->seccomp);
}

TEST(ReadSpec, UnknownKeysAreWarnings) {
  EXPECT_EQ(warnings_of(R"({"linux": {"resuorces": {"memory": {"limit": "x"}}}})"),
            Lines{"linux.resuorces: unknown key (did you mean \"resources\"?)"});
  EXPECT_EQ(warnings_of(R"({"Hostname": "x"})"), Lines{"Hostname: unknown key (did you mean \"hostname\"?)"});
  EXPECT_EQ(warnings_of(R"({"mounts": [{"destnation": "/x"}]})"),
            Lines{"mounts[0].destnation: unknown key (did you mean \"destination\"?)"});
  EXPECT_EQ(warnings_of(R"({"linux_": {}})"), Lines{"linux_: unknown key (did you mean \"linux\"?)"});
  EXPECT_EQ(warnings_of(R"({"somethingElse": [[{"a": [1, null, true, 1e3, "\u0000"]}]], "x": 1})"),
            (Lines{"somethingElse: unknown key; ignored", "x: unknown key; ignored"}));
  EXPECT_EQ(warnings_of(R"({"windows": {"layerFolders": ["x"]}, "zos": {}})"),
            (Lines{"windows: not for Linux; ignored", "zos: not for Linux; ignored"}));
  EXPECT_EQ(warnings_of("{\"\\u001b[31mred\": 1}"), Lines{"[\"\\x1b[31mred\"]: unknown key; ignored"});
}

TEST(ReadSpec, AnEscapedKeyIsNamedLongAfterItWasRead) {
  EXPECT_EQ(error_of(R"({"pro\u0063ess": {"\u0075ser": {"uid": 0, "gid": 1, "additionalGids": [1, "x"]}}})"),
            "process.user.additionalGids[1]: expected a number, found a string");
  EXPECT_EQ(error_of(R"({"annotations": {"a\tb": "x", "\u00e9\n": 1}})"),
            "annotations[\"é\\x0a\"]: expected a string, found a number");
  const std::string odd(5000, 'k');
  EXPECT_EQ(warnings_of("{\"\\u0061" + odd + "\": 1}"),
            Lines{"[\"a" + odd.substr(0, 63) + "…\"]: unknown key; ignored"});
}

TEST(ReadSpec, WhatFollowsAnUnknownKeyIsRead) {
  const auto reading =
      read_spec(R"({"vm": {"a": [[], {}, {"b": "\n"}]}, "hostname": "h", "q": [], "domainname": "d"})");
  ASSERT_TRUE(reading);
  EXPECT_EQ(reading->value.hostname, "h");
  EXPECT_EQ(reading->value.domainname, "d");
}

TEST(ReadSpec, TheLaterOfTwoEqualKeysCounts) {
  const std::string_view json =
      R"({"hostname": "a", "mounts": [{"destination": "/a"}], "annotations": {"k": "1",
      "k": "2"}, "hostname": "b", "mounts": [], "root": {"path": "x", "readonly": true}, "root": {"path": "y"}})";
  EXPECT_EQ(warnings_of(json),
            (Lines{"annotations.k: given twice; the later one counts",
                   "hostname: given twice; the later one counts", "mounts: given twice; the later one counts",
                   "root: given twice; the later one counts"}));
  const Spec spec = read_spec(json)->value;
  EXPECT_EQ(spec.hostname, "b");
  EXPECT_TRUE(spec.mounts.empty());
  EXPECT_EQ(spec.annotations.at("k"), "2");
  EXPECT_FALSE(spec.root->readonly);
}

TEST(ReadSpec, TheNumberOfWarningsIsBounded) {
  std::string json = "{";
  for (int i = 0; i < 10000; ++i) json += "\"k" + std::to_string(i) + "\": 1,";
  json.back() = '}';
  const auto warnings = warnings_of(json);
  ASSERT_EQ(warnings.size(), 21U);
  EXPECT_EQ(warnings.back(), "there are more such warnings");
}

TEST(ReadSpec, SyntaxErrorsNameThePlace) {
  const std::pair<std::string, const char*> cases[] = {
      {"", "the document is empty"},
      {" \n\t", "the document is empty"},
      {"{\n  \"hostname\": \"x\",\n}", "line 3, column 1: unexpected '}' (in hostname)"},
      {"{\"process\": {\"args\": [\"a\",",
       "line 1, column 27: the document ends too early (in process.args[1])"},
      {"{\"hostname\": \"a", "line 1, column 16: the document ends too early (in hostname)"},
      {"{} {}", "line 1, column 4: the document has ended before this"},
      {"{'a': 1}", "line 1, column 2: unexpected '''"},
      {"{\"a\": tru}", "line 1, column 7: unexpected 'tru' (in a)"},
      {"// x\n{}", "line 1, column 1: unexpected '/'"},
      {"{\"hostname\": \"a\nb\"}", "line 1, column 16: unexpected control character 0x0a (in hostname)"},
      {"\xef\xbb\xbf{}", "line 1, column 1: a byte order mark stands before the document"},
      {"{\"hostname\": é}", "line 1, column 14: unexpected 'é' (in hostname)"},
      {std::string("{}\0", 3), "line 1, column 3: the document has ended before this"},
      {R"({"hostname": "\ud800"})",
       "line 1, column 21: a \\u escape that is half of a surrogate pair (in hostname)"},
      {R"({"hostname": "\u12g4"})",
       "line 1, column 19: a \\u escape needs four hexadecimal digits (in hostname)"},
  };
  for (const auto& [json, message] : cases) EXPECT_EQ(error_of(json), message) << json;
}

TEST(ReadSpec, InvalidUtf8IsRefused) {
  for (const char* bytes :
       {"\xff", "\xc3(", "\xe2\x82", "\xed\xa0\x80", "\xc0\xaf", "\xf4\x90\x80\x80", "a\x80"}) {
    const std::string message = error_of("{\"hostname\": \"" + std::string(bytes) + "\"}");
    EXPECT_NE(message.find("is not UTF-8 (in hostname)"), std::string::npos) << message;
  }
  EXPECT_EQ(error_of("{\"hostname\": \"\xe2\x82\xac \xf0\x9f\x94\x94\"}"), "accepted");
}

TEST(ReadSpec, NulBytesAreRefusedEverywhere) {
  EXPECT_EQ(error_of(R"({"process": {"args": ["a", "b\u0000c"]}})"),
            "process.args[1]: the string holds a NUL byte");
  EXPECT_EQ(error_of(R"({"annotations": {"a\u0000": "x"}})"),
            "annotations[\"a\\x00\"]: the key holds a NUL byte");
  EXPECT_EQ(error_of(R"({"linux": {"sysctl": {"a": "\u0000"}}})"),
            "linux.sysctl.a: the string holds a NUL byte");
}

TEST(ReadSpec, DeepNestingIsOneSentence) {
  for (const std::string& open : {std::string("["), std::string("{\"a\":")}) {
    std::string json = "{\"x\": ";
    for (int i = 0; i < 100000; ++i) json += open;
    const std::string message = error_of(json);
    EXPECT_NE(message.find("nested deeper than 32 levels (in x)"), std::string::npos) << message;
  }
  EXPECT_EQ(error_of(std::string(100000, '[')), "expected an object, found an array");
}

TEST(ReadSpec, EveryPrefixOfARealConfigIsOneSentence) {
  const std::string json = corpus("docker.json");
  ASSERT_GT(json.size(), 3000U);
  ASSERT_EQ(error_of(json), "accepted");
  const size_t end = json.find_last_of('}');
  for (size_t length = 0; length <= end; ++length) {
    const auto reading = read_spec(std::string_view(json).substr(0, length));
    ASSERT_FALSE(reading) << length;
    const std::string message = reading.error().message();
    ASSERT_EQ(message.find('\n'), std::string::npos) << message;
    ASSERT_NE(message.find(json.substr(0, length).find_first_not_of(" \n\t") == std::string::npos
                               ? "is empty"
                               : "the document ends too early"),
              std::string::npos)
        << length << ": " << message;
  }
}

TEST(ReadSpec, EveryChangedByteOfARealConfigIsHandled) {
  const std::string json = corpus("podman.json");
  ASSERT_GT(json.size(), 3000U);
  for (const char byte : {'\0', '"', '[', '}', '9', '\xff', '\\'}) {
    for (size_t at = 0; at < json.size(); ++at) {
      std::string changed = json;
      changed[at] = byte;
      const auto reading = read_spec(changed);
      ASSERT_TRUE(reading || !reading.error().what.empty());
    }
  }
}

TEST(ReadSpec, EveryRealConfigIsReadWithoutWarning) {
  size_t count = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(test::source_directory() / "tests/fuzz/corpus/fuzz_config")) {
    if (entry.path().extension() != ".json") continue;
    const auto reading = read_spec_file(entry.path());
    ASSERT_TRUE(reading) << entry.path() << ": " << reading.error().message();
    EXPECT_TRUE(reading->warnings.empty()) << entry.path() << ": " << reading->warnings[0].message();
    ++count;
  }
  EXPECT_GE(count, 12U);
}

TEST(ReadProcess, AndItsSiblings) {
  EXPECT_EQ(read_process(R"({"args": ["ls"], "cwd": "/"})")->value.args, Strings{"ls"});
  EXPECT_EQ(read_process(R"({"user": 1})").error().message(), "user: expected an object, found a number");
  EXPECT_EQ(read_resources(R"({"memory": {"limit": 7}})")->value.memory->limit, 7);
  EXPECT_EQ(
      read_seccomp(R"({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38})")->value.defaultErrnoRet,
      38U);
}

class ReadFile : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "cloche-read-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    directory_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  [[nodiscard]] std::string at(const std::string& name) const { return directory_ + "/" + name; }
  std::string directory_;
};

TEST_F(ReadFile, OnlyRegularFilesAreRead) {
  ASSERT_EQ(mkfifo(at("fifo").c_str(), 0600), 0);
  EXPECT_EQ(read_spec_file(at("fifo")).error().message(),
            at("fifo") + " is a FIFO; a regular file is needed");
  EXPECT_EQ(read_spec_file(directory_).error().message(),
            directory_ + " is a directory; a regular file is needed");
  EXPECT_EQ(read_spec_file("/dev/zero").error().message(), "/dev/zero is a device; a regular file is needed");
  EXPECT_EQ(read_spec_file(at("none")).error().message(),
            "cannot open " + at("none") + ": No such file or directory");
}

TEST_F(ReadFile, AHugeFileIsRefusedUnread) {
  const std::string path = at("config.json");
  std::ofstream(path) << "{}";
  ASSERT_EQ(truncate(path.c_str(), off_t{64} << 20), 0);
  EXPECT_EQ(read_spec_file(path).error().message(), path + " is 64 MiB; the limit is 16 MiB");
  ASSERT_EQ(truncate(path.c_str(), (off_t{16} << 20) + 1), 0);
  EXPECT_EQ(read_spec_file(path).error().message(), path + " is 16777217 bytes; the limit is 16 MiB");
}

TEST_F(ReadFile, ErrorsInTheTextNameTheFile) {
  std::ofstream(at("a")) << "{\n!";
  EXPECT_EQ(read_spec_file(at("a")).error().message(), at("a") + ": line 2, column 1: unexpected '!'");
  std::ofstream(at("b")) << R"({"root": 1})";
  EXPECT_EQ(read_spec_file(at("b")).error().message(), "root: expected an object, found a number");
}

}  // namespace
}  // namespace cloche::spec
