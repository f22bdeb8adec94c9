#include "spec/read.h"

#include <fmt/format.h>

#include "spec/reader.h"
#include "spec/text.h"
#include "sys/files.h"

namespace cloche::spec {
namespace {

std::unexpected<Problem> refuse(std::string what) { return std::unexpected(Problem{"", std::move(what)}); }

std::string_view kind_of_file(mode_t mode) {
  if (S_ISDIR(mode)) return "a directory";
  if (S_ISFIFO(mode)) return "a FIFO";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

std::string size_text(size_t bytes) {
  constexpr size_t mebibyte = size_t{1} << 20;
  return bytes % mebibyte == 0 ? fmt::format("{} MiB", bytes / mebibyte) : fmt::format("{} bytes", bytes);
}

template <class T>
ReadResult<T> read_file_as(const std::string& path) {
  const auto text = read_document(path);
  if (!text) return std::unexpected(text.error());
  auto reading = read_described<T>(*text);
  // A field's path speaks for itself; a place in the text needs the file's name.
  if (!reading && reading.error().path.empty())
    reading.error().what = fmt::format("{}: {}", printable(path, 4096), reading.error().what);
  return reading;
}

}  // namespace

ReadResult<Spec> read_spec(std::string_view json) { return read_described<Spec>(json); }
ReadResult<Process> read_process(std::string_view json) { return read_described<Process>(json); }
ReadResult<Resources> read_resources(std::string_view json) { return read_described<Resources>(json); }
ReadResult<Seccomp> read_seccomp(std::string_view json) { return read_described<Seccomp>(json); }

std::expected<std::string, Problem> read_document(const std::string& path) {
  const std::string name = printable(path, 4096);
  // O_NONBLOCK: opening a FIFO would wait for its writer. O_NOCTTY: nor may a terminal become ours.
  const auto file = sys::open_at(AT_FDCWD, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!file) return refuse(fmt::format("cannot open {}: {}", name, sys::errno_text(file.error().code)));
  const auto status = sys::stat_fd(*file);
  if (!status) return refuse(fmt::format("cannot open {}: {}", name, status.error().message()));
  if (!S_ISREG(status->st_mode))
    return refuse(fmt::format("{} is {}; a regular file is needed", name, kind_of_file(status->st_mode)));
  if (const auto size = static_cast<size_t>(status->st_size); size > kLargestDocument)
    return refuse(
        fmt::format("{} is {}; the limit is {}", name, size_text(size), size_text(kLargestDocument)));
  auto text = sys::read_all(*file, path, kLargestDocument);
  // It may have grown since, or be of a file system that says 0.
  if (!text && text.error().code == EFBIG)
    return refuse(fmt::format("{} is larger than {}", name, size_text(kLargestDocument)));
  if (!text) return refuse(fmt::format("cannot read {}: {}", name, sys::errno_text(text.error().code)));
  return *std::move(text);
}

ReadResult<Spec> read_spec_file(const std::string& path) { return read_file_as<Spec>(path); }
ReadResult<Process> read_process_file(const std::string& path) { return read_file_as<Process>(path); }
ReadResult<Resources> read_resources_file(const std::string& path) { return read_file_as<Resources>(path); }
ReadResult<Seccomp> read_seccomp_file(const std::string& path) { return read_file_as<Seccomp>(path); }

}  // namespace cloche::spec
