// A process that only waits, where something wants a process and the container has none yet: a scope of systemd's, which
// is gone as soon as nothing runs in it.
#pragma once

#include "sys/error.h"
#include "sys/process.h"

namespace cloche::runtime {

class Placeholder {
 public:
  // It ends with the caller too, however that ends.
  static sys::Result<Placeholder> start();
  [[nodiscard]] pid_t pid() const { return process_.child; }
  // It has ended and is waited for when this returns: limits of processes count the dead until then.
  sys::Result<> end();
  Placeholder(Placeholder&&) noexcept = default;
  Placeholder& operator=(Placeholder&&) = delete;
  Placeholder(const Placeholder&) = delete;
  Placeholder& operator=(const Placeholder&) = delete;
  ~Placeholder() { (void)end(); }

 private:
  explicit Placeholder(sys::Parent process) : process_(std::move(process)) {}
  sys::Parent process_;  // its pidfd is invalid once it has been waited for
};

}  // namespace cloche::runtime
