#pragma once

#include <cstdint>

namespace alignfs {

constexpr std::uint64_t kPageSize = 4096;

constexpr bool is_power_of_two(std::uint64_t n) { return n != 0 && (n & (n - 1)) == 0; }

/// How far `value` lies past the boundary below it. `boundary` is a power of two.
constexpr std::uint64_t excess(std::uint64_t value, std::uint64_t boundary) {
  return value & (boundary - 1);
}
constexpr bool is_aligned(std::uint64_t value, std::uint64_t boundary) {
  return excess(value, boundary) == 0;
}
constexpr std::uint64_t align_down(std::uint64_t value, std::uint64_t boundary) {
  return value - excess(value, boundary);
}
/// Rounds up. Callers keep `value` at or below INT64_MAX (file offsets), so it cannot wrap.
constexpr std::uint64_t align_up(std::uint64_t value, std::uint64_t boundary) {
  return align_down(value + boundary - 1, boundary);
}

}  // namespace alignfs
