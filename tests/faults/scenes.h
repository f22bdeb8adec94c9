// The commands whose calls are made to fail, with what comes before and after each time.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "faults/crew.h"
#include "faults/place.h"
#include "faults/tracer.h"

namespace cloche::faults {

class Scene {
 public:
  explicit Scene(Place place) : place_(std::move(place)) {}
  Scene(const Scene&) = delete;
  Scene& operator=(const Scene&) = delete;
  virtual ~Scene() = default;

  [[nodiscard]] virtual test::Command command() const = 0;
  virtual void prepare() {}
  // The container's process that waits for the command.
  [[nodiscard]] virtual pid_t waiting() const { return 0; }
  // What `--debug` says of the steps.
  [[nodiscard]] virtual std::string told(const Watched& watched) const { return watched.err; }
  [[nodiscard]] virtual bool says_steps() const { return true; }
  [[nodiscard]] virtual int failed() const { return 1; }
  // What was made, after a success.
  virtual std::string portrait(const Watched& watched) { return watched.out; }
  // May there be something that `delete --force` takes away?
  [[nodiscard]] virtual bool may_stay(bool in_step, bool succeeded) const { return !in_step && !succeeded; }
  // One line for each thing that is left. Nothing is after it.
  virtual std::vector<std::string> leftovers(const Watched& watched, bool may_stay, Report& report);

  [[nodiscard]] const Place& place() const { return place_; }

 protected:
  Place place_;
};

// Each takes a place whose bundle is written. What `create`, `start` and `run` make ends by itself; `exec` and `delete`
// need one that stays.
std::unique_ptr<Scene> run_scene(Place place);
std::unique_ptr<Scene> create_scene(Place place);
std::unique_ptr<Scene> start_scene(Place place);
std::unique_ptr<Scene> exec_scene(Place place, std::vector<std::string> words);
std::unique_ptr<Scene> delete_scene(Place place);

}  // namespace cloche::faults
