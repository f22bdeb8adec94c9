#include "plan/explain.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "plan/catalog.h"
#include "plan/undo.h"
#include "plan/words.h"
#include "sys/error.h"

namespace cloche::plan {
namespace {

enum class Ink { plain, bold, dim, green, red, yellow };

std::string inked(std::string text, Ink ink, bool colour) {
  if (!colour || ink == Ink::plain || text.empty()) return text;
  constexpr std::array<std::string_view, 6> codes = {"0", "1", "2", "32", "1;31", "33"};
  return fmt::format("\x1b[{}m{}\x1b[0m", codes[static_cast<size_t>(ink)], text);
}

// ---- columns ---------------------------------------------------------------------------------------------

// Where to cut a word that is longer than its column: after the last of / , - . : that fits, else anywhere.
size_t cut(std::string_view word, size_t width) {
  size_t bytes = 0, seen = 0, good = 0;
  while (bytes < word.size()) {
    const size_t next = std::min(word.find_first_of("/,-.:|", bytes), word.size() - 1) + 1;
    const size_t there = seen + columns(word.substr(bytes, next - bytes));
    if (there > width) break;
    good = bytes = next;
    seen = there;
  }
  if (good != 0) return good;
  for (seen = 0, bytes = 0; bytes < word.size(); ++bytes) {
    if ((word[bytes] & 0xc0) != 0x80 && seen++ == width) break;
  }
  return bytes;
}

// Lines of at most `width` columns, broken at spaces.
Strings wrapped(std::string_view text, size_t width) {
  Strings lines(1);
  size_t used = 0;
  while (!text.empty()) {
    const size_t space = std::min(text.find(' '), text.size());
    std::string_view word = text.substr(0, space);
    text.remove_prefix(std::min(space + 1, text.size()));
    if (used != 0 && used + 1 + columns(word) <= width) {
      lines.back() += ' ';
      ++used;
    } else if (used != 0) {
      lines.emplace_back();
      used = 0;
    }
    while (columns(word) > width) {
      const size_t bytes = cut(word, width);
      lines.back() += word.substr(0, bytes);
      lines.emplace_back();
      word.remove_prefix(bytes);
    }
    lines.back() += word;
    used += columns(word);
    if (used == 0 && text.empty()) break;
  }
  if (lines.size() > 1 && lines.back().empty()) lines.pop_back();
  return lines;
}

struct Cell {
  std::string text;
  size_t width;
  Ink ink = Ink::plain;
  bool right = false;
};

// One row of a table, as many lines as its longest cell needs; no spaces at a line's end.
std::string row(std::span<const Cell> cells, bool colour) {
  std::vector<Strings> wraps;
  size_t height = 0;
  for (const Cell& cell : cells) {
    wraps.push_back(wrapped(cell.text, cell.width));
    height = std::max(height, wraps.back().size());
  }
  std::string out;
  for (size_t line = 0; line < height; ++line) {
    size_t gap = 0;
    for (size_t i = 0; i < cells.size(); ++i) {
      const std::string text = line < wraps[i].size() ? wraps[i][line] : std::string();
      const size_t fill = cells[i].width - std::min(cells[i].width, columns(text));
      if (i > 0) gap += 2;
      if (text.empty()) {
        gap += cells[i].width;
        continue;
      }
      out.append(gap + (cells[i].right ? fill : 0), ' ');
      out += inked(text, cells[i].ink, colour);
      gap = cells[i].right ? 0 : fill;
    }
    out += '\n';
  }
  return out;
}

// ---- chapters --------------------------------------------------------------------------------------------

// Primitives that are read together: a heading for each step would drown the steps.
std::string_view chapter(Primitive primitive) {
  switch (primitive) {
    case Primitive::cgroup:
    case Primitive::device_policy:
    case Primitive::resctrl:
      return "limits";
    case Primitive::namespaces:
    case Primitive::id_map:
      return "namespaces and ids";
    case Primitive::mount:
    case Primitive::overlay:
    case Primitive::root:
    case Primitive::device:
      return "files";
    case Primitive::network:
    case Primitive::sysctl:
      return "network and kernel settings";
    case Primitive::capabilities:
    case Primitive::no_new_privs:
    case Primitive::seccomp:
    case Primitive::lsm:
      return "restrictions";
    case Primitive::process:
    case Primitive::terminal:
    case Primitive::rlimit:
    case Primitive::exec:
      return "process";
    case Primitive::hook:
      return "hooks";
  }
  return "other";
}

std::string heading(const Step& step) {
  return fmt::format("{}: {}", step.side == Side::host ? "on the host" : "in the container",
                     chapter(entry(step.action).primitive));
}

// A single step between two of the same chapter stays under their heading.
std::vector<std::string> headings(const Plan& plan) {
  std::vector<std::string> all;
  for (const Step& step : plan.steps) all.push_back(heading(step));
  for (size_t i = 1; i + 1 < all.size(); ++i) {
    if (all[i - 1] == all[i + 1] && plan.steps[i].side == plan.steps[i - 1].side) all[i] = all[i - 1];
  }
  return all;
}

struct Layout {
  size_t number = 2, id = 10, text = 40, why = 20;
};

Layout layout(const Plan& plan, uint32_t wanted, size_t why) {
  const size_t width = std::max<size_t>(wanted, 72);
  Layout columns_of;
  columns_of.number = std::max<size_t>(2, fmt::to_string(plan.steps.size()).size());
  for (const Step& step : plan.steps) columns_of.id = std::max(columns_of.id, columns(printable(step.id)));
  columns_of.id = std::min(columns_of.id, width / 5);
  columns_of.why = why;
  columns_of.text = width - 8 - columns_of.number - columns_of.id - columns_of.why;
  return columns_of;
}

// The why without the file's name, which the heading of the column says; the same as above is a ditto mark.
std::string short_why(const Plan& plan, size_t at, bool first) {
  const auto same = [](const Why& a, const Why& b) { return a.kind == b.kind && a.from == b.from; };
  const Why& why = plan.steps[at].why;
  if (!first && same(why, plan.steps[at - 1].why)) return "\"";
  return why.kind == Why::Kind::config ? printable(why.from) : describe(why);
}

std::string notes_text(const Plan& plan, const TextStyle& style) {
  if (plan.notes.empty()) return {};
  std::string out = "\n" + inked("notes", Ink::bold, style.colour) + "\n";
  for (const Note& note : plan.notes) {
    const Cell cells[] = {{"", 0},
                          {fmt::format("{}: {}", printable(note.subject), printable(note.text)),
                           std::max<uint32_t>(style.width, 72) - 2, Ink::plain}};
    out += row(cells, style.colour);
  }
  return out;
}

std::string afterwards_text(const Plan& plan, const TextStyle& style) {
  const std::vector<UndoAction> actions = undo_of(plan);
  if (actions.empty()) return {};
  std::string out = "\n" + inked("afterwards", Ink::bold, style.colour) + "\n";
  for (const UndoAction& action : actions) {
    const Cell cells[] = {{"", 0}, {action.text, std::max<uint32_t>(style.width, 72) - 2}};
    out += row(cells, style.colour);
  }
  return out;
}

constexpr std::string_view kLegend =
    "number, name, what is done, why (a field of config.json, an option, ...)";

std::string title(const Plan& plan, const TextStyle& style) {
  return fmt::format("{}{}, {}\n", inked("container " + shown(plan.container), Ink::bold, style.colour),
                     plan.rootless ? ", rootless" : "", counted(plan.steps.size(), "step"));
}

}  // namespace

std::string explain_text(const Plan& plan, const TextStyle& style) {
  const Layout at = layout(plan, style.width, std::max<size_t>(style.width, 72) / 4);
  const std::vector<std::string> heads = headings(plan);
  std::string out = title(plan, style) + inked(std::string(kLegend), Ink::dim, style.colour) + '\n';
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    const bool first = i == 0 || heads[i] != heads[i - 1];
    if (first) out += "\n" + inked(heads[i], Ink::bold, style.colour) + "\n";
    const Step& step = plan.steps[i];
    const Cell cells[] = {{"", 0},
                          {fmt::to_string(i + 1), at.number, Ink::dim, true},
                          {printable(step.id), at.id, Ink::dim},
                          {describe(step), at.text},
                          {short_why(plan, i, first), at.why, Ink::dim}};
    out += row(cells, style.colour);
  }
  return out + notes_text(plan, style) + afterwards_text(plan, style);
}

