#include "runtime/command.h"

#include <elf.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>

#include "runtime/command_faults.h"
#include "sys/call.h"
#include "sys/files.h"
#include "sys/flags.h"
#include "sys/number.h"

namespace cloche::runtime {
namespace {

constexpr size_t kLargestPasswd = 1 << 20;

// 0, or the errno for which `path` cannot be executed.
int why_not_executable(const std::string& path) {
  const auto st = sys::stat_at(AT_FDCWD, path);
  if (!st) return st.error().code;
  if (S_ISDIR(st->st_mode)) return EISDIR;
  if (!S_ISREG(st->st_mode)) return EACCES;
  // With the effective ids, as exec does; for root any execute bit will do.
  const long raw = sys::raw_call(SYS_faccessat2, AT_FDCWD, path.c_str(), X_OK, AT_EACCESS);
  return raw < 0 ? static_cast<int>(-raw) : 0;
}

std::string says(const std::string& path, const CommandFault& fault) {
  return fmt::format("{} {}", path, fault.says);
}

// The first part of `path`, from the root on, of which `test` is true; `path` itself when of none.
template <class Test>
std::string first_part(const std::string& path, Test test) {
  for (size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1))
    if (std::string part = path.substr(0, slash); test(part)) return part;
  return path;
}

std::string explain_missing(const std::string& path) {
  const std::string part = first_part(path, [](const std::string& p) { return !sys::stat_at(AT_FDCWD, p); });
  if (const auto target = sys::read_link(AT_FDCWD, part))
    return fmt::format("{} {}: {}", part, kDanglingLink.says, *target);
  return part == path ? says(path, kMissingFile) : fmt::format("{}: {} {}", path, part, kMissingFile.says);
}

bool mounted_noexec(const std::string& path) {
  struct statfs fs{};
  return sys::raw_call(SYS_statfs, path.c_str(), &fs) == 0 && (fs.f_flags & ST_NOEXEC) != 0;
}

std::string explain_refusal(const std::string& path) {
  const auto uid = sys::raw_call(SYS_geteuid);
  const auto st = sys::stat_at(AT_FDCWD, path);
  if (!st) {
    const std::string part = first_part(path, [](const std::string& p) {
      return sys::raw_call(SYS_faccessat2, AT_FDCWD, p.c_str(), X_OK, AT_EACCESS) == -EACCES;
    });
    return fmt::format("{}: the directory {} {} {}", path, part, kClosedDirectory.says, uid);
  }
  if (!S_ISREG(st->st_mode)) return says(path, kNoProgram);
  if (sys::raw_call(SYS_faccessat2, AT_FDCWD, path.c_str(), X_OK, AT_EACCESS) == 0) return {};
  if (mounted_noexec(path)) return says(path, kNoExecMount);
  return fmt::format("{} {} for the user {} (its mode is {:04o}, its owner {}:{})", path, kNoExecuteBit.says,
                     uid, st->st_mode & 07777, st->st_uid, st->st_gid);
}

// Innermost what is wrong here, outermost the words that callers look for.
sys::Failure not_executable(const std::string& command, const std::string& path, int code) {
  sys::Error error{.code = code, .call = {}, .context = {}};
  if (code == ENOENT || code == ENOTDIR) {
    error.call = fmt::format("newfstatat(AT_FDCWD, {})", sys::in_quotes(path));
    error.context = {explain_missing(path),
                     fmt::format("exec: {}: no such file or directory", sys::in_quotes(command))};
  } else if (code == EISDIR) {
    error.context = {says(path, kDirectory),
                     fmt::format("exec: {}: is a directory: permission denied", sys::in_quotes(command))};
  } else {
    error.call = fmt::format("faccessat2(AT_FDCWD, {}, X_OK, AT_EACCESS)", sys::in_quotes(path));
    error.context = {explain_refusal(path),
                     fmt::format("exec: {}: permission denied", sys::in_quotes(command))};
  }
  std::erase(error.context, "");
  return sys::Failure(std::move(error));
}

std::string_view machine_name(uint16_t machine) {
  switch (machine) {
    case EM_X86_64:
      return "x86-64";
    case EM_386:
      return "x86 (32 bit)";
    case EM_AARCH64:
      return "arm64";
    case EM_ARM:
      return "arm (32 bit)";
    case EM_LOONGARCH:
      return "LoongArch";
    case EM_RISCV:
      return "RISC-V";
    case EM_PPC64:
      return "ppc64";
    case EM_S390:
      return "s390x";
    case EM_MIPS:
      return "MIPS";
    default:
      return "another architecture";
  }
}

#if defined(__x86_64__)
constexpr uint16_t kOwnMachine = EM_X86_64;
#elif defined(__aarch64__)
constexpr uint16_t kOwnMachine = EM_AARCH64;
#elif defined(__riscv)
constexpr uint16_t kOwnMachine = EM_RISCV;
#else
constexpr uint16_t kOwnMachine = EM_NONE;
#endif

bool exists(const std::string& path) { return sys::stat_at(AT_FDCWD, path).has_value(); }

template <class Header>
bool read_at(std::string_view image, uint64_t at, Header& header) {
  if (at > image.size() || image.size() - at < sizeof header) return false;
  std::memcpy(&header, image.data() + at, sizeof header);
  return true;
}

// PT_INTERP of an ELF file in this machine's byte order; "" when it has none.
template <class Header, class Segment>
std::string loader_in(std::string_view image) {
  Header header{};
  if (!read_at(image, 0, header)) return {};
  for (unsigned i = 0; i < header.e_phnum; ++i) {
    Segment segment{};
    if (!read_at(image, uint64_t{header.e_phoff} + uint64_t{i} * header.e_phentsize, segment)) return {};
    if (segment.p_type != PT_INTERP) continue;
    if (segment.p_offset > image.size() || image.size() - segment.p_offset < segment.p_filesz) return {};
    const std::string_view name = image.substr(segment.p_offset, segment.p_filesz);
    return std::string(name.substr(0, name.find('\0')));
  }
  return {};
}

std::string elf_loader(std::string_view image) {
  return image[EI_CLASS] == ELFCLASS32 ? loader_in<Elf32_Ehdr, Elf32_Phdr>(image)
                                       : loader_in<Elf64_Ehdr, Elf64_Phdr>(image);
}

// One page: it is read before every exec, and each page of it would be touched.
std::string first_bytes(const std::string& path) {
  auto file = sys::open_at(AT_FDCWD, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!file) return {};
  std::string bytes(4096, '\0');
  const long got = sys::raw_call(SYS_read, file->get(), bytes.data(), bytes.size());
  bytes.resize(got > 0 ? static_cast<size_t>(got) : 0);
  return bytes;
}

std::string explain_elf(std::string_view image, const std::string& path, int code) {
  uint16_t machine = 0;
  std::memcpy(&machine, image.data() + offsetof(Elf64_Ehdr, e_machine), sizeof machine);
  const bool same_order = image[EI_DATA] == ELFDATA2LSB;
  if (!same_order) machine = static_cast<uint16_t>(machine >> 8 | machine << 8);
  // ENOENT: the kernel took the file itself, a 32-bit one too, and missed its loader.
  if (code == ENOENT && same_order) {
    const std::string loader = elf_loader(image);
    if (!loader.empty() && !exists(loader))
      return fmt::format("{} {} {}, which is not in the container", path, kNoLoader.says, loader);
    return {};
  }
  if (code != ENOEXEC) return {};
  if (image[EI_CLASS] != ELFCLASS64 || machine != kOwnMachine)
    return fmt::format("{} {} {}; this machine is {}", path, kOtherMachine.says, machine_name(machine),
                       machine_name(kOwnMachine));
  return says(path, kBrokenElf);
}

std::string explain_script(std::string_view image, const std::string& path, int code) {
  std::string line(image.substr(2, image.find('\n') - 2));
  line.erase(0, line.find_first_not_of(" \t"));
  const std::string interpreter = line.substr(0, line.find_first_of(" \t\r"));
  if (code == ENOENT && line.ends_with('\r')) return says(path, kCarriageReturn);
  if (code == ENOENT && !exists(interpreter))
    return fmt::format("{} {} {}, which is not in the container", path, kNoInterpreter.says, interpreter);
  if ((code == EACCES || code == ENOEXEC) && !interpreter.empty())
    return fmt::format("{} {}: {}", path, kBadInterpreter.says, interpreter);
  return {};
}

std::string explain_content(std::string_view image, const std::string& path, int code) {
  if (image.starts_with(ELFMAG) && image.size() >= sizeof(Elf32_Ehdr)) return explain_elf(image, path, code);
  if (image.starts_with("#!")) return explain_script(image, path, code);
  if (code != ENOEXEC) return {};
  return says(path, image.empty() ? kEmptyFile : kNoFormat);
}

}  // namespace

