#include "alignfs/align/geometry.h"

#include <algorithm>
#include <bit>

namespace alignfs {
namespace {

/// What to judge by, where statx states `stated` bytes: an option may be coarser, never finer.
Requirement judge_stated(std::uint32_t stated, std::optional<std::uint32_t> option) {
  if (option && *option >= stated) return {*option, Source::option};
  return {stated, Source::statx};
}

/// What to judge by, where nothing is stated.
Requirement judge_unstated(std::uint32_t fallback, std::optional<std::uint32_t> option) {
  if (option) return {*option, Source::option};
  return {fallback, Source::fallback};
}

bool is_off(std::optional<std::uint32_t> option) { return option && *option == 0; }

Boundaries judge(const BackingGeometry& backing, const AlignmentOptions& options) {
  Boundaries judged;
  if (backing.verdict == Verdict::native) {
    judged.memory = judge_stated(backing.memory, options.memory);
    judged.write = judge_stated(backing.write, options.block);
    judged.read = judge_stated(backing.read, options.block);
  } else {
    judged.memory = judge_unstated(kFallbackMemory, options.memory);
    judged.write = judge_unstated(kFallbackBlock, options.block);
    judged.read = judged.write;
  }
  if (is_off(options.memory)) judged.memory = {0, Source::option};
  return judged;
}

}  // namespace

Geometry make_geometry(const BackingGeometry& backing, const AlignmentOptions& options) {
  Geometry geometry;
  geometry.verdict = backing.verdict;
  geometry.judged = judge(backing, options);

  // A fallback boundary is for judging programs alone: the backing would take the request as it is,
  // and a request that the backing takes is never widened.
  switch (backing.verdict) {
    case Verdict::native:
      geometry.write_block = geometry.judged.write.bytes;
      geometry.read_block = geometry.judged.read.bytes;
      break;
    case Verdict::unproven:
      geometry.write_block = options.block.value_or(1);
      geometry.read_block = options.block.value_or(1);
      break;
    case Verdict::refused: break;
  }

  // Network filesystems may name any number as their block; cells are powers of two.
  geometry.cache_cell = std::max({static_cast<std::uint32_t>(kPageSize), geometry.write_block,
                                  std::bit_ceil(backing.filesystem_block)});
  return geometry;
}

const char* name_of(Source source) {
  switch (source) {
    case Source::statx: return "statx";
    case Source::option: return "option";
    case Source::fallback: return "fallback";
  }
  return "unknown";
}

const char* name_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::native: return "native";
    case Verdict::unproven: return "unproven";
    case Verdict::refused: return "refused";
  }
  return "unknown";
}

}  // namespace alignfs
