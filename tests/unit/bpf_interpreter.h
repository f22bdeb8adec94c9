// Runs a seccomp program the way the kernel does: cBPF over one seccomp_data.
#pragma once

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <vector>

namespace cloche::test {

inline constexpr uint32_t kNativeArch = AUDIT_ARCH_X86_64;

struct Call {
  uint32_t number = 0;
  std::array<uint64_t, 6> args{};
  uint32_t arch = kNativeArch;
};

// The program's answer; `steps` counts the instructions it took.
inline uint32_t answer(const std::vector<sock_filter>& program, const Call& call, size_t* steps = nullptr) {
  seccomp_data data{};
  data.nr = static_cast<int>(call.number);
  data.arch = call.arch;
  for (size_t i = 0; i < 6; ++i) data.args[i] = call.args[i];
  uint32_t a = 0;
  for (size_t pc = 0;;) {
    const sock_filter& i = program.at(pc++);
    if (steps != nullptr) ++*steps;
    switch (i.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        if (i.k + 4 > sizeof data || i.k % 4 != 0) throw std::runtime_error("load outside seccomp_data");
        std::memcpy(&a, reinterpret_cast<const char*>(&data) + i.k, 4);
        break;
      case BPF_ALU | BPF_AND | BPF_K:
        a &= i.k;
        break;
      case BPF_JMP | BPF_JA:
        pc += i.k;
        break;
      case BPF_JMP | BPF_JEQ | BPF_K:
        pc += a == i.k ? i.jt : i.jf;
        break;
      case BPF_JMP | BPF_JGE | BPF_K:
        pc += a >= i.k ? i.jt : i.jf;
        break;
      case BPF_JMP | BPF_JGT | BPF_K:
        pc += a > i.k ? i.jt : i.jf;
        break;
      case BPF_JMP | BPF_JSET | BPF_K:
        pc += (a & i.k) != 0 ? i.jt : i.jf;
        break;
      case BPF_RET | BPF_K:
        return i.k;
      default:
        throw std::runtime_error("unknown instruction");
    }
  }
}

inline constexpr uint32_t kAllow = SECCOMP_RET_ALLOW, kKillProcess = SECCOMP_RET_KILL_PROCESS;
constexpr uint32_t refuse(int code) { return SECCOMP_RET_ERRNO | static_cast<uint32_t>(code); }

}  // namespace cloche::test
