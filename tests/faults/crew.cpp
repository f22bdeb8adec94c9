#include "faults/crew.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <exception>
#include <fstream>
#include <stdexcept>

namespace cloche::faults {
namespace {

// Fields end with a zero byte: findings hold lines.
void write_report(const std::string& path, const Report& report) {
  std::ofstream file(path, std::ios::binary);
  for (const auto& [name, count] : report.counts) file << 'C' << name << '\0' << count << '\0';
  for (const std::string& finding : report.findings) file << 'F' << finding << '\0';
  file << 'E' << '\0';
}

// False if the file is not there as a whole.
bool add_report(const std::string& path, Report& to) {
  std::ifstream file(path, std::ios::binary);
  for (std::string field, count; std::getline(file, field, '\0');) {
    if (field.starts_with('E')) return true;
    if (field.starts_with('F')) to.findings.push_back(field.substr(1));
    if (field.starts_with('C') && std::getline(file, count, '\0'))
      to.counts[field.substr(1)] += std::stoi(count);
  }
  return false;
}

[[noreturn]] void work_alone(const std::string& path, int number, Turns& turns, const Work& work) {
  Report report;
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  try {
    work(number, turns, report);
  } catch (const std::exception& error) {
    report.findings.emplace_back(error.what());
  }
  write_report(path, report);
  ::_exit(0);
}

}  // namespace

Turns::Turns(size_t points)
    : points_(points),
      next_(static_cast<size_t*>(
          ::mmap(nullptr, sizeof(size_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))) {
  if (next_ == MAP_FAILED) throw std::runtime_error("mmap failed");
}
Turns::~Turns() { ::munmap(next_, sizeof(size_t)); }

std::optional<size_t> Turns::next() {
  const size_t mine = std::atomic_ref(*next_).fetch_add(1);
  if (mine >= points_) return {};
  return mine;
}

Report share_out(size_t points, const std::string& scratch, const Work& work) {
  Turns turns(points);
  const auto processors = static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN));
  const auto path = [&](int number) { return fmt::format("{}/report-{}", scratch, number); };
  std::vector<pid_t> crew;
  for (int number = 0; number < processors; ++number) {
    crew.push_back(::fork());
    if (crew.back() == 0) work_alone(path(number), number, turns, work);
  }
  Report all;
  for (int number = 0; number < processors; ++number) {
    int status = 0;
    if (crew[number] > 0) ::waitpid(crew[number], &status, 0);
    if (!add_report(path(number), all))
      all.findings.push_back(fmt::format("process {} of the sweep ended with {:#x}", number, status));
  }
  return all;
}

}  // namespace cloche::faults
