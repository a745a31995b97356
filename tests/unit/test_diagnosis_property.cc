// diagnose() beside a definition of legality that is written down independently of it.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <sstream>
#include <string>

#include "alignfs/align/diagnosis.h"
#include "random_case.h"

namespace alignfs {
namespace {

constexpr int kCases = 50'000;
constexpr std::uint64_t kLastOffset = (std::uint64_t{1} << 63) - 1;

bool offset_is_legal(const Call& call, const Rules& rules) {
  return call.offset % rules.block.bytes == 0;
}

bool memory_is_legal(const Call& call, const Rules& rules) {
  return rules.memory.bytes == 0 ||
         std::all_of(call.segments.begin(), call.segments.end(), [&](const Segment& segment) {
           return segment.length == 0 || segment.address % rules.memory.bytes == 0;
         });
}

bool segment_lengths_are_legal(const Call& call, const Rules& rules) {
  const bool is_vector = call.segments.size() > 1;
  const std::uint32_t unit =
      rules.vector == VectorRule::block ? rules.block.bytes : rules.memory.bytes;
  return !is_vector || unit == 0 ||
         std::none_of(call.segments.begin(), call.segments.end(),
                      [&](const Segment& segment) { return segment.length % unit != 0; });
}

bool length_is_legal(const Call& call, const Rules& rules) {
  return call.length % rules.block.bytes == 0 && segment_lengths_are_legal(call, rules);
}

std::string describe(const Call& call, const Rules& rules) {
  std::ostringstream out;
  out << "ALIGNFS_SEED=" << test::seed() << ": offset " << call.offset << " length " << call.length
      << " block " << rules.block.bytes << " memory " << rules.memory.bytes
      << (rules.vector == VectorRule::block ? " each segment by the block" : "") << " segments";
  for (const Segment& segment : call.segments)
    out << " " << segment.address << "+" << segment.length;
  return out.str();
}

Rules random_rules(test::Random& random) {
  return {{random.pick<std::uint32_t>({0, 1, 4, 512, 512, 4096}), Source::statx},
          {random.pick<std::uint32_t>({1, 512, 512, 1024, 4096, 4096, 65536}), Source::statx},
          random.pick({VectorRule::memory, VectorRule::block})};
}

std::uint64_t near(test::Random& random, std::uint64_t unit, std::uint64_t limit) {
  return random.near_multiple(std::max<std::uint64_t>(unit, 1), limit);
}

Call random_call(test::Random& random, const Rules& rules) {
  Call call;
  const std::uint64_t units = rules.block.bytes * std::uint64_t{6};
  const bool at_end = random.one_in(4);
  if (random.one_in(6)) {  // A call whose buffer could not be seen.
    call.length = near(random, rules.block.bytes, units);
  } else {
    const std::uint64_t count = random.one_in(2) ? 1 : random.between(2, 9);
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::uint64_t unit = random.one_in(2) ? rules.block.bytes : rules.memory.bytes;
      const std::uint64_t length = random.one_in(12) ? 0 : near(random, unit, units);
      call.segments.push_back({near(random, rules.memory.bytes, std::uint64_t{1} << 47), length});
      call.length += length;
    }
  }
  const std::uint64_t top = kLastOffset - call.length;
  call.offset = at_end ? top - std::min(top, near(random, rules.block.bytes, units))
                       : near(random, rules.block.bytes, units);
  return call;
}

TEST(DiagnosisProperty, AgreesWithTheDefinition) {
  test::Random random;
  int legal = 0;
  for (int i = 0; i < kCases; ++i) {
    const Rules rules = random_rules(random);
    const Call call = random_call(random, rules);
    SCOPED_TRACE(describe(call, rules));
    const Diagnosis diagnosis = diagnose(call, rules);
    if (call.length == 0) {
      ASSERT_TRUE(diagnosis.legal());
      continue;
    }
    ASSERT_EQ((diagnosis.broken & kOffset) == 0, offset_is_legal(call, rules));
    ASSERT_EQ((diagnosis.broken & kLength) == 0, length_is_legal(call, rules));
    ASSERT_EQ((diagnosis.broken & kMemory) == 0, memory_is_legal(call, rules));
    ASSERT_EQ(diagnosis.broken & ~(kMemory | kOffset | kLength), 0);
    legal += diagnosis.legal() ? 1 : 0;
  }
  // Random cases that are all legal, or none of them, would show nothing.
  EXPECT_GT(legal, kCases / 20);
  EXPECT_LT(legal, kCases - kCases / 20);
}

TEST(DiagnosisProperty, TheFiguresMendTheCall) {
  test::Random random;
  for (int i = 0; i < kCases; ++i) {
    const Rules rules = random_rules(random);
    const Call call = random_call(random, rules);
    if (call.length == 0) continue;
    SCOPED_TRACE(describe(call, rules));
    const Diagnosis diagnosis = diagnose(call, rules);
    const std::uint32_t block = rules.block.bytes;

    ASSERT_LT(diagnosis.offset_excess, block);
    ASSERT_EQ((call.offset - diagnosis.offset_excess) % block, 0U);
    ASSERT_LT(diagnosis.length_missing, block);
    ASSERT_EQ((call.length + diagnosis.length_missing) % block, 0U);

    if ((diagnosis.broken & kMemory) != 0) {
      // The first wrong one: it is wrong, and those before it are right.
      ASSERT_LT(diagnosis.memory_segment, call.segments.size());
      const Segment& wrong = call.segments[diagnosis.memory_segment];
      ASSERT_EQ(diagnosis.address, wrong.address);
      ASSERT_GT(diagnosis.address_excess, 0U);
      ASSERT_LT(diagnosis.address_excess, rules.memory.bytes);
      ASSERT_EQ((wrong.address - diagnosis.address_excess) % rules.memory.bytes, 0U);
      Call before = call;
      before.segments.resize(diagnosis.memory_segment);
      ASSERT_TRUE(memory_is_legal(before, rules));
    }
    ASSERT_EQ(diagnosis.segment_boundary == 0, segment_lengths_are_legal(call, rules));
    if (diagnosis.segment_boundary != 0) {
      ASSERT_LT(diagnosis.length_segment, call.segments.size());
      ASSERT_EQ(diagnosis.segment_length, call.segments[diagnosis.length_segment].length);
      ASSERT_NE(diagnosis.segment_length % diagnosis.segment_boundary, 0U);
      for (std::size_t k = 0; k < diagnosis.length_segment; ++k) {
        ASSERT_EQ(call.segments[k].length % diagnosis.segment_boundary, 0U);
      }
    }
  }
}

TEST(DiagnosisProperty, NearestCoversTheCallIsLegalAndMinimal) {
  test::Random random;
  for (int i = 0; i < kCases; ++i) {
    const Rules rules = random_rules(random);
    const Call call = random_call(random, rules);
    if (call.length == 0) continue;
    SCOPED_TRACE(describe(call, rules));
    const Diagnosis diagnosis = diagnose(call, rules);
    const Call nearest{.syscall = call.syscall,
                       .fd = call.fd,
                       .offset = diagnosis.nearest_offset,
                       .length = diagnosis.nearest_length,
                       .segments = {{0, diagnosis.nearest_length}}};
    ASSERT_TRUE(offset_is_legal(nearest, rules) && length_is_legal(nearest, rules));
    ASSERT_TRUE(diagnose(nearest, rules).legal());
    ASSERT_LE(nearest.offset, call.offset);
    ASSERT_GE(nearest.offset + nearest.length, call.offset + call.length);
    // One block less at either end no longer covers the call.
    ASSERT_GT(nearest.offset + rules.block.bytes, call.offset);
    ASSERT_LT(nearest.offset + nearest.length - rules.block.bytes, call.offset + call.length);
  }
}

TEST(DiagnosisProperty, NoLegalRequestThatCoversTheCallIsSmaller) {
  // Every small call against every small request, so that "minimal" rests on no argument at all.
  const Rules rules{{1, Source::statx}, {8, Source::statx}, VectorRule::memory};
  for (std::uint64_t offset = 0; offset < 24; ++offset) {
    for (std::uint64_t length = 1; length < 24; ++length) {
      std::optional<std::uint64_t> smallest;
      for (std::uint64_t begin = 0; begin <= offset; ++begin) {
        for (std::uint64_t bytes = offset + length - begin; bytes < 64; ++bytes) {
          const Call candidate{
              .syscall = {}, .fd = -1, .offset = begin, .length = bytes, .segments = {}};
          if (!offset_is_legal(candidate, rules) || !length_is_legal(candidate, rules)) continue;
          smallest = std::min(smallest.value_or(bytes), bytes);
        }
      }
      const Call call{.syscall = {}, .fd = -1, .offset = offset, .length = length, .segments = {}};
      ASSERT_TRUE(smallest);
      ASSERT_EQ(diagnose(call, rules).nearest_length, *smallest) << offset << " " << length;
    }
  }
}

}  // namespace
}  // namespace alignfs
