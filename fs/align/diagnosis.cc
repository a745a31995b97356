#include "alignfs/align/diagnosis.h"

#include <algorithm>

#include "alignfs/align/plan.h"
#include "alignfs/base/alignment.h"

namespace alignfs {
namespace {

void judge_memory(const Call& call, std::uint32_t boundary, Diagnosis& diagnosis) {
  if (boundary == 0) return;
  for (std::size_t i = 0; i < call.segments.size(); ++i) {
    const Segment& segment = call.segments[i];
    if (segment.length == 0 || is_aligned(segment.address, boundary)) continue;
    diagnosis.broken |= kMemory;
    diagnosis.memory_segment = i;
    diagnosis.address = segment.address;
    diagnosis.address_excess = excess(segment.address, boundary);
    return;
  }
}

void judge_segment_lengths(const Call& call, std::uint32_t boundary, Diagnosis& diagnosis) {
  // The length of a lone segment is the total, and has been judged as such.
  if (boundary == 0 || call.segments.size() < 2) return;
  for (std::size_t i = 0; i < call.segments.size(); ++i) {
    if (is_aligned(call.segments[i].length, boundary)) continue;
    diagnosis.broken |= kLength;
    diagnosis.length_segment = i;
    diagnosis.segment_length = call.segments[i].length;
    diagnosis.segment_boundary = boundary;
    return;
  }
}

}  // namespace

Rules rules_for(const Geometry& geometry, Direction direction, VectorRule vector) {
  const Boundaries& judged = geometry.judged;
  return {.memory = judged.memory,
          .block = direction == Direction::read ? judged.read : judged.write,
          .vector = vector};
}

Call clip_to_end_of_file(Call call, std::uint64_t size, std::uint32_t block) {
  call.length = clip_to_end_of_file(call.offset, call.length, size, block);
  std::uint64_t left = call.length;
  for (auto& segment : call.segments) {
    segment.length = std::min(segment.length, left);
    left -= segment.length;
  }
  return call;
}

Diagnosis diagnose(const Call& call, const Rules& rules) {
  Diagnosis diagnosis;
  diagnosis.nearest_offset = call.offset;
  diagnosis.nearest_length = call.length;
  // Linux answers 0 to an empty request before it looks at any boundary.
  if (call.length == 0) return diagnosis;

  const std::uint32_t block = std::max(rules.block.bytes, 1U);
  diagnosis.offset_excess = excess(call.offset, block);
  if (diagnosis.offset_excess != 0) diagnosis.broken |= kOffset;
  diagnosis.length_missing = align_up(call.length, block) - call.length;
  if (diagnosis.length_missing != 0) diagnosis.broken |= kLength;

  judge_memory(call, rules.memory.bytes, diagnosis);
  judge_segment_lengths(
      call, rules.vector == VectorRule::memory ? rules.memory.bytes : rules.block.bytes, diagnosis);

  const Range nearest = widen({call.offset, call.offset + call.length}, block);
  diagnosis.nearest_offset = nearest.begin;
  diagnosis.nearest_length = nearest.length();
  return diagnosis;
}

}  // namespace alignfs
