#pragma once

#include <sys/types.h>

#include <string_view>

#include "alignfs/report/event.h"

namespace alignfs {

/// What process `pid` is written in, as far as the advice differs: from the name of its executable;
/// from `comm` where the executable cannot be read or serves many programs (busybox); for Go from
/// the executable itself. Sends no request to a FUSE filesystem, which may be this very mount.
/// Thread-safe; remembers a bounded number of executables.
Runtime runtime_of(pid_t pid, std::string_view comm);

/// The runtime that a program of this name stands for: "python3.11", "java"; c if it is no other.
Runtime runtime_of_name(std::string_view name);

/// True if the executable open for reading at `fd` was made by the Go toolchain. Reads a few MiB at
/// most; false for anything it does not understand.
bool is_go_executable(int fd);

}  // namespace alignfs
