// The frame of the script: which part runs where, and how the parts find each other.
#include "plan/script.h"

#include <fmt/format.h>

#include <algorithm>

#include "plan/catalog.h"
#include "plan/script_writer.h"
#include "plan/shell.h"
#include "plan/undo.h"
#include "plan/words.h"

namespace cloche::plan {
namespace {

// Functions that several steps use; every shell of the container evaluates them.
constexpr std::string_view kCommon = R"sh(set -eu
umask 022
root=$work/root
empty=

# point SOURCE TARGET: makes the place that SOURCE is mounted on, a directory or a file.
point() {
  if [ -d "$1" ]; then
    mkdir -p -- "$2"
  else
    mkdir -p -- "${2%/*}"
    [ -e "$2" ] || : >"$2"
  fi
}

# attributes OPTIONS TARGET: changes the mount's own flags and keeps the others.
attributes() { mount -o "remount,bind,$1" -- "$2"; }

# attributes_below OPTIONS TARGET: the same for every mount from TARGET down.
attributes_below() {
  findmnt -n -l -R -o TARGET -M "$2" | while IFS= read -r mounted; do
    attributes "$1" "$mounted"
  done
}

# device NODE c|b MAJOR MINOR: fails unless NODE is that device.
device() {
  [ "-$2" = -c ] && [ -c "$1" ] || { [ "-$2" = -b ] && [ -b "$1" ]; } || return 1
  [ "$(stat -c '%t:%T' -- "$1")" = "$(printf '%x:%x' "$3" "$4")" ]
}

# mask PATH: the first directory is covered by an empty tmpfs, the others by that same one.
mask() {
  if [ ! -e "$1" ]; then
    :
  elif [ ! -d "$1" ]; then
    mount --bind -- /dev/null "$1"
  elif [ -n "$empty" ]; then
    mount --bind -- "$empty" "$1"
  else
    mount -t tmpfs -o nosuid,nodev,noexec,size=0k,mode=755 -- tmpfs "$1"
    attributes ro "$1"
    empty=$1
  fi
}
)sh";

constexpr std::string_view kHandshake = R"sh(# The pid in the host's terms: /proc is still the host's.
read -r pid _ </proc/self/stat
echo "$pid" >&3
read -r answer <&4
exec 3>&- 4>&-
[ "$answer" = go ] || exit 125
)sh";

// Waits until the kernel has let the last process go; a cgroup with one in it cannot be removed.
constexpr std::string_view kRemoveCgroup = R"sh(
remove_cgroup() {
  [ -d "$1" ] || return 0
  if [ -e "$1/cgroup.kill" ]; then echo 1 >"$1/cgroup.kill" || :; fi
  tries=100
  until find "$1" -depth -type d -exec rmdir -- {} \; 2>/dev/null && [ ! -d "$1" ]; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || { echo "$1 is still in use" >&2; return 0; }
    sleep 0.05
  done
}
)sh";

}  // namespace

std::string to_script(const Plan& plan, const HostFacts& facts) { return ScriptWriter(plan, facts).write(); }

ScriptWriter::ScriptWriter(const Plan& plan, const HostFacts& facts) : plan_(plan), facts_(facts) {
  const auto first = [&]<class A>(std::in_place_type_t<A>) {
    const auto is = [](const Step& s) { return std::holds_alternative<A>(s.action); };
    return static_cast<size_t>(std::ranges::find_if(plan.steps, is) - plan.steps.begin());
  };
  clone_ = first(std::in_place_type<CloneProcess>);
  pivot_ = first(std::in_place_type<PivotRoot>);
  bundle_ = first(std::in_place_type<BindRoot>) < plan.steps.size();
  terminal_ = first(std::in_place_type<OpenTerminal>) < plan.steps.size();
}