namespace {

std::vector<StepRecord> in_plan_order(const Plan& plan, const RunRecord& record) {
  std::vector<StepRecord> steps(plan.steps.size());
  for (size_t i = 0; i < steps.size(); ++i) steps[i].index = static_cast<uint32_t>(i);
  for (const StepRecord& step : record.steps) {
    if (step.index < steps.size()) steps[step.index] = step;
  }
  return steps;
}

Ink ink_of(const StepRecord& step) {
  switch (step.state) {
    case StepRecord::State::ok:
      return step.fallback.empty() ? Ink::green : Ink::yellow;
    case StepRecord::State::failed:
      return Ink::red;
    case StepRecord::State::skipped:
      return Ink::yellow;
    case StepRecord::State::not_run:
      return Ink::dim;
  }
  return Ink::plain;
}

std::string result_words(const StepRecord& step) {
  std::string words(name(step.state));
  if (step.state == StepRecord::State::failed && step.error != 0) words = sys::errno_name(step.error);
  return words;
}

// The description, and below it what was out of the ordinary.
std::string told(const Step& step, const StepRecord& record) {
  std::string text = describe(step);
  if (!record.fallback.empty()) text += fmt::format(" [fallback: {}]", printable(record.fallback));
  if (!record.detail.empty() && record.state != StepRecord::State::ok)
    text += fmt::format(" [{}]", printable(record.detail));
  return text;
}

std::string closing(const Plan& plan, const std::vector<StepRecord>& steps, const RunRecord& record) {
  const auto count = [&](auto test) { return std::ranges::count_if(steps, test); };
  const auto in = [](StepRecord::State state) {
    return [state](const StepRecord& s) { return s.state == state; };
  };
  std::string text =
      fmt::format("{} of {} done", count(in(StepRecord::State::ok)), counted(plan.steps.size(), "step"));
  const auto part = [&](auto number, std::string_view what) {
    if (number != 0) text += fmt::format(", {} {}", number, what);
  };
  part(count(in(StepRecord::State::skipped)), "skipped");
  part(count(in(StepRecord::State::failed)), "failed");
  part(count(in(StepRecord::State::not_run)), "not run");
  part(count([](const StepRecord& s) { return !s.fallback.empty(); }), "by a fallback");
  if (record.microseconds != 0) text += fmt::format("; {} us in all", record.microseconds);
  if (record.pid != 0) text += fmt::format("; process {}", record.pid);
  return text + "\n";
}

}  // namespace

