#pragma once

#include <cstddef>

namespace alignfs {

/// Catches SIGBUS from now on, for copy_guarded(), in this thread and those that it will make. A
/// SIGBUS from anywhere else ends the process as ever. Called once, before there are threads that
/// copy.
void install_fault_guard();

/// memcpy from a mapping whose pages may be gone (the file was cut short) or unreadable (EIO).
/// Returns the bytes from the beginning that were copied: less than `size` where a page is missing,
/// and then all before that page. The mapping may be `to` instead (its pages may be gone, or the
/// disk full): what is missing then says no more than that a store failed.
std::size_t copy_guarded(std::byte* to, const std::byte* from, std::size_t size);

}  // namespace alignfs