ScriptWriter::Part ScriptWriter::part_of(size_t index) const {
  const Step& s = plan_.steps[index];
  const bool tree = std::holds_alternative<OpenTree>(s.action) || std::holds_alternative<IdmapTree>(s.action);
  if (tree && clone_ == plan_.steps.size()) return Part::host;  // of a restore
  if (tree || std::holds_alternative<JoinNamespace>(s.action) || index == clone_) return Part::outer;
  if (s.side == Side::container) return Part::container;
  return index < clone_ ? Part::host : Part::mapper;
}

// After the pivot the host's programs are out of reach, and a /proc/sys that is read-only in the way.
bool ScriptWriter::is_early(size_t index) const {
  if (index <= pivot_ || part_of(index) != Part::container) return false;
  const Primitive primitive = entry(plan_.steps[index].action).primitive;
  const Action& action = plan_.steps[index].action;
  const bool last =
      std::holds_alternative<SetUser>(action) || std::holds_alternative<ChangeDirectory>(action) ||
      std::holds_alternative<CloseDescriptors>(action) || std::holds_alternative<ResetSignals>(action) ||
      std::holds_alternative<DieWithCaller>(action) || std::holds_alternative<SetExecLabel>(action) ||
      primitive == Primitive::capabilities || primitive == Primitive::no_new_privs ||
      primitive == Primitive::seccomp || primitive == Primitive::exec || primitive == Primitive::hook;
  return !last;
}

void ScriptWriter::line(std::string_view text) {
  *part_ += text;
  *part_ += '\n';
}

void ScriptWriter::not_done(std::string_view reason) {
  line(fmt::format("# NOT DONE HERE: {}.", reason));
  marks_.push_back({at_, std::string(reason)});
}

void ScriptWriter::next_shell(std::string_view command) {
  line(fmt::format("exec {} sh -c \"$shell{}\"", command, shells_.size() + 1));
  shells_.emplace_back("eval \"$common\"\n");
  part_ = &shells_.back();
}

void ScriptWriter::step(size_t index, std::string_view moved) {
  at_ = index;
  const Step& s = plan_.steps[index];
  line(fmt::format("\n# {}. {}: {}", index + 1, printable(s.id), describe(s)));
  line(fmt::format("#    {}{}", describe(s.why), moved));
  std::visit([this](const auto& action) { emit(action); }, s.action);
}

void ScriptWriter::early_steps() {
  const size_t pivot = at_;
  for (size_t i = pivot_ + 1; i < plan_.steps.size(); ++i) {
    if (is_early(i)) step(i, "; done before pivot-root, with the host's programs");
  }
  at_ = pivot;
}

std::string ScriptWriter::write() {
  shells_.reserve(16 + plan_.steps.size());
  shells_.emplace_back("eval \"$common\"\n" + std::string(kHandshake));
  for (const Part part : {Part::host, Part::outer, Part::mapper, Part::container}) {
    part_ = part == Part::host     ? &host_
            : part == Part::outer  ? &outer_
            : part == Part::mapper ? &mapper_
                                   : &shells_.back();
    for (size_t i = 0; i < plan_.steps.size(); ++i) {
      if (part_of(i) != part || is_early(i) || i == clone_) continue;
      if (i == pivot_) early_steps();
      step(i);
    }
    if (part == Part::outer && clone_ < plan_.steps.size()) step(clone_);
  }
  return assemble();
}

std::string ScriptWriter::header() const {
  std::string out = fmt::format(
      "#!/bin/sh\n"
      "# The container {}, made by hand: the same steps in the same order, without Cloche.\n"
      "# Needs util-linux, coreutils, findutils, iproute2 and hostname{}.\n#\n"
      "# Steps that a shell cannot do are marked NOT DONE HERE, which makes this container weaker than "
      "Cloche's:\n",
      shown(plan_.container), plan_.rootless ? ", and uidmap" : "");
  std::vector<Mark> marks = marks_;
  std::ranges::stable_sort(marks, {}, &Mark::index);
  for (const Mark& mark : marks) {
    out += fmt::format("#   step {}, {}: {}\n", mark.index + 1, printable(plan_.steps[mark.index].id),
                       mark.reason);
  }
  out +=
      "#   in every step: paths below the root are followed by name; Cloche resolves them inside the root "
      "(openat2)\n"
      "#   and attaches mounts by descriptor, so that a link in an image leads nowhere else\n";
  for (const Note& note : plan_.notes) {
    out += fmt::format("# Note: {}: {}\n", printable(note.subject), printable(note.text));
  }
  return out;
}

