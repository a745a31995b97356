#pragma once

#include <cstddef>
#include <cstdint>

#include "alignfs/align/call.h"
#include "alignfs/align/geometry.h"

namespace alignfs {

/// What each segment's length in a vector must be a multiple of. Addresses always follow the memory
/// boundary, the call's offset and total length the block.
enum class VectorRule : std::uint8_t {
  memory,  ///< the memory boundary: Linux 6.18 and later
  block,   ///< the block, as for the call as a whole: earlier kernels
};

/// The boundaries one request is judged by.
struct Rules {
  Requirement memory;  ///< 0 bytes: addresses are not judged
  Requirement block;   ///< offset and total length
  VectorRule vector = VectorRule::memory;
};

/// The rules of `geometry` that hold for `direction`.
Rules rules_for(const Geometry& geometry, Direction direction, VectorRule vector);

/// Bits of Diagnosis::broken.
enum BrokenRule : std::uint8_t { kMemory = 1, kOffset = 2, kLength = 4 };

/// The facts of a misaligned call. Pure data: no wording.
struct Diagnosis {
  std::uint8_t broken = 0;

  /// The first segment whose address is off its boundary: index, address, bytes past the boundary.
  std::size_t memory_segment = 0;
  std::uint64_t address = 0;
  std::uint64_t address_excess = 0;

  /// Bytes that the offset lies past a block boundary.
  std::uint64_t offset_excess = 0;

  /// Bytes that the total length lacks to the next multiple of the block; 0 if the total is whole.
  std::uint64_t length_missing = 0;

  /// The first vector segment of a wrong length: index, bytes, the boundary it misses. The boundary
  /// is 0 where every segment is right. A wrong segment length sets kLength.
  std::size_t length_segment = 0;
  std::uint64_t segment_length = 0;
  std::uint32_t segment_boundary = 0;

  /// The smallest legal request that covers the call.
  std::uint64_t nearest_offset = 0;
  std::uint64_t nearest_length = 0;

  bool legal() const { return broken == 0; }
};

/// The part of the read `call` that Linux judges in a file of `size` bytes: what lies beyond the
/// block that holds the end of file is dropped before it looks at the alignment, segments included.
/// (Seen on ext4 and XFS; a read of 4608 bytes at 16384 is legal on a 4096 disk if the file has
/// 20000.)
Call clip_to_end_of_file(Call call, std::uint64_t size, std::uint32_t block);

/// Judges `call` by `rules`. Without segments nothing is said of memory. Pure.
Diagnosis diagnose(const Call& call, const Rules& rules);

}  // namespace alignfs
