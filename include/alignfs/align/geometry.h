#pragma once

#include <cstdint>
#include <optional>

#include "alignfs/base/alignment.h"

namespace alignfs {

/// Where a requirement comes from.
enum class Source : std::uint8_t {
  statx,     ///< STATX_DIOALIGN or STATX_DIO_READ_ALIGN of the backing file
  option,    ///< -o align= or -o mem_align=
  fallback,  ///< the backing states nothing; see kFallback* below
};

/// What the backing file says about direct I/O.
enum class Verdict : std::uint8_t {
  native,    ///< statx states its alignment: direct I/O is real
  unproven,  ///< O_DIRECT is accepted, but statx does not vouch for it (tmpfs, btrfs, data=journal)
  refused,   ///< O_DIRECT is refused: the page cache is the only way
};

/// A boundary in bytes: a power of two, or 0 where the rule is not judged.
struct Requirement {
  std::uint32_t bytes = 0;
  Source source = Source::fallback;
  bool operator==(const Requirement&) const = default;
};

/// Boundaries of the caller's buffer, and of the offset and length of writes and of reads.
struct Boundaries {
  Requirement memory;
  Requirement write;
  Requirement read;
  bool operator==(const Boundaries&) const = default;
};

/// What statx(2) says of one backing file. Bytes are 0 unless verdict is native.
struct BackingGeometry {
  Verdict verdict = Verdict::refused;
  std::uint32_t memory = 0;
  std::uint32_t write = 0;
  /// STATX_DIO_READ_ALIGN (Linux 6.14); equal to `write` where the kernel does not tell them apart.
  std::uint32_t read = 0;
  /// Allocation unit of the backing filesystem in bytes: the span a page-cache write may dirty.
  std::uint32_t filesystem_block = kPageSize;
};

/// The boundary enforced where the backing states none: the strictest logical block size in use.
constexpr std::uint32_t kFallbackBlock = 4096;
/// Linux's default DMA alignment (block layer: dma_alignment 511), what a 4K-native disk that
/// states nothing of its own asks of memory.
constexpr std::uint32_t kFallbackMemory = 512;

/// The alignment options of a mount.
struct AlignmentOptions {
  /// -o align=: offset and length boundary; nullopt is auto.
  std::optional<std::uint32_t> block;
  /// -o mem_align=: memory boundary; nullopt is auto, 0 is off.
  std::optional<std::uint32_t> memory;
};

/// The geometry of one file on the mount. A value; never changes while the file is open.
struct Geometry {
  Verdict verdict = Verdict::refused;
  /// Boundaries that backing I/O keeps. 1 where the backing takes any request and no option asks
  /// for more, so that such a request goes down as it came.
  std::uint32_t write_block = 1;
  std::uint32_t read_block = 1;
  /// Boundaries that a strict mount enforces on programs, and that the alignment xattr shows.
  Boundaries judged;
  /// Unit within which page-cache and direct writes exclude each other: a page or more.
  std::uint32_t cache_cell = kPageSize;
  bool operator==(const Geometry&) const = default;
};

/// Combines what the backing needs with what the mount asks for: the coarser of the two wins.
Geometry make_geometry(const BackingGeometry& backing, const AlignmentOptions& options);

const char* name_of(Source source);
const char* name_of(Verdict verdict);

}  // namespace alignfs