std::string ScriptWriter::host_part() const {
  std::string out =
      "set -eu\n"
      "umask 022\n"
      "PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin\n"
      "LIBMOUNT_FSTAB=/dev/null  # mount(8) would add what fstab says of a path\n"
      "export PATH LIBMOUNT_FSTAB\n";
  if (facts_.privileged) out += "[ \"$(id -u)\" = 0 ] || { echo 'run this as root' >&2; exit 125; }\n";
  out +=
      "\n# An empty directory for mount points; what is mounted there is seen by the container only.\n"
      "work=$(mktemp -d /tmp/by-hand.XXXXXX)\n"
      "chmod 755 \"$work\"\n"
      "mkdir \"$work/root\" \"$work/scratch\" \"$work/trees\"\n"
      "mkfifo \"$work/pid\" \"$work/go\"\n"
      "exec 3<>\"$work/pid\" 4<>\"$work/go\"\n"
      "rm \"$work/pid\" \"$work/go\"\n"
      "export work\n"
      "mapper=\n";
  const std::vector<UndoAction> undo = undo_of(plan_);
  if (!undo.empty()) out += kRemoveCgroup;
  out +=
      "\n# Leaves nothing behind, also when a step fails.\nafterwards() {\n  status=$?\n  trap - EXIT\n"
      "  [ -z \"$mapper\" ] || kill \"$mapper\" 2>/dev/null || :\n";
  for (const UndoAction& action : undo) {
    // kill and removal are one function
    if (action.kind == UndoAction::Kind::remove_cgroup)
      out += fmt::format("  remove_cgroup {}\n", shell_word(action.path));
    if (action.kind == UndoAction::Kind::remove_resctrl)
      out += fmt::format("  [ ! -d {0} ] || rmdir -- {0}\n", shell_word(action.path));
  }
  out +=
      "  rmdir \"$work/root\" \"$work/scratch\" \"$work/trees\" \"$work\"\n  exit \"$status\"\n}\n"
      "trap afterwards EXIT\n"
      "trap 'exit 129' HUP\ntrap 'exit 130' INT\ntrap 'exit 143' TERM\n";
  return out + host_;
}

// An outer mount namespace, still with root's rights, holds the trees that the mapped root could not reach.
std::string ScriptWriter::start_command() const {
  return slots_.empty() ? "sh -c \"$outer\"" : "unshare --mount --propagation slave sh -c \"$outer\"";
}

std::string ScriptWriter::assemble() {
  std::string out = header() + host_part();
  out +=
      "\n# ---- the container's first process: one process, which executes one shell after the other "
      "----\n\n";
  out += here_document("common", kCommon);
  std::string names = "common";
  for (size_t i = 0; i < shells_.size(); ++i) {
    const std::string name = fmt::format("shell{}", i + 1);
    out += "\n" + here_document(name, shells_[i]);
    names += " " + name;
  }
  std::string outer = "set -eu\n";
  if (!slots_.empty()) outer += "mount -t tmpfs -o mode=755 -- tmpfs \"$work/trees\"\n";
  out += "\n# ---- what starts it ----\n\n" + here_document("outer", outer + outer_);
  out += fmt::format("export outer {}\n", names);
  out +=
      "\n# ---- beside it: does what only the host side can, then lets it go on ----\n\n(\n"
      "mapper=\ntrap 'echo stop >&4' EXIT\nread -r pid <&3\n";
  out += mapper_;
  out += "\ntrap - EXIT\necho go >&4\n) &\nmapper=$!\n\n# ---- start ----\n\n";
  return out + start_command() + "\n";
}

}  // namespace cloche::plan
