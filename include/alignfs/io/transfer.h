#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "alignfs/base/result.h"

namespace alignfs {

/// Where a write goes: at its offset, or at the end of file, which the kernel then finds in one
/// step with the write, whoever else writes (RWF_APPEND).
enum class Place : std::uint8_t { at_offset, at_end };

/// When a write must be on the backing's media: RWF_DSYNC and RWF_SYNC of pwritev2(2).
enum class Durability : std::uint8_t { none, data, file };

/// Reads until `buffer` is full or the file ends; returns the bytes read.
///
/// Interrupted calls are repeated. After a short direct read only a position that is a multiple of
/// `block` is resumed: any other short count means the end of file, as does EINVAL after one (the
/// file was cut in between). `block` is 1 where the descriptor takes any position. An error after
/// some bytes gives those bytes; the next request meets the error again.
Result<std::size_t> read_fully(int fd, std::span<std::byte> buffer, std::uint64_t offset,
                               std::uint32_t block);

/// Writes until `data` is written or an error stops it; returns the bytes written, at least 1
/// unless `data` is empty. `block` as for read_fully. The error comes only if nothing was written.
Result<std::size_t> write_fully(int fd, std::span<const std::byte> data, std::uint64_t offset,
                                std::uint32_t block, Durability durability,
                                Place place = Place::at_offset);

}  // namespace alignfs