std::string search_path_of(const std::vector<std::string>& env) {
  for (const std::string& entry : env)
    if (entry.starts_with("PATH=")) return entry.substr(5);
  return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

sys::Result<std::string> find_command(const std::string& command, const std::string& search_path) {
  if (command.find('/') != std::string::npos) {
    if (const int code = why_not_executable(command); code != 0)
      return not_executable(command, command, code);
    return command;
  }
  int refused = 0;
  std::string refused_path;
  std::string_view rest = search_path;
  while (true) {
    const size_t colon = rest.find(':');
    const std::string_view directory = rest.substr(0, colon);
    // An empty part means the working directory to a shell; a container's command is never looked up there.
    if (!directory.empty() && !command.empty()) {
      std::string path = fmt::format("{}/{}", directory, command);
      const int code = why_not_executable(path);
      if (code == 0) return path;
      if (code == EACCES && refused == 0) {
        refused = code;
        refused_path = std::move(path);
      }
    }
    if (colon == std::string_view::npos) break;
    rest.remove_prefix(colon + 1);
  }
  if (refused != 0) return not_executable(command, refused_path, refused);
  return sys::Failure(sys::Error{
      .code = ENOENT,
      .call = fmt::format("newfstatat(AT_FDCWD, \"DIRECTORY/{}\") for each DIRECTORY of PATH", command),
      .context = {fmt::format("{} {}", sys::in_quotes(command), kNotInPath.says),
                  fmt::format("exec: {}: executable file not found in $PATH", sys::in_quotes(command))}});
}

void explain_exec_failure(sys::Error& error, const std::string& path) {
  std::string why;
  if (error.code == EACCES) why = explain_refusal(path);
  if (error.code == ENOENT && !sys::stat_at(AT_FDCWD, path)) why = explain_missing(path);
  if (why.empty()) why = explain_content(first_bytes(path), path, error.code);
  if (!why.empty()) error.context.push_back(std::move(why));
}

std::string exec_failure_reasons(const std::string& path) {
  const std::string image = first_bytes(path);
  std::string reasons;
  for (const int code : {ENOENT, ENOEXEC, EACCES}) {
    std::string why = code == EACCES ? explain_refusal(path) : std::string();
    if (why.empty()) why = explain_content(image, path, code);
    if (!why.empty()) reasons += fmt::format("{}={}\n", code, why);
  }
  return reasons;
}

std::string home_of(uint32_t uid) {
  const auto slash = sys::open_at(AT_FDCWD, "/", O_PATH | O_DIRECTORY);
  if (!slash) return "/";
  const auto content = sys::read_regular_in_root(*slash, "/etc/passwd", kLargestPasswd);
  if (!content) return "/";
  std::string_view rest = *content;
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    // name:password:uid:gid:comment:home:shell
    std::string_view fields[6];
    std::string_view left = line;
    size_t count = 0;
    for (; count < 6; ++count) {
      const size_t colon = left.find(':');
      fields[count] = left.substr(0, colon);
      if (colon == std::string_view::npos) break;
      left.remove_prefix(colon + 1);
    }
    if (count < 5) continue;
    if (sys::whole_number<uint32_t>(fields[2]) == uid && fields[5].starts_with('/'))
      return std::string(fields[5]);
  }
  return "/";
}

}  // namespace cloche::runtime
