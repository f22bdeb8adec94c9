#include "kernel/seccomp_optimize.h"

#include <linux/seccomp.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <utility>

namespace cloche::kernel {
namespace {

using Program = std::vector<sock_filter>;

constexpr uint32_t kLoad = BPF_LD | BPF_W | BPF_ABS;
constexpr uint32_t kMask = BPF_ALU | BPF_AND | BPF_K;
constexpr uint32_t kReturn = BPF_RET | BPF_K;
constexpr uint32_t kAlways = BPF_JMP | BPF_JA;
constexpr uint32_t kEqual = BPF_JMP | BPF_JEQ | BPF_K;
constexpr uint32_t kGreaterEqual = BPF_JMP | BPF_JGE | BPF_K;
constexpr uint32_t kGreater = BPF_JMP | BPF_JGT | BPF_K;
constexpr uint32_t kBitSet = BPF_JMP | BPF_JSET | BPF_K;

bool compares(const sock_filter& i) {
  return i.code == kEqual || i.code == kGreaterEqual || i.code == kGreater;
}
bool branches(const sock_filter& i) { return compares(i) || i.code == kBitSet; }

// Where control can go from `pc`. At most two places; none after a return.
std::vector<size_t> successors(const Program& program, size_t pc) {
  const sock_filter& i = program[pc];
  if (i.code == kReturn) return {};
  if (i.code == kAlways) return {pc + 1 + i.k};
  if (branches(i)) return {pc + 1 + i.jt, pc + 1 + i.jf};
  return {pc + 1};
}

// The outcome of running ahead: an answer, or the place of the first look at an argument.
struct Outcome {
  bool answer = false;
  uint32_t value = 0;
  bool operator==(const Outcome&) const = default;
};

struct Run {
  uint32_t first;  // until the next run's first
  Outcome outcome;
  bool operator==(const Run&) const = default;
};
using Runs = std::vector<Run>;

bool taken(const sock_filter& i, uint32_t accumulator) {
  if (i.code == kEqual) return accumulator == i.k;
  if (i.code == kGreaterEqual) return accumulator >= i.k;
  return accumulator > i.k;
}

std::optional<Outcome> run_ahead(const Program& program, uint32_t architecture, uint32_t number) {
  std::optional<uint32_t> accumulator;
  for (size_t pc = 0; pc < program.size();) {
    const sock_filter& i = program[pc];
    if (i.code == kReturn) return Outcome{.answer = true, .value = i.k};
    if (i.code == kLoad) {
      if (i.k == offsetof(seccomp_data, nr))
        accumulator = number;
      else if (i.k == offsetof(seccomp_data, arch))
        accumulator = architecture;
      else
        return Outcome{.answer = false, .value = static_cast<uint32_t>(pc)};
      ++pc;
    } else if (i.code == kAlways) {
      pc += 1 + i.k;
    } else if (compares(i) && accumulator) {
      pc += 1 + (taken(i, *accumulator) ? i.jt : i.jf);
    } else {
      return std::nullopt;  // arithmetic on a call number: not libseccomp's work
    }
  }
  return std::nullopt;
}

// The values at which an answer can change, for what is loaded from each of the two fields.
struct Edges {
  std::set<uint32_t> architectures{0}, numbers{0};
};

std::optional<Edges> find_edges(const Program& program) {
  constexpr uint8_t kNumber = 1, kArchitecture = 2, kOther = 4;
  std::vector<uint8_t> holds(program.size() + 1, 0);  // what the accumulator may hold before each instruction
  Edges edges;
  for (size_t pc = 0; pc < program.size(); ++pc) {
    const sock_filter& i = program[pc];
    if (!branches(i) && i.code != kLoad && i.code != kMask && i.code != kReturn && i.code != kAlways)
      return std::nullopt;
    uint8_t after = holds[pc];
    if (i.code == kLoad)
      after = i.k == offsetof(seccomp_data, nr)     ? kNumber
              : i.k == offsetof(seccomp_data, arch) ? kArchitecture
                                                    : kOther;
    for (const size_t next : successors(program, pc)) {
      if (next >= program.size()) return std::nullopt;
      holds[next] |= after;
    }
    if (!compares(i)) continue;
    const auto add = [&](std::set<uint32_t>& set) {
      if (i.code != kGreater) set.insert(i.k);
      if (i.code != kGreaterEqual && i.k != UINT32_MAX) set.insert(i.k + 1);
    };
    if ((holds[pc] & kNumber) != 0) add(edges.numbers);
    if ((holds[pc] & kArchitecture) != 0) add(edges.architectures);
  }
  return edges;
}

// Writes a program from its end, so that every target of a jump has a place before the jump is written. A
// place is an index counted from the end.
class BackwardWriter {
 public:
  size_t add(sock_filter instruction) {
    code_.push_back(instruction);
    return code_.size() - 1;
  }
  size_t answer(uint32_t value) {
    const auto found = answers_.find(value);
    if (found != answers_.end() && code_.size() - found->second < 250) return found->second;
    return answers_[value] = add({.code = kReturn, .k = value});
  }
  size_t branch(uint32_t code, uint32_t k, size_t yes, size_t no) {
    if (yes == no) return yes;
    yes = within_reach(yes);
    no = within_reach(no);
    return add({.code = static_cast<uint16_t>(code), .jt = distance(yes), .jf = distance(no), .k = k});
  }
  // Keeps these instructions of `program`: a set closed under what they lead to.
  void keep(const Program& program, const std::set<size_t>& pcs, std::map<size_t, size_t>& places) {
    for (auto pc = pcs.rbegin(); pc != pcs.rend(); ++pc) places[*pc] = keep_one(program, *pc, places);
  }
  // A load that goes on at `place`.
  size_t load_then(uint32_t offset, size_t place) {
    if (place != code_.size() - 1) jump(place);
    return add({.code = kLoad, .k = offset});
  }
  Program take() && {
    std::ranges::reverse(code_);
    return std::move(code_);
  }

