// The flags before the command. Read also before the C library has begun (runtime_entry.cpp): plain data.
#pragma once

#include <string_view>

namespace cloche::cli {

struct Flag {
  std::string_view name;
  char letter = 0;  // 0: none
  std::string_view value{};  // what the value is called; empty: a switch
  std::string_view help{};
  bool repeats = false;
};

inline constexpr Flag kGlobals[] = {
    {"root", 0, "DIR", "where the state of containers is kept"},
    {"log", 0, "FILE", "errors and warnings are appended there too"},
    {"log-format", 0, "FORMAT", "of the log file: text (default) or json"},
    {"debug", 0, {}, "says also what could not be had on this host"},
    {"systemd-cgroup", 0, {}, "the container's cgroup is a scope of systemd's"},
    {"cgroup-manager", 0, "NAME", "cgroupfs (default), systemd or disabled"},
    {"rootless", 0, "BOOL", "accepted; whether the caller is root is looked up"},
    {"criu", 0, "PATH", "the program criu (default: along $PATH)"},
    {"version", 'v', {}, "prints the version (also -V)"},
};

}  // namespace cloche::cli