std::string_view name(StepRecord::State state) {
  switch (state) {
    case StepRecord::State::not_run:
      return "not run";
    case StepRecord::State::ok:
      return "ok";
    case StepRecord::State::failed:
      return "failed";
    case StepRecord::State::skipped:
      return "skipped";
  }
  return "unknown";
}

std::string record_text(const Plan& plan, const RunRecord& record, const TextStyle& style) {
  constexpr size_t kResult = 8, kTime = 9;
  const Layout at = layout(plan, style.width, kResult + 2 + kTime);
  const std::vector<std::string> heads = headings(plan);
  const std::vector<StepRecord> steps = in_plan_order(plan, record);
  std::string out = title(plan, style);
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    if (i == 0 || heads[i] != heads[i - 1]) out += "\n" + inked(heads[i], Ink::bold, style.colour) + "\n";
    const bool ran = steps[i].state == StepRecord::State::ok || steps[i].state == StepRecord::State::failed;
    const Cell cells[] = {{"", 0},
                          {fmt::to_string(i + 1), at.number, Ink::dim, true},
                          {printable(plan.steps[i].id), at.id, Ink::dim},
                          {told(plan.steps[i], steps[i]), at.text},
                          {result_words(steps[i]), kResult, ink_of(steps[i])},
                          {ran ? fmt::format("{} us", steps[i].microseconds) : "", kTime, Ink::dim, true}};
    out += row(cells, style.colour);
  }
  return out + notes_text(plan, style) + "\n" + closing(plan, steps, record);
}

