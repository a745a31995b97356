#pragma once

#include <cstddef>

namespace alignfs {

/// Catches SIGBUS from now on, for copy_guarded(). A SIGBUS from anywhere else ends the process as
/// ever. Called once, before there are threads that copy.
void install_fault_guard();

/// memcpy where one side is a mapping whose pages may be gone (the file was cut short), unreadable
/// (EIO) or without room (a hole on a full disk). Returns the bytes from the beginning that were
/// copied: less than `size` if a page was missing. Where the target is the mapping, nothing behind
/// those was stored.
std::size_t copy_guarded(std::byte* to, const std::byte* from, std::size_t size);

}  // namespace alignfs
