// Where one process of a sweep makes its containers: nothing in it is another's.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "support/bundle.h"
#include "support/command.h"
#include "support/test_user.h"

namespace cloche::faults {

class Place {
 public:
  // Makes the directory `scratch`/`name`; `user`: whose containers they are, if not root's.
  Place(const std::string& scratch, const std::string& name, const test::TestUser* user = nullptr);

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] const test::TestUser* user() const { return user_; }
  // Of the container "box", below the mount; a test's config asks for it.
  [[nodiscard]] const std::string& cgroup() const { return cgroup_; }
  [[nodiscard]] std::string state() const { return path_ + "/state/box"; }
  [[nodiscard]] test::Bundle bundle(std::vector<std::string> args) const;
  // Its files belong to the user.
  void write(const test::Bundle& bundle) const;

  // cloche-runtime --debug --root ... WORDS...
  [[nodiscard]] test::Command command(std::vector<std::string> words) const;
  // The same to its end; the outputs are files, which the container keeps, not pipes.
  [[nodiscard]] test::Outcome run(std::vector<std::string> words) const;
  // The first process of the container, as the state file has it; 0: none.
  [[nodiscard]] pid_t init() const;

  // `delete --force`, collecting meanwhile what a command that was killed left us: a container does not end before
  // every process of it was waited for.
  [[nodiscard]] test::Outcome delete_box() const;
  // What is there of a container, of mounts and of the processes `pids`: one line each, none if nothing is left. What is
  // ending gets the time for it.
  [[nodiscard]] std::vector<std::string> left(const std::vector<pid_t>& pids) const;

 private:
  std::string path_, cgroup_;
  const test::TestUser* user_;
};

// Neither gone nor a zombie.
bool runs(pid_t pid);

}  // namespace cloche::faults
