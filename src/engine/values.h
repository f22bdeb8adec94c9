// Small languages of the command line: sizes, ranges, offsets, volumes. Each parser takes what was typed and
// returns a value or one sentence that shows it.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "spec/runtime.h"

namespace cloche::engine {

template <class T>
using Parsed = std::expected<T, std::string>;

Parsed<int64_t> parse_whole(std::string_view text, int64_t least, int64_t most);
// CPUs as a decimal number, in microseconds of a period of 100 ms: "1.5" is 150000.
Parsed<int64_t> parse_cpus(std::string_view text);
// "0:100000:65536".
Parsed<spec::IDMapping> parse_id_map(std::string_view text);
// "nofile=1024:4096", "core=0", "nproc=unlimited".
Parsed<spec::Rlimit> parse_ulimit(std::string_view text);

// SOURCE:TARGET[:OPTIONS] of -v. A relative source is an error: it would depend on where the command is run.
Parsed<spec::Mount> parse_volume(std::string_view text);
// type=bind,source=...,target=...[,readonly][,rro][,idmap][,bind-propagation=rslave] | type=tmpfs,target=...,
// tmpfs-size=64m,tmpfs-mode=1777, as Docker and Podman spell it.
Parsed<spec::Mount> parse_mount(std::string_view text);
// TARGET[:OPTIONS] of --tmpfs.
Parsed<spec::Mount> parse_tmpfs(std::string_view text);

// "new", "host", "path:/..." (also "private", "ns:/..."), for namespace `type` of the OCI words.
struct NamespaceChoice {
  enum class Kind { fresh, host, joined } kind = Kind::fresh;
  std::string path;
};
Parsed<NamespaceChoice> parse_namespace(std::string_view flag, std::string_view text);

// The device at `path` of the host, as "/dev/fuse[:/dev/inside[:rwm]]".
struct DeviceRequest {
  std::string source;  // on the host
  spec::Device device;
  spec::DeviceCgroup rule;
};
Parsed<DeviceRequest> parse_device(std::string_view text);
// "c 10:229 rwm" of --device-cgroup-rule.
Parsed<spec::DeviceCgroup> parse_device_rule(std::string_view text);

[[nodiscard]] std::vector<std::string> split(std::string_view text, char separator);

}  // namespace cloche::engine
