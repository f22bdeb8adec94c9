#include "faults/scenes.h"

#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stdexcept>

#include "support/files.h"

namespace cloche::faults {
namespace {

void must(const test::Outcome& outcome) {
  if (!outcome.ok()) throw std::runtime_error("before the fault: " + outcome.describe());
}

// A container ends, which is our child or was.
void await(pid_t pid) {
  for (int tries = 0; tries < 1000 && runs(pid); ++tries) ::usleep(10'000);
  while (::waitpid(pid, nullptr, WNOHANG) > 0) {
  }
}

class Runs : public Scene {
 public:
  using Scene::Scene;
  [[nodiscard]] test::Command command() const override {
    return place_.command({"run", "--bundle", place_.path() + "/bundle", "box"});
  }
};

class Creates : public Scene {
 public:
  using Scene::Scene;
  [[nodiscard]] test::Command command() const override {
    return place_.command({"create", "--bundle", place_.path() + "/bundle", "box"});
  }
  std::string portrait(const Watched& /*watched*/) override {
    const pid_t init = place_.init();
    for (const char* verb : {"start", "delete"}) {
      const test::Outcome done = place_.run({verb, "box"});
      if (!done.ok()) {
        (void)place_.delete_box();
        return done.describe();
      }
      await(init);
    }
    return test::text_of(place_.path() + "/traced.out");
  }
};

class Starts : public Scene {
 public:
  using Scene::Scene;
  [[nodiscard]] test::Command command() const override { return place_.command({"start", "box"}); }
  void prepare() override {
    const test::Outcome created = place_.run({"create", "--bundle", place_.path() + "/bundle", "box"});
    must(created);
    init_ = place_.init();
    if (told_.empty()) told_ = all_steps();
  }
  [[nodiscard]] pid_t waiting() const override { return init_; }
  [[nodiscard]] std::string told(const Watched& /*watched*/) const override { return told_; }
  [[nodiscard]] bool says_steps() const override { return false; }
  std::string portrait(const Watched& /*watched*/) override {
    await(init_);
    return test::text_of(place_.path() + "/run.out");
  }
  [[nodiscard]] bool may_stay(bool /*in_step*/, bool /*succeeded*/) const override { return true; }

 private:
  // As --debug says them: `create` has not run those after its own.
  [[nodiscard]] std::string all_steps() const {
    const test::Outcome plan = place_.run({"explain", "--format", "json", "box"});
    const test::Outcome lines = test::run(
        {.argv = {"jq", "-r",
                  ".steps as $all | $all | to_entries[] | \"debug: step \\(.key + 1) of \\($all | length), "
                  "\\(.value.id), \\(.value.side): 0 us\""},
         .input = plan.out});
    must(lines);
    return lines.out;
  }

  std::string told_;
  pid_t init_ = 0;
};

// The container is the same for all of them: a process that cannot be made is no harm to it.
class Execs : public Scene {
 public:
  Execs(Place place, std::vector<std::string> words) : Scene(std::move(place)), words_(std::move(words)) {
    words_.insert(words_.begin(), {"exec", "box"});
  }
  [[nodiscard]] test::Command command() const override { return place_.command(words_); }
  void prepare() override {
    if (init_ != 0) return;
    must(place_.run({"run", "--detach", "--bundle", place_.path() + "/bundle", "box"}));
    init_ = place_.init();
  }
  [[nodiscard]] int failed() const override { return 255; }
  std::vector<std::string> leftovers(const Watched& watched, bool /*may_stay*/, Report& /*report*/) override {
    std::vector<std::string> left;
    for (const pid_t pid : watched.left) {
      await(pid);
      if (runs(pid)) left.push_back(fmt::format("process {}, running", pid));
    }
    if (runs(init_) && left.empty()) return left;
    if (!runs(init_)) left.emplace_back("nothing, not even the container");
    must(place_.delete_box());
    init_ = 0;
    return left;
  }
  Execs(const Execs&) = delete;
  Execs& operator=(const Execs&) = delete;
  ~Execs() override {
    if (init_ != 0) (void)place_.delete_box();
  }

 private:
  std::vector<std::string> words_;
  pid_t init_ = 0;
};

class Deletes : public Scene {
 public:
  using Scene::Scene;
  [[nodiscard]] test::Command command() const override {
    return place_.command({"delete", "--force", "box"});
  }
  void prepare() override {
    must(place_.run({"run", "--detach", "--bundle", place_.path() + "/bundle", "box"}));
    init_ = place_.init();
  }
  std::string portrait(const Watched& /*watched*/) override {
    await(init_);
    return "";
  }
  [[nodiscard]] bool may_stay(bool /*in_step*/, bool succeeded) const override { return !succeeded; }

 private:
  pid_t init_ = 0;
};

}  // namespace

std::vector<std::string> Scene::leftovers(const Watched& watched, bool may_stay, Report& report) {
  std::vector<std::string> left = place_.left(may_stay ? std::vector<pid_t>{} : watched.left);
  if (left.empty() && watched.left.empty()) return {};
  if (!left.empty() && may_stay) ++report.counts["needed delete --force"];
  const test::Outcome deleted = place_.delete_box();
  if (!deleted.ok()) left.push_back("delete --force: " + deleted.describe());
  if (may_stay && deleted.ok()) left.clear();
  for (const std::string& line : place_.left(watched.left)) left.push_back(line + ", after delete --force");
  return left;
}

std::unique_ptr<Scene> run_scene(Place place) { return std::make_unique<Runs>(std::move(place)); }
std::unique_ptr<Scene> create_scene(Place place) { return std::make_unique<Creates>(std::move(place)); }
std::unique_ptr<Scene> start_scene(Place place) { return std::make_unique<Starts>(std::move(place)); }
std::unique_ptr<Scene> exec_scene(Place place, std::vector<std::string> words) {
  return std::make_unique<Execs>(std::move(place), std::move(words));
}
std::unique_ptr<Scene> delete_scene(Place place) { return std::make_unique<Deletes>(std::move(place)); }

}  // namespace cloche::faults
