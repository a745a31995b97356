#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "alignfs/base/result.h"
#include "alignfs/base/unique_fd.h"

namespace alignfs {

/// Opens /proc/TID/`name` for reading. Allocates nothing. Thread-safe.
Result<UniqueFd> open_proc(pid_t tid, const char* name);

/// Reads the open `file` of /proc from its beginning into `buffer`, as much as fits, in one read;
/// returns what was read, as it is now. Fails with ESRCH when the thread is gone. Thread-safe.
Result<std::string_view> read_proc(int file, std::span<char> buffer);

/// Both at once, for a file that is read but once.
Result<std::string_view> read_proc(pid_t tid, const char* name, std::span<char> buffer);

/// What follows the name of the program in the text of a stat file: from the third field of
/// proc_pid_stat(5) on.
std::string_view behind_name(std::string_view stat);

/// The number after `key` at the start of a line of `text`, in `base`; nullopt if there is none.
/// `key` ends in a colon, as in "pos:"; blanks before the number are skipped.
std::optional<std::uint64_t> number_after(std::string_view text, std::string_view key,
                                          int base = 10);

}  // namespace alignfs
