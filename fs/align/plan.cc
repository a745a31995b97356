#include "alignfs/align/plan.h"

#include <algorithm>
#include <cassert>

#include "alignfs/base/alignment.h"

namespace alignfs {
namespace {

bool lies_on(Range range, std::uint64_t boundary) {
  return is_aligned(range.begin, boundary) && is_aligned(range.end, boundary);
}

/// Cells that `range` covers wholly go down direct, those it covers in part through the page cache.
/// No cell is reached both ways, so the cache never holds a stale copy of a direct write, and
/// writeback never lands on top of one.
void add_by_cells(WritePlan& plan, Range range, std::uint64_t cell) {
  // A range that covers no whole cell has an empty middle, and its two ends merge.
  const std::uint64_t middle_begin = std::min(align_up(range.begin, cell), range.end);
  const std::uint64_t middle_end = std::max(align_down(range.end, cell), middle_begin);
  plan.add(WritePath::buffered, {range.begin, middle_begin});
  plan.add(WritePath::direct, {middle_begin, middle_end});
  plan.add(WritePath::buffered, {middle_end, range.end});
}

}  // namespace

Range widen(Range range, std::uint64_t boundary) {
  return {align_down(range.begin, boundary), align_up(range.end, boundary)};
}

std::uint64_t ReadPlan::valid(std::uint64_t got) const {
  return got <= head ? 0 : std::min(length, got - head);
}

std::uint64_t clip_to_end_of_file(std::uint64_t offset, std::uint64_t length, std::uint64_t size,
                                  std::uint32_t block) {
  if (offset >= size) return 0;
  return std::min(length, align_up(size, block) - offset);
}

ReadPlan plan_read(std::uint64_t offset, std::uint64_t length, const Geometry& geometry) {
  const Range wanted{offset, offset + length};
  const Range window = length == 0 ? wanted : widen(wanted, geometry.read_block);
  return {.window = window, .head = offset - window.begin, .length = length};
}

bool WritePlan::as_it_came() const {
  return count_ == 0 || (count_ == 1 && fragments_[0].path == WritePath::direct);
}

void WritePlan::add(WritePath path, Range range) {
  if (range.empty()) return;
  if (count_ > 0) {
    WriteFragment& last = fragments_[count_ - 1];
    assert(range.begin == last.range.end);
    if (last.path == path) {
      last.range.end = range.end;
      return;
    }
  }
  assert(count_ < kMaxFragments);
  fragments_[count_++] = {path, range};
}

// Three fragments at most. By cells alone: ragged begin, middle, ragged end. With one fragment
// below E, what is left starts on a cell boundary and so has no ragged begin.
WritePlan plan_write(Range range, std::uint64_t size, const Geometry& geometry,
                     UnalignedPolicy policy, bool readable) {
  WritePlan plan;
  if (lies_on(range, geometry.write_block)) {
    plan.add(WritePath::direct, range);
    return plan;
  }

  const std::uint64_t cell = geometry.cache_cell;
  if (policy == UnalignedPolicy::split || !readable) {
    add_by_cells(plan, range, cell);
    return plan;
  }

  // The cell that crosses the end of file is left to the page cache even where its first blocks lie
  // inside the file: whatever is written there is one path's business.
  const std::uint64_t inside_end = align_down(size, cell);
  const Range inside{range.begin, std::min(range.end, inside_end)};
  if (!inside.empty()) {
    const bool whole = lies_on(inside, geometry.write_block);
    plan.add(whole ? WritePath::direct : WritePath::read_modify_write, inside);
  }
  const Range beyond{std::max(range.begin, inside_end), range.end};
  if (!beyond.empty()) add_by_cells(plan, beyond, cell);
  return plan;
}

LockNeed lock_for_write(Range range, const Geometry& geometry) {
  if (lies_on(range, geometry.write_block)) return {.range = range, .exclusive = false};
  // Decided without the size, which may only be looked at under the lock: the widest need counts.
  return {.range = widen(range, geometry.cache_cell), .exclusive = true};
}

}  // namespace alignfs
