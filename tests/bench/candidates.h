// What is measured against what. A candidate is a list of commands; to add one, add a row in candidates.cpp.
#pragma once

#include <string>
#include <vector>

#include "measure.h"
#include "stage.h"

namespace cloche::bench {

// In every command {id} is replaced by an id of this run, {state} by a directory of the candidate's own.
struct Candidate {
  std::string name;
  std::vector<Argv> before;    // not measured; done in each round
  std::vector<Argv> measured;  // their times add up, of their memory the largest counts
  std::vector<Argv> after;     // not measured
  std::vector<Argv> begin{}, end{};  // not measured; once, around all rounds, with one and the same {id}
};

// Candidates that do the same work: only these are compared with each other.
struct Group {
  std::string name;
  std::string what;  // one sentence, for the table's head
  std::vector<Candidate> candidates;
  // All rounds of one candidate before those of the next: what one of them begins would weigh on the others.
  bool one_after_another = false;
  // Of --rounds, for what takes long: one in so many, and no warm-up.
  size_t fewer_rounds = 1;
};

struct Runtime {
  std::string name;
  std::string program;  // a path, or a name to be looked for along $PATH
};

// `programs` is the directory of this build's programs; `peers` are OCI runtimes to be measured beside it, and crun and
// runc of $PATH. Candidates whose program is missing are left out and named in `missing`.
std::vector<Group> all_groups(const Stage& stage, const std::string& programs,
                              const std::vector<Runtime>& peers, std::vector<std::string>& missing);

}  // namespace cloche::bench
