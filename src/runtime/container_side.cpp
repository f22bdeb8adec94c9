#include "runtime/container_side.h"

#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "runtime/process_mark.h"
#include "sys/call.h"
#include "sys/files.h"
#include "sys/mounts.h"
#include "sys/process.h"

namespace cloche::runtime {

sys::Result<> ContainerSide::begin() {
  bool own_users = false, joined = false;  // joined: shares a namespace with processes that are not ours
  for (const plan::Step& step : plan_.steps) {
    if (std::holds_alternative<plan::JoinNamespace>(step.action)) joined = true;
    if (const auto* clone = std::get_if<plan::CloneProcess>(&step.action))
      own_users = std::ranges::find(clone->namespaces, "user") != clone->namespaces.end();
  }
  // Others that see this process (a joined pid namespace, or the host's) must not look into it while it still holds
  // what the host gave it; being root in the new user namespace does not keep them out, for whoever made that one has
  // all rights in it. A caller without root's rights can write the id map only of a dumpable process.
  CLOCHE_TRY(sys::set_dumpable(plan_.rootless && (!joined || own_users)));
  sys::raw_call(SYS_umask, 0);  // modes are given exactly; the command's umask is set with its user
  CLOCHE_TRY_ASSIGN(magic, sys::file_system_magic(prepared_.proc));
  if (magic != PROC_SUPER_MAGIC)
    return sys::fail_because("/proc of the host is no proc file system: mount one there first");
  host_proc_ = std::move(prepared_.proc);
  CLOCHE_TRY_ASSIGN(pid, sys::read_link(host_proc_.get(), "self"));
  pid_ = std::move(pid);
  // A change of ids makes the process undumpable, and these files the host root's. One that cannot be opened is the
  // failure of its own step.
  for (const plan::Step& step : plan_.steps) {
    if (std::holds_alternative<plan::EnterTimeNamespace>(step.action))
      timens_offsets_ = sys::open_at(host_proc_.get(), "self/timens_offsets", O_WRONLY);
    if (std::holds_alternative<plan::SetOomScore>(step.action))
      oom_score_ = sys::open_at(host_proc_.get(), "self/oom_score_adj", O_WRONLY);
  }
  if (prepared_.init_mark.valid()) CLOCHE_TRY(leave_mark());
  return open_places();
}

// Written by the process itself, before anything else: the caller may be killed right after the clone, and what is not
// on disk then nobody could find.
sys::Result<> ContainerSide::leave_mark() {
  CLOCHE_TRY_ASSIGN(line, sys::read_file(host_proc_.get(), "self/stat", 4096));
  const auto stat = parse_stat(line);
  int64_t number = 0;
  std::from_chars(pid_.data(), pid_.data() + pid_.size(), number);
  if (!stat || number == 0) return sys::fail_because("/proc/self/stat is not as proc_pid_stat(5) has it");
  CLOCHE_TRY(sys::write_once(prepared_.init_mark, to_line({.pid = number, .start = stat->start}), "init"));
  prepared_.init_mark.reset();
  // Killed before the mark was there, and perhaps deleted since: then nobody knows of this process.
  return host_.check_caller();
}

// Paths of the host that the caller can reach and the mapped root perhaps cannot (a home directory, mode 700): opened
// now, in the new mount namespace but still with the caller's ids.
sys::Result<> ContainerSide::open_places() {
  bool changes_ids = false;
  for (const plan::Step& step : plan_.steps)
    changes_ids |= std::holds_alternative<plan::BecomeRoot>(step.action);
  for (size_t i = 0; changes_ids && i < plan_.steps.size(); ++i) {
    std::string path;
    if (const auto* scratch = std::get_if<plan::MountScratch>(&plan_.steps[i].action)) path = scratch->path;
    if (const auto* bind = std::get_if<plan::BindMount>(&plan_.steps[i].action);
        bind != nullptr && bind->slot.empty())
      path = bind->source;
    if (const auto* root = std::get_if<plan::BindRoot>(&plan_.steps[i].action);
        root != nullptr && root->slot.empty())
      path = root->path;
    if (path.empty()) continue;
    // One that is not there is the failure of its own step.
    if (auto place = sys::open_at(AT_FDCWD, path, O_PATH)) places_[path] = *std::move(place);
  }
  return {};
}

sys::Result<sys::Fd> ContainerSide::tree_at(const std::string& path, bool recursive) {
  const auto place = places_.find(path);
  if (place == places_.end()) return sys::clone_tree(AT_FDCWD, path, recursive);
  auto tree = sys::clone_tree(place->second, recursive);
  if (!tree) tree.error().context.push_back("the source is " + path);
  return tree;
}

sys::Result<> ContainerSide::perform(size_t index) {
  index_ = static_cast<uint32_t>(index);
  return recorded(record_, index_, [&] {
    return std::visit([&](const auto& action) { return act(action); }, plan_.steps[index].action);
  });
}

sys::Result<> ContainerSide::let_go() {
  for (sys::Fd* held : {&root_, &scratch_, &devpts_, &empty_}) held->reset();
  for (sys::Result<sys::Fd>* held : {&timens_offsets_, &oom_score_}) *held = sys::Fd();
  anchors_.clear();
  places_.clear();
  prepared_.trees.clear();
  prepared_.namespaces.clear();
  prepared_.cgroup.reset();
  // The label alone is written through it later, by the process that takes it on (proc_pid_attr(5)).
  const auto labels = [](const plan::Step& step) {
    return std::holds_alternative<plan::SetExecLabel>(step.action);
  };
  if (std::ranges::none_of(plan_.steps, labels)) host_proc_.reset();
  // What the caller's memory, of which this is a copy, had open besides.
  int preserved = 0;
  for (const plan::Step& step : plan_.steps)
    if (const auto* close = std::get_if<plan::CloseDescriptors>(&step.action))
      preserved = static_cast<int>(close->preserve);
  return sys::close_all_but(3 + preserved, {host_.socket().get(), prepared_.start_listener.get(),
                                            prepared_.init.get(), prepared_.agent.get(), host_proc_.get()});
}

void ContainerSide::give_up(size_t index, const sys::Error& error) {
  if (record_.failure.version == 0) record_.failure = to_record(static_cast<uint32_t>(index), error);
  host_.failed(record_.failure);
  _exit(125);
}

void ContainerSide::run(size_t first) {
  if (auto begun = begin(); !begun) give_up(first, begun.error());
  bool after_host = false;  // the step before this one was the host's
  for (size_t i = first; i < plan_.steps.size(); ++i) {
    if (plan_.steps[i].side == plan::Side::host) {
      if (!after_host && i > first)
        if (auto said = host_.arrived(); !said) give_up(i, said.error());
      after_host = true;
      continue;
    }
    if (after_host)
      if (auto heard = host_.await_proceed(); !heard) give_up(i, heard.error());
    after_host = false;
    if (record_.steps[i].state == StepState::ok) continue;  // done by the joining process
    if (auto done = perform(i); !done) give_up(i, done.error());
  }
  give_up(plan_.steps.size(),
          sys::Error{.code = 0, .call = {}, .context = {"the plan ends without a command"}});
}

}  // namespace cloche::runtime
