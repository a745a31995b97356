#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "alignfs/align/geometry.h"

namespace alignfs {

/// A half-open byte range of a file.
struct Range {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::uint64_t length() const { return end - begin; }
  bool empty() const { return begin >= end; }
  bool operator==(const Range&) const = default;
};

/// `range` widened to whole multiples of `boundary`.
Range widen(Range range, std::uint64_t boundary);

/// How a direct read is made:
///
///     window.begin      offset                 offset+length      window.end
///     |----- head ------|------- wanted -----------|----- surplus ----|
///     ^ read block                                                    ^ read block
struct ReadPlan {
  Range window;
  std::uint64_t head = 0;
  std::uint64_t length = 0;

  bool widened() const { return window.length() != length; }
  /// Bytes of the wanted range among the first `got` bytes of the window. The head comes off before
  /// the clamp; the other way round reports bytes beyond the end of file.
  std::uint64_t valid(std::uint64_t got) const;
};

ReadPlan plan_read(std::uint64_t offset, std::uint64_t length, const Geometry& geometry);

/// `length` of a read at `offset` in a file of `size` bytes without what lies beyond the block that
/// holds the end of file; 0 at or past the end of file.
std::uint64_t clip_to_end_of_file(std::uint64_t offset, std::uint64_t length, std::uint64_t size,
                                  std::uint32_t block);

/// How one piece of a write is made.
enum class WritePath : std::uint8_t {
  direct,             ///< O_DIRECT, from an aligned buffer
  read_modify_write,  ///< whole blocks read, changed and written back with O_DIRECT
  buffered,  ///< through the page cache: exactly these bytes, the size grows exactly so far
};

struct WriteFragment {
  WritePath path = WritePath::direct;
  Range range;  ///< the program's bytes, never widened
  bool operator==(const WriteFragment&) const = default;
};

/// What becomes of a request that O_DIRECT would refuse, once it is let through.
enum class UnalignedPolicy : std::uint8_t { bounce, split };

/// Fragments in ascending order, covering the request exactly and without overlap. They must be
/// carried out in order: the file then never holds anything but a prefix of the request.
class WritePlan {
 public:
  static constexpr std::size_t kMaxFragments = 4;

  std::span<const WriteFragment> fragments() const { return {fragments_.data(), count_}; }
  /// True if the request goes down as it came.
  bool as_it_came() const;
  /// Appends `range` if it is not empty; merges with the last fragment where the path is the same.
  void add(WritePath path, Range range);

 private:
  std::array<WriteFragment, kMaxFragments> fragments_;
  std::size_t count_ = 0;
};

/// Plans a write of `range` into a file of `size` bytes.
///
/// A block-aligned request is one direct fragment, wherever the end of file lies. Otherwise, with
/// `cell` the page-cache cell and E the cell boundary at or below the size:
///
///               E = align_down(size, cell)
///     .---------|----.- - - - - - - - - -      blocks below E lie wholly inside the file
///     | bounce: RMW  |  partial cells: buffered, so that the size never shows padding
///     | split: ragged ends buffered, the middle direct
///     '---------|----'- - - - - - - - - -      cells wholly covered by the request: direct
///
/// `readable` is false where the daemon may not read the file: what would be read, modified and
/// written goes through the page cache instead. Pure; thread-safe.
WritePlan plan_write(Range range, std::uint64_t size, const Geometry& geometry,
                     UnalignedPolicy policy, bool readable);

/// What a write of `range` must lock before the size may be looked at.
struct LockNeed {
  Range range;
  bool exclusive = false;
};
LockNeed lock_for_write(Range range, const Geometry& geometry);

}  // namespace alignfs
