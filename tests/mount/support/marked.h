#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace alignfs::test {

/// Bytes that tell where in a file they belong (low half) and which write they are of (high half,
/// never 0), so that a byte of another place, of another file or of nobody shows in any mixture of
/// writes.
char marked_byte(std::uint64_t place, unsigned write);
std::string marked_bytes(std::uint64_t place, std::size_t count, unsigned write);

/// True if `byte` is of some write to `place`. A zero is of none.
bool is_marked(std::uint64_t place, char byte);

/// What is wrong with bytes that may each be written or zero; "" if nothing is.
std::string find_unmarked(std::uint64_t place, std::string_view bytes);

}  // namespace alignfs::test
