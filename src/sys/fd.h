// The owner of one file descriptor of any kind: file, directory, mount tree, namespace, pidfd, socket, BPF object.
#pragma once

#include <unistd.h>

#include <utility>

namespace cloche::sys {

class Fd {
 public:
  Fd() = default;
  explicit Fd(int raw) : raw_(raw) {}
  Fd(Fd&& other) noexcept : raw_(std::exchange(other.raw_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      reset();
      raw_ = std::exchange(other.raw_, -1);
    }
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }

  [[nodiscard]] bool valid() const { return raw_ >= 0; }
  // The number, for the time of one call; ownership stays here.
  [[nodiscard]] int get() const { return raw_; }
  // Gives ownership away.
  [[nodiscard]] int release() { return std::exchange(raw_, -1); }
  void reset() {
    if (raw_ >= 0) ::close(std::exchange(raw_, -1));
  }

 private:
  int raw_ = -1;
};

}  // namespace cloche::sys
