// The running program's file as nobody can write it. By bare system calls: `exec` asks for it before the C library has
// begun (cli/runtime_entry.cpp).
#pragma once

extern "C" {

// Its descriptor, to be executed, or a negative errno. The file is that of an overlay without an upper layer, attached
// nowhere (Linux 5.2, fsopen(2)); needs CAP_SYS_ADMIN where the mount namespace belongs to.
long cloche_open_overlaid_program();

// True when the running program's file is of such an overlay: nobody could have written it.
[[nodiscard]] bool cloche_runs_overlaid();
}