namespace {

std::string where(const Plan& plan, const StepRecord& failed) {
  const std::string id =
      failed.index < plan.steps.size() ? printable(plan.steps[failed.index].id) : "unknown";
  return fmt::format("{} of {}, {}", uint64_t{failed.index} + 1, plan.steps.size(), id);
}

// What a person reads first: the cause, or at least what could not be done.
std::string headline(const Plan& plan, const StepRecord& failed, const Diagnosis& diagnosis) {
  if (!diagnosis.cause.empty()) return printable(diagnosis.cause);
  const std::string what = failed.index < plan.steps.size() ? describe(plan.steps[failed.index]) : "a step";
  return fmt::format("this failed: {}{}", what,
                     failed.error != 0 ? ": " + sys::errno_text(failed.error) : "");
}

// The cause is often the innermost line of the detail: said once is enough.
std::string without(std::string text, const std::string& cause) {
  const std::string said = cause + ": ";
  if (const size_t at = text.find(said); !cause.empty() && at != std::string::npos)
    text.erase(at, said.size());
  return text;
}

// A detail that already ends in its errno is not given another.
std::string call_words(const StepRecord& failed) {
  const std::string detail = printable(failed.detail);
  if (failed.error == 0) return detail;
  const std::string error = sys::errno_name(failed.error);
  if (detail.find(error) != std::string::npos) return detail;
  const std::string result = fmt::format("{} ({})", error, sys::errno_text(failed.error));
  return detail.empty() ? result : fmt::format("{} = -{}", detail, result);
}

}  // namespace

std::string failure_text(std::string_view program, const Plan& plan, const StepRecord& failed,
                         const Diagnosis& diagnosis, const TextStyle& style) {
  const bool known = failed.index < plan.steps.size();
  const size_t width = std::max<size_t>(style.width, 72);
  std::string out;
  for (const std::string& part :
       wrapped(fmt::format("{}: {}", program, headline(plan, failed, diagnosis)), width))
    out += inked(part, Ink::red, style.colour) + '\n';
  const auto line = [&](std::string_view label, const std::string& text) {
    if (text.empty()) return;
    const Cell cells[] = {{"", 0}, {std::string(label), 6, Ink::dim}, {text, width - 10}};
    out += row(cells, style.colour);
  };
  line("step", where(plan, failed) + (known ? ": " + describe(plan.steps[failed.index]) : ""));
  if (known) line("for", describe(plan.steps[failed.index].why));
  line("call", without(call_words(failed), printable(diagnosis.cause)));
  line("remedy", printable(diagnosis.remedy));
  return out;
}

std::string failure_line(const Plan& plan, const StepRecord& failed, const Diagnosis& diagnosis) {
  std::string out = "step " + where(plan, failed);
  if (failed.index < plan.steps.size()) out += ": " + describe(plan.steps[failed.index]);
  const auto add = [&](const std::string& text) {
    if (!text.empty()) out += (out.ends_with('.') ? " " : ": ") + text;
  };
  add(without(call_words(failed), printable(diagnosis.cause)));
  add(printable(diagnosis.cause));
  add(printable(diagnosis.remedy));
  return out;
}

}  // namespace cloche::plan