 private:
  size_t keep_one(const Program& program, size_t pc, const std::map<size_t, size_t>& places) {
    const sock_filter& i = program[pc];
    if (i.code == kAlways) return jump(places.at(pc + 1 + i.k));
    if (!branches(i)) return add(i);  // what follows it was written just before
    const size_t yes = within_reach(places.at(pc + 1 + i.jt)), no = within_reach(places.at(pc + 1 + i.jf));
    return add({.code = i.code, .jt = distance(yes), .jf = distance(no), .k = i.k});
  }
  size_t jump(size_t place) {
    return add({.code = kAlways, .k = static_cast<uint32_t>(code_.size() - place - 1)});
  }
  // A conditional jump spans 255 instructions; one more may come between.
  size_t within_reach(size_t place) {
    if (code_.size() - place - 1 < 255) return place;
    return code_[place].code == kReturn ? answer(code_[place].k) : jump(place);
  }
  [[nodiscard]] uint8_t distance(size_t place) const {
    return static_cast<uint8_t>(code_.size() - place - 1);
  }

  Program code_;
  std::map<uint32_t, size_t> answers_;
};

// `leaf` gives the place of an outcome; called for the last run first.
template <class Leaf>
size_t write_search(BackwardWriter& out, std::span<const Run> runs, const Leaf& leaf) {
  if (runs.size() == 1) return leaf(runs[0].outcome);
  if (runs.size() == 3 && runs[0].outcome == runs[2].outcome && runs[2].first - runs[1].first == 1) {
    const size_t yes = leaf(runs[1].outcome), no = leaf(runs[0].outcome);
    return out.branch(kEqual, runs[1].first, yes, no);
  }
  const size_t middle = runs.size() / 2;
  const size_t high = write_search(out, runs.subspan(middle), leaf);
  const size_t low = write_search(out, runs.first(middle), leaf);
  return out.branch(kGreaterEqual, runs[middle].first, high, low);
}

std::optional<Runs> runs_of(const Program& program, uint32_t architecture,
                            const std::set<uint32_t>& numbers) {
  Runs runs;
  for (const uint32_t number : numbers) {
    const auto outcome = run_ahead(program, architecture, number);
    if (!outcome) return std::nullopt;
    if (runs.empty() || !(runs.back().outcome == *outcome))
      runs.push_back({.first = number, .outcome = *outcome});
  }
  return runs;
}

void reach(const Program& program, size_t from, std::set<size_t>& pcs) {
  if (!pcs.insert(from).second) return;
  for (const size_t next : successors(program, from)) reach(program, next, pcs);
}

}  // namespace

Program optimize_seccomp(const Program& program) {
  const auto edges = find_edges(program);
  if (!edges) return program;

  std::vector<Runs> tables;  // one per group of architectures that are treated alike
  Runs by_architecture;  // its outcomes are indices into `tables`
  std::set<size_t> argument_code;
  for (const uint32_t architecture : edges->architectures) {
    auto runs = runs_of(program, architecture, edges->numbers);
    if (!runs) return program;
    for (const Run& run : *runs)
      if (!run.outcome.answer) reach(program, run.outcome.value, argument_code);
    const auto known = std::ranges::find(tables, *runs);
    const Outcome table{.answer = false, .value = static_cast<uint32_t>(known - tables.begin())};
    if (known == tables.end()) tables.push_back(*std::move(runs));
    if (by_architecture.empty() || !(by_architecture.back().outcome == table))
      by_architecture.push_back({.first = architecture, .outcome = table});
  }

  BackwardWriter out;
  std::map<size_t, size_t> places;
  out.keep(program, argument_code, places);
  std::vector<size_t> entries;
  for (const Runs& runs : tables) {
    const size_t top = write_search(out, runs, [&](Outcome outcome) {
      return outcome.answer ? out.answer(outcome.value) : places.at(outcome.value);
    });
    if (runs.size() == 1 && runs[0].outcome.answer) {
      entries.push_back(top);
      continue;
    }
    entries.push_back(out.load_then(offsetof(seccomp_data, nr), top));
  }
  const size_t top = write_search(out, by_architecture, [&](Outcome table) { return entries[table.value]; });
  out.load_then(offsetof(seccomp_data, arch), top);
  Program result = std::move(out).take();
  return result.size() <= BPF_MAXINSNS ? result : program;
}

}  // namespace cloche::kernel
