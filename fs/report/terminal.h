#pragma once

#include <sys/types.h>

#include <string_view>

namespace alignfs {

/// Shows `text` and a newline on the terminal that process `pid` has as its standard error. False,
/// and nothing is shown, unless that is the terminal of the process's own session, the process is
/// in its foreground, and it reads lines: a program that has taken the screen over (canonical mode
/// is off) and the prompt of somebody else are left alone. Never waits for the terminal; a text it
/// has no room for is cut.
///
/// Needs the right to trace the process: its descriptors are seen through /proc. Nothing but a
/// terminal is ever opened for more than a look. Thread-safe.
bool show_on_terminal_of(pid_t pid, std::string_view text);

}  // namespace alignfs
