#include "alignfs/align/diagnosis.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "alignfs/align/plan.h"

namespace alignfs {
namespace {

constexpr std::uint64_t kBuffer = 0x55e508d70000;

/// A disk with 4096-byte blocks and 512-byte memory alignment.
Rules rules_4k(VectorRule vector = VectorRule::memory) {
  return {{512, Source::statx}, {4096, Source::statx}, vector};
}

Call plain(std::uint64_t address, std::uint64_t offset, std::uint64_t length) {
  return {.syscall = "pwrite64",
          .fd = 3,
          .offset = offset,
          .length = length,
          .segments = {{address, length}}};
}

/// A vector at offset 0 of segments with these lengths, each on a page of its own.
Call vector_of(std::vector<std::uint64_t> lengths) {
  Call call{.syscall = "pwritev", .fd = 3, .offset = 0, .length = 0, .segments = {}};
  for (const std::uint64_t length : lengths) {
    call.segments.push_back({kBuffer + 4096 * call.segments.size(), length});
    call.length += length;
  }
  return call;
}

TEST(Diagnosis, AlignedCallIsLegalAndItsOwnNearest) {
  const Diagnosis diagnosis = diagnose(plain(kBuffer, 8192, 4096), rules_4k());
  EXPECT_TRUE(diagnosis.legal());
  EXPECT_EQ(diagnosis.nearest_offset, 8192U);
  EXPECT_EQ(diagnosis.nearest_length, 4096U);
}

TEST(Diagnosis, EverythingWrongAtOnce) {
  const Diagnosis diagnosis = diagnose(plain(kBuffer + 0x880, 100, 1024), rules_4k());
  EXPECT_EQ(diagnosis.broken, kMemory | kOffset | kLength);
  EXPECT_EQ(diagnosis.memory_segment, 0U);
  EXPECT_EQ(diagnosis.address, kBuffer + 0x880);
  EXPECT_EQ(diagnosis.address_excess, 128U);
  EXPECT_EQ(diagnosis.offset_excess, 100U);
  EXPECT_EQ(diagnosis.length_missing, 3072U);
  EXPECT_EQ(diagnosis.segment_boundary, 0U);
  EXPECT_EQ(diagnosis.nearest_offset, 0U);
  EXPECT_EQ(diagnosis.nearest_length, 4096U);
}

TEST(Diagnosis, OneRuleAtATime) {
  EXPECT_EQ(diagnose(plain(kBuffer + 16, 0, 4096), rules_4k()).broken, kMemory);
  EXPECT_EQ(diagnose(plain(kBuffer, 512, 4096), rules_4k()).broken, kOffset);
  EXPECT_EQ(diagnose(plain(kBuffer, 0, 512), rules_4k()).broken, kLength);
}

TEST(Diagnosis, NearestCoversACallThatStraddlesABlock) {
  const Diagnosis diagnosis = diagnose(plain(kBuffer, 4000, 200), rules_4k());
  EXPECT_EQ(diagnosis.nearest_offset, 0U);
  EXPECT_EQ(diagnosis.nearest_length, 8192U);
}

TEST(Diagnosis, EmptyCallIsAlwaysLegal) {
  const Diagnosis diagnosis = diagnose(plain(kBuffer + 3, 5, 0), rules_4k());
  EXPECT_TRUE(diagnosis.legal());
  EXPECT_EQ(diagnosis.offset_excess, 0U);
  EXPECT_EQ(diagnosis.nearest_offset, 5U);
  EXPECT_EQ(diagnosis.nearest_length, 0U);
}

TEST(Diagnosis, UnseenBufferIsNotJudged) {
  Call call = plain(kBuffer + 1, 100, 1024);
  call.segments.clear();
  EXPECT_EQ(diagnose(call, rules_4k()).broken, kOffset | kLength);
  call.offset = 0;
  call.length = 4096;
  EXPECT_TRUE(diagnose(call, rules_4k()).legal());
}

TEST(Diagnosis, MemoryRuleOffJudgesNoAddress) {
  Rules rules = rules_4k();
  rules.memory = {0, Source::option};
  EXPECT_TRUE(diagnose(plain(kBuffer + 1, 0, 4096), rules).legal());
  EXPECT_TRUE(diagnose(vector_of({4095, 1}), rules).legal());
  rules.vector = VectorRule::block;
  EXPECT_EQ(diagnose(vector_of({4095, 1}), rules).broken, kLength);
}

TEST(Diagnosis, FragmentOfAnUnalignedBufferWouldBeRefusedTheCallIsNot) {
  // 1 MiB from a buffer at +512 arrives as 1048064 + 512; on a 4K disk the call is legal.
  EXPECT_TRUE(diagnose(plain(kBuffer + 512, 0, 1 << 20), rules_4k()).legal());
  EXPECT_FALSE(diagnose(plain(kBuffer + 512, 0, 1048064), rules_4k()).legal());
  // At +16 the buffer itself is wrong, and nothing else.
  EXPECT_EQ(diagnose(plain(kBuffer + 16, 0, 1 << 20), rules_4k()).broken, kMemory);
}

TEST(VectorDiagnosis, SegmentsFollowTheMemoryBoundary) {
  EXPECT_TRUE(diagnose(vector_of({3584, 512}), rules_4k()).legal());
  EXPECT_TRUE(diagnose(vector_of({512, 512, 512, 512, 512, 512, 512, 512}), rules_4k()).legal());
}

TEST(VectorDiagnosis, TotalFollowsTheBlock) {
  const Diagnosis diagnosis = diagnose(vector_of({4096, 512}), rules_4k());
  EXPECT_EQ(diagnosis.broken, kLength);
  EXPECT_EQ(diagnosis.length_missing, 3584U);
  EXPECT_EQ(diagnosis.segment_boundary, 0U) << "no segment is wrong";
}

TEST(VectorDiagnosis, TotalAndSegmentWrong) {
  const Diagnosis diagnosis = diagnose(vector_of({256, 256}), rules_4k());
  EXPECT_EQ(diagnosis.broken, kLength);
  EXPECT_EQ(diagnosis.length_missing, 3584U);
  EXPECT_EQ(diagnosis.length_segment, 0U);
  EXPECT_EQ(diagnosis.segment_length, 256U);
  EXPECT_EQ(diagnosis.segment_boundary, 512U);
}

TEST(VectorDiagnosis, WholeTotalOfWrongSegments) {
  const Diagnosis diagnosis = diagnose(vector_of({3584, 256, 256}), rules_4k());
  EXPECT_EQ(diagnosis.broken, kLength);
  EXPECT_EQ(diagnosis.length_missing, 0U);
  EXPECT_EQ(diagnosis.length_segment, 1U);
  EXPECT_EQ(diagnosis.segment_length, 256U);
  EXPECT_EQ(diagnosis.nearest_offset, 0U);
  EXPECT_EQ(diagnosis.nearest_length, 4096U);
}

TEST(VectorDiagnosis, EarlierKernelsWantTheBlockOfEachSegment) {
  const Diagnosis diagnosis = diagnose(vector_of({4096, 3584, 512}), rules_4k(VectorRule::block));
  EXPECT_EQ(diagnosis.broken, kLength);
  EXPECT_EQ(diagnosis.length_segment, 1U);
  EXPECT_EQ(diagnosis.segment_length, 3584U);
  EXPECT_EQ(diagnosis.segment_boundary, 4096U);
  EXPECT_TRUE(diagnose(vector_of({4096, 8192}), rules_4k(VectorRule::block)).legal());
}

TEST(VectorDiagnosis, NamesTheFirstWrongAddress) {
  Call call = vector_of({4096, 4096, 4096});
  call.segments[1].address += 24;
  call.segments[2].address += 48;
  const Diagnosis diagnosis = diagnose(call, rules_4k());
  EXPECT_EQ(diagnosis.broken, kMemory);
  EXPECT_EQ(diagnosis.memory_segment, 1U);
  EXPECT_EQ(diagnosis.address, kBuffer + 4096 + 24);
  EXPECT_EQ(diagnosis.address_excess, 24U);
}

TEST(VectorDiagnosis, EmptySegmentsAreNotJudged) {
  Call call = vector_of({4096, 0, 4096});
  call.segments[1].address += 3;
  EXPECT_TRUE(diagnose(call, rules_4k()).legal());
  EXPECT_TRUE(diagnose(call, rules_4k(VectorRule::block)).legal());
}

TEST(VectorDiagnosis, LoneSegmentIsJudgedAsTheTotalAlone) {
  const Diagnosis diagnosis = diagnose(vector_of({100}), rules_4k(VectorRule::block));
  EXPECT_EQ(diagnosis.broken, kLength);
  EXPECT_EQ(diagnosis.segment_boundary, 0U);
}

TEST(Diagnosis, LastOffsets) {
  constexpr std::uint64_t kLast = std::numeric_limits<std::int64_t>::max();
  const Diagnosis diagnosis = diagnose(plain(kBuffer, kLast - 100, 100), rules_4k());
  EXPECT_EQ(diagnosis.broken, kOffset | kLength);
  EXPECT_EQ(diagnosis.nearest_offset, kLast - 4095);
  EXPECT_EQ(diagnosis.nearest_length, 4096U);
}

TEST(RulesFor, TakesTheBoundaryOfTheDirection) {
  const Geometry geometry = make_geometry({Verdict::native, 4, 4096, 512, 4096}, {});
  const Rules read = rules_for(geometry, Direction::read, VectorRule::block);
  EXPECT_EQ(read.block, (Requirement{512, Source::statx}));
  EXPECT_EQ(read.memory, (Requirement{4, Source::statx}));
  EXPECT_EQ(read.vector, VectorRule::block);
  const Rules write = rules_for(geometry, Direction::write, VectorRule::memory);
  EXPECT_EQ(write.block, (Requirement{4096, Source::statx}));
  EXPECT_EQ(write.vector, VectorRule::memory);
}

TEST(ClipToEndOfFile, WhatLiesBeyondTheLastBlockIsNotJudged) {
  EXPECT_EQ(clip_to_end_of_file(16384, 4608, 20000, 4096), 4096U);
  EXPECT_EQ(clip_to_end_of_file(16384, 4096, 20000, 4096), 4096U);
  EXPECT_EQ(clip_to_end_of_file(16384, 100, 20000, 4096), 100U);
  EXPECT_EQ(clip_to_end_of_file(0, 20001, 20000, 512), 20001U);
  EXPECT_EQ(clip_to_end_of_file(0, 30000, 20000, 512), 20480U);
  EXPECT_EQ(clip_to_end_of_file(20000, 10, 20000, 4096), 0U);
  EXPECT_EQ(clip_to_end_of_file(30000, 10, 20000, 4096), 0U);
}

TEST(ClipToEndOfFile, SegmentsAreCutInOrder) {
  Call call;
  call.offset = 16384;
  call.length = 9216;
  call.segments = {{0x1000, 3584}, {0x2000, 5120}, {0x3001, 512}};
  const auto clipped = clip_to_end_of_file(call, 20000, 4096);
  EXPECT_EQ(clipped.length, 4096U);
  const std::vector<Segment> expected = {{0x1000, 3584}, {0x2000, 512}, {0x3001, 0}};
  EXPECT_EQ(clipped.segments, expected);
}

}  // namespace
}  // namespace alignfs
