// The script's lines for the file system: mounts, devices, the root.
#include <fmt/format.h>

#include <algorithm>

#include "plan/script_writer.h"
#include "plan/shell.h"
#include "plan/words.h"

namespace cloche::plan {
namespace {

std::string comma(const Strings& words) { return fmt::format("{}", fmt::join(words, ",")); }

// The file system's own options in mount(8)'s list: a comma in a value is escaped.
std::string escaped(std::string_view text, std::string_view specials) {
  std::string out;
  for (const char c : text) {
    if (specials.find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

std::string option_flag(const Strings& options) {
  return options.empty() ? "" : "-o " + shell_word(comma(options)) + " ";
}

Strings joined(Strings a, const Strings& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// mount(8)'s word that takes an attribute away.
std::string opposite(const std::string& attribute) {
  if (attribute == "ro") return "rw";
  if (attribute == "noatime") return "atime";
  return attribute.starts_with("no") ? attribute.substr(2) : "no" + attribute;
}

Strings words_of(const Strings& set, const Strings& cleared) {
  Strings words = set;
  for (const std::string& attribute : cleared) words.push_back(opposite(attribute));
  return words;
}

// Upper and work directories are named below the scratch mount, by path or relative to it.
std::string below_scratch(const std::string& path, const std::string& scratch) {
  std::string_view rest = path;
  if (!scratch.empty() && rest.starts_with(scratch)) rest.remove_prefix(scratch.size());
  while (rest.starts_with('/')) rest.remove_prefix(1);
  return std::string(rest);
}

std::string parent(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

}  // namespace

// A slot's tree is where the outer shell has mounted it; without root's rights a path is used as it is.
std::string ScriptWriter::source_of(const std::string& slot, const std::string& path) const {
  const auto found = slots_.find(slot);
  if (!slot.empty() && found != slots_.end()) return fmt::format("\"$work\"/trees/{}", found->second);
  return shell_word(path);
}

// Once for a directory, as long as nothing is mounted in between that could cover it.
void ScriptWriter::make_directory(const std::string& word) {
  if (made_.insert(word).second) line(fmt::format("mkdir -p -- {}", word));
}

void ScriptWriter::mounted_on(const std::string& word) { made_ = {word}; }

void ScriptWriter::emit(const OpenTree& a) {
  if (clone_ == plan_.steps.size()) opened_[a.slot] = a.path;
  if (!facts_.privileged || opened_.contains(a.slot)) return line("# used by its path, further down");
  const size_t number = slots_.size() + 1;
  slots_[a.slot] = number;
  const std::string source = shell_word(a.path), target = fmt::format("\"$work\"/trees/{}", number);
  line(fmt::format("if [ -d {} ]; then mkdir {}; else : >{}; fi", source, target, target));
  line(fmt::format("mount --{} -- {} {}", a.recursive ? "rbind" : "bind", source, target));
  line(fmt::format("mount --make-rslave -- {}", target));
}

// In criu's mount namespace: what RestoreProcesses::shown is to hold.
std::string ScriptWriter::shown_apart(const RestoreProcesses& a) const {
  const std::string shown = shell_word(a.shown);
  std::string out = fmt::format("mount -t tmpfs -o mode=755 -- tmpfs {0} && : >{0}/console", shown);
  for (const ShownTree& tree : a.trees)
    out += fmt::format(
        " && if [ -d {0} ]; then mkdir {1}/{2}; else : >{1}/{2}; fi && mount --bind -- {0} {1}/{2}",
        shell_word(opened_.at(tree.slot)), shown, tree.name);
  if (!a.user_namespace) return out;
  return out +
         fmt::format(
             " && mkdir {0}/images && (cd {1} && find -L . -type d -o -name \"*.img\") | while read -r f; do "
             "if [ -d {1}/\"$f\" ]; then mkdir -p {0}/images/\"$f\"; "
             "else : >{0}/images/\"$f\" && mount --bind {1}/\"$f\" {0}/images/\"$f\"; fi; done",
             shown, shell_word(a.images));
}

void ScriptWriter::emit(const IdmapTree&) {
  not_done("an id-mapped mount needs mount_setattr(2), and mount(8) makes one from util-linux 2.39 on");
}

void ScriptWriter::emit(const SetPropagation& a) {
  line(fmt::format("mount {} /", shell_word("--make-r" + a.propagation)));
}

void ScriptWriter::emit(const BindRoot& a) {
  line(fmt::format("mount --{} -- {} \"$root\"", a.recursive ? "rbind" : "bind", source_of(a.slot, a.path)));
  const std::string propagation = a.propagation.empty() ? "rprivate" : a.propagation;
  line(fmt::format("mount {} -- \"$root\"",
                   shell_word((propagation.starts_with('r') ? "--make-" : "--make-r") + propagation)));
}

void ScriptWriter::emit(const TmpfsRoot& a) {
  line(fmt::format("mount -t tmpfs {}-- tmpfs \"$root\"", option_flag(a.options)));
}

void ScriptWriter::emit(const MountScratch& a) {
  line(fmt::format("mount -t tmpfs {}-- tmpfs \"$work/scratch\"",
                   option_flag(joined({"nosuid", "nodev"}, a.options))));
}

void ScriptWriter::emit(const MountOverlay& a) {
  std::string scratch;
  for (const Step& s : plan_.steps) {
    if (const auto* mount = std::get_if<MountScratch>(&s.action)) scratch = mount->path;
  }
  const std::string upper = below_scratch(a.upper, scratch), work = below_scratch(a.work, scratch);
  line("cd \"$work/scratch\"");
  line(fmt::format("mkdir -p -- {} {}", shell_word("./" + upper), shell_word("./" + work)));
  for (const std::string& directory : a.skeleton) {
    line(fmt::format("mkdir -p -- {}",
                     shell_word("./" + upper + (directory.starts_with('/') ? "" : "/") + directory)));
  }
  Strings lowers;
  if (a.lower_slot.empty()) {
    for (const std::string& lower : a.lowers) lowers.push_back(escaped(lower, "\\:,"));
  } else {
    line("mkdir -p lower");
    line(fmt::format("mount --rbind -- {} lower",
                     source_of(a.lower_slot, a.lowers.empty() ? "/" : a.lowers.front())));
    lowers = {"lower"};
  }
  const Strings options = joined({fmt::format("lowerdir={}", fmt::join(lowers, ":")),
                                  "upperdir=" + escaped(upper, "\\,"), "workdir=" + escaped(work, "\\,")},
                                 a.options);
  const std::string target = below_root(a.target);
  if (a.target != "/") line(fmt::format("mkdir -p -- {}", target));
  line(fmt::format("mount -t overlay {}-- overlay {}", option_flag(options), target));
  line("cd /");
  mounted_on(target);
}

void ScriptWriter::emit(const MountFs& a) {
  const std::string target = below_root(a.target);
  Strings attributes = a.attributes;
  const bool readonly = std::erase(attributes, "ro") != 0;
  Strings options = joined(attributes, {});
  for (const std::string& option : a.options) options.push_back(escaped(option, ","));
  const std::string source = shell_word(a.source.empty() ? a.type : a.source), type = shell_word(a.type);
  if (a.label && a.type != "mqueue") options.push_back("context=\"" + *a.label + '"');
  if (a.contents) line(fmt::format("covers=; [ ! -d {} ] || covers=1", target));
  make_directory(target);
  if (a.contents) {
    copied_tmpfs(a, options, readonly);
    return mounted_on(target);
  }
  const auto command = [&](const Strings& with) {
    return fmt::format("mount -t {} {}-- {} {}", type, option_flag(with), source, target);
  };
  std::string made = command(options);
  // Where the host's own is read-only for us, the kernel allows a new one only read-only from the start.
  if (readonly) made += fmt::format(" ||\n  {}", command(joined({"ro"}, options)));
  if (a.fallback == "bind") {
    const std::string host = a.type == "cgroup2"  ? "/sys/fs/cgroup"
                             : a.type == "sysfs"  ? "/sys"
                             : a.type == "mqueue" ? "/dev/mqueue"
                                                  : "/proc";
    made += fmt::format(" ||\n  mount --rbind -- {} {}", shell_word(host), target);
  }
  line(made);
  mounted_on(target);
  if (a.fallback == "bind" && !attributes.empty())
    line(fmt::format("attributes {} {}", shell_word(comma(attributes)), target));
  if (readonly) line(fmt::format("attributes ro {}", target));
  if (a.label && a.type == "mqueue") line(fmt::format("chcon -- {} {}", shell_word(*a.label), target));
  if (!a.propagation.empty())
    line(fmt::format("mount {} -- {}", shell_word("--make-" + a.propagation), target));
}

// Filled elsewhere and then moved: nothing is seen of it before it is complete. The copy gives the top directory the
// old one's owner and mode; what the options say of them holds.
void ScriptWriter::copied_tmpfs(const MountFs& a, const Strings& options, bool readonly) {
  const std::string target = below_root(a.target), stage = "\"$work/scratch\"";
  line(fmt::format("mount -t tmpfs {}-- tmpfs {}", option_flag(options), stage));
  line(fmt::format("[ -z \"$covers\" ] || cp -a -- {}/. {}", target, stage));
  for (const std::string& option : a.options) {
    if (option.starts_with("mode=")) line(fmt::format("chmod -- {} {}", shell_word(option.substr(5)), stage));
    if (option.starts_with("uid=")) line(fmt::format("chown -- {} {}", shell_word(option.substr(4)), stage));
    if (option.starts_with("gid=")) line(fmt::format("chgrp -- {} {}", shell_word(option.substr(4)), stage));
  }
  line(fmt::format("mount --move -- {} {}", stage, target));
  if (readonly) line(fmt::format("attributes ro {}", target));
  if (!a.propagation.empty())
    line(fmt::format("mount {} -- {}", shell_word("--make-" + a.propagation), target));
}

void ScriptWriter::emit(const BindMount& a) {
  const std::string source = source_of(a.slot, a.source), target = below_root(a.target);
  line(fmt::format("point {} {}", source, target));
  line(fmt::format("mount --{} -- {} {}", a.recursive ? "rbind" : "bind", source, target));
  mounted_on(target);
  const Strings below = words_of(a.recursive_attributes, a.recursive_cleared);
  const Strings top = words_of(a.attributes, a.cleared);
  if (!below.empty()) line(fmt::format("attributes_below {} {}", shell_word(comma(below)), target));
  if (!top.empty()) line(fmt::format("attributes {} {}", shell_word(comma(top)), target));
  if (!a.propagation.empty())
    line(fmt::format("mount {} -- {}", shell_word("--make-" + a.propagation), target));
}

void ScriptWriter::emit(const MakeDevice& a) {
  const std::string path = below_root(a.path);
  const std::string type = a.type == "b" ? "b" : a.type == "p" ? "p" : "c";
  make_directory(below_root(parent(a.path)));
  if (a.how == "bind") {
    line(fmt::format("device {} {} {} {}", shell_word(a.path), type, a.major, a.minor));
    line(fmt::format("[ -e {0} ] || : >{0}", path));
    line(fmt::format("mount --bind -- {} {}", shell_word(a.path), path));
    return;
  }
  if (type == "p") {
    line(fmt::format("[ -p {0} ] || mknod -m {1:04o} -- {0} p", path, a.mode));
  } else {
    line(fmt::format("[ ! -e {0} ] || device {0} {1} {2} {3}", path, type, a.major, a.minor));
    line(fmt::format("[ -e {0} ] || mknod -m {1:04o} -- {0} {2} {3} {4}", path, a.mode, type, a.major,
                     a.minor));
  }
  if (a.uid != 0 || a.gid != 0) line(fmt::format("chown -h -- {}:{} {}", a.uid, a.gid, path));
}

void ScriptWriter::emit(const MakeSymlink& a) {
  const std::string path = below_root(a.path);
  make_directory(below_root(parent(a.path)));
  line(fmt::format("[ -L {0} ] || [ -e {0} ] || ln -s -- {1} {0}", path, shell_word(a.target)));
}

void ScriptWriter::emit(const MakeDirectory& a) {
  line(fmt::format("[ -d {0} ] || mkdir -p -m {1:04o} -- {0}", below_root(a.path), a.mode));
}

void ScriptWriter::emit(const MaskPath& a) { line(fmt::format("mask {}", below_root(a.path))); }

void ScriptWriter::emit(const ReadonlyPath& a) {
  const std::string path = below_root(a.path);
  line(fmt::format("if [ -e {} ]; then", path));
  line(fmt::format("  mount --rbind -- {0} {0}", path));
  line(fmt::format("  attributes ro {}", path));
  line("fi");
}

void ScriptWriter::emit(const RootReadonly&) { line("attributes ro \"$root\""); }

void ScriptWriter::emit(const RootPropagation& a) {
  line(fmt::format("mount {} -- \"$root\"", shell_word("--make-" + a.propagation)));
}

// In a bundle none of our programs can be counted on. The shell stays in the host's /usr while the root changes, so
// that a path from there leads to the host's programs; their loader and libraries are named the same way. The last of
// them, env, leaves for the command's directory, and nothing of the host is held any more.
void ScriptWriter::emit(const PivotRoot&) {
  if (!bundle_) {
    line("cd \"$root\"");
    line("pivot_root . .");
    line("umount -l .");
    line("cd /");
    return;
  }
  line("loader=$(ldd /usr/bin/env | sed -n 's,^[^/]*\\(/[^ ]*/ld-[^ ]*\\).*,\\1,p')");
  line("loader=$(readlink -f -- \"$loader\")");
  line("loader=./${loader#/usr/}");
  line("libraries=${loader%/*}");
  line("cd /usr");
  line("pivot_root \"$root\" \"$root\"");
  line("\"$loader\" --library-path \"$libraries\" ./bin/umount -l /");
}

}  // namespace cloche::plan
