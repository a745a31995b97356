#pragma once

#include <cstdint>

namespace alignfs {

/// How the kernel is told to treat the mappings of a mount: madvise(2).
enum class MapAdvice : std::uint8_t { normal, sequential, random, willneed };

}  // namespace alignfs
