// An agent of the kind that linux.seccomp.listenerPath names: takes listeners and answers the calls that they bring.
#pragma once

#include <atomic>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "sys/fd.h"

namespace cloche::test {

class SeccompAgent {
 public:
  // Listens at `path`. A call whose number is in `errors` fails with that errno; every other one goes on.
  SeccompAgent(std::string path, std::map<int, int> errors = {});
  ~SeccompAgent();
  SeccompAgent(const SeccompAgent&) = delete;
  SeccompAgent& operator=(const SeccompAgent&) = delete;

  // The container process states so far, in the order of their connections, each as it came.
  std::vector<std::string> states();
  // How many descriptors came with them.
  int listeners() const { return listeners_; }
  // The numbers of the calls it was asked about.
  std::vector<int> asked();

 private:
  void serve();
  bool take(int connection, std::string& state);  // false at its end
  void answer(int listener);

  std::string path_;
  std::map<int, int> errors_;
  sys::Fd socket_, stop_;
  struct Connection {
    sys::Fd socket;
    std::string state;
  };
  std::vector<Connection> connections_;
  std::vector<sys::Fd> held_;
  std::mutex guard_;
  std::vector<std::string> states_;
  std::vector<int> asked_;
  std::atomic<int> listeners_ = 0;
  std::thread thread_;
};

}  // namespace cloche::test
