#include "alignfs/align/plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <ostream>
#include <vector>

namespace alignfs {

static void PrintTo(const WriteFragment& fragment, std::ostream* out) {
  const char* path = fragment.path == WritePath::direct              ? "direct"
                     : fragment.path == WritePath::read_modify_write ? "rmw"
                                                                     : "buffered";
  *out << path << " [" << fragment.range.begin << ", " << fragment.range.end << ")";
}
static void PrintTo(const Range& range, std::ostream* out) {
  *out << "[" << range.begin << ", " << range.end << ")";
}

namespace {

using enum WritePath;
using Fragments = std::vector<WriteFragment>;

constexpr std::uint64_t kMiB = 1 << 20;
constexpr std::uint64_t kLastOffset = std::numeric_limits<std::int64_t>::max();

Geometry disk(std::uint32_t block) {
  return make_geometry({Verdict::native, 512, block, block, 4096}, {});
}
const Geometry k512 = disk(512);
const Geometry k4K = disk(4096);

Fragments list(const WritePlan& plan) { return {plan.fragments().begin(), plan.fragments().end()}; }
Fragments bounce(Range range, std::uint64_t size, const Geometry& geometry, bool readable = true) {
  return list(plan_write(range, size, geometry, UnalignedPolicy::bounce, readable));
}
Fragments split(Range range, std::uint64_t size, const Geometry& geometry) {
  return list(plan_write(range, size, geometry, UnalignedPolicy::split, true));
}

TEST(Range, Widen) {
  EXPECT_EQ(widen({100, 1124}, 4096), (Range{0, 4096}));
  EXPECT_EQ(widen({4096, 8192}, 4096), (Range{4096, 8192}));
  EXPECT_EQ(widen({4095, 4097}, 4096), (Range{0, 8192}));
  EXPECT_EQ(widen({7, 9}, 1), (Range{7, 9}));
}

TEST(ReadPlan, AlignedGoesDownAsItCame) {
  const ReadPlan plan = plan_read(8192, 4096, k4K);
  EXPECT_EQ(plan.window, (Range{8192, 12288}));
  EXPECT_EQ(plan.head, 0U);
  EXPECT_FALSE(plan.widened());
}

TEST(ReadPlan, UnalignedIsWidened) {
  const ReadPlan plan = plan_read(100, 1024, k4K);
  EXPECT_EQ(plan.window, (Range{0, 4096}));
  EXPECT_EQ(plan.head, 100U);
  EXPECT_EQ(plan.length, 1024U);
  EXPECT_TRUE(plan.widened());
}

TEST(ReadPlan, KeepsTheReadBlockNotTheWriteBlock) {
  const Geometry geometry = make_geometry({Verdict::native, 512, 4096, 512, 4096}, {});
  EXPECT_EQ(plan_read(512, 512, geometry).window, (Range{512, 1024}));
}

TEST(ReadPlan, UnalignedAcrossEofReportsOnlyWhatTheFileHolds) {
  // A file of 1000 bytes: the window brings 1000, of which 900 lie at or after offset 100.
  const ReadPlan plan = plan_read(100, 2000, k512);
  EXPECT_EQ(plan.valid(1000), 900U);
}

TEST(ReadPlan, ShortReadBeforeTheWantedBytesBringsNone) {
  const ReadPlan plan = plan_read(600, 100, k4K);
  EXPECT_EQ(plan.valid(0), 0U);
  EXPECT_EQ(plan.valid(599), 0U);
  EXPECT_EQ(plan.valid(600), 0U);
  EXPECT_EQ(plan.valid(601), 1U);
  EXPECT_EQ(plan.valid(700), 100U);
  EXPECT_EQ(plan.valid(4096), 100U);
}

TEST(ReadPlan, EmptyReadsNothing) {
  const ReadPlan plan = plan_read(100, 0, k4K);
  EXPECT_TRUE(plan.window.empty());
  EXPECT_FALSE(plan.widened());
  EXPECT_EQ(plan.valid(0), 0U);
}

TEST(WritePlan, AlignedIsOneDirectFragmentWhereverTheFileEnds) {
  for (const std::uint64_t size : {0, 100, 4096, 5000, 8192, 1 << 20}) {
    const WritePlan plan = plan_write({4096, 8192}, size, k4K, UnalignedPolicy::bounce, true);
    EXPECT_EQ(list(plan), (Fragments{{direct, {4096, 8192}}})) << size;
    EXPECT_TRUE(plan.as_it_came());
  }
}

TEST(WritePlan, EmptyHasNoFragments) {
  const WritePlan plan = plan_write({100, 100}, 8192, k4K, UnalignedPolicy::bounce, true);
  EXPECT_TRUE(plan.fragments().empty());
  EXPECT_TRUE(plan.as_it_came());
}

TEST(WritePlan, InsideTheFileIsReadModifiedAndWritten) {
  const WritePlan plan = plan_write({100, 1124}, 8192, k4K, UnalignedPolicy::bounce, true);
  EXPECT_EQ(list(plan), (Fragments{{read_modify_write, {100, 1124}}}));
  EXPECT_FALSE(plan.as_it_came());
}

TEST(WritePlan, InsideTheFileWithSplitKeepsTheMiddleDirect) {
  EXPECT_EQ(
      split({100, 10000}, kMiB, k512),
      (Fragments{{buffered, {100, 4096}}, {direct, {4096, 8192}}, {buffered, {8192, 10000}}}));
}

TEST(WritePlan, SplitWithinTwoCellsIsOneBufferedFragment) {
  EXPECT_EQ(split({100, 8000}, kMiB, k512), (Fragments{{buffered, {100, 8000}}}));
}

TEST(WritePlan, SplitReadsNothingBack) {
  for (const WriteFragment& fragment : split({100, 10000}, kMiB, k4K)) {
    EXPECT_NE(fragment.path, read_modify_write);
  }
}

TEST(WritePlan, AppendAtAnOddSizeIsBuffered) {
  EXPECT_EQ(bounce({5000, 5100}, 5000, k512), (Fragments{{buffered, {5000, 5100}}}));
  EXPECT_EQ(bounce({0, 100}, 0, k512), (Fragments{{buffered, {0, 100}}}));
}

TEST(WritePlan, LongAppendSendsWholeCellsDirect) {
  EXPECT_EQ(
      bounce({5000, 20000}, 5000, k4K),
      (Fragments{{buffered, {5000, 8192}}, {direct, {8192, 16384}}, {buffered, {16384, 20000}}}));
}

TEST(WritePlan, CellThatCrossesEofIsBufferedEvenWhereItsBlocksLieInside) {
  // Blocks of 512 below 4608 lie wholly inside the file; the cell that begins at 4096 does not.
  EXPECT_EQ(bounce({4200, 4300}, 5000, k512), (Fragments{{buffered, {4200, 4300}}}));
}

TEST(WritePlan, AcrossEofIsReadModifiedBelowAndBufferedAbove) {
  EXPECT_EQ(bounce({100, 9000}, 8500, k4K),
            (Fragments{{read_modify_write, {100, 8192}}, {buffered, {8192, 9000}}}));
}

TEST(WritePlan, AcrossEofWithAWholeCellBehindIt) {
  EXPECT_EQ(bounce({100, 13000}, 5000, k512), (Fragments{{read_modify_write, {100, 4096}},
                                                         {direct, {4096, 12288}},
                                                         {buffered, {12288, 13000}}}));
}

TEST(WritePlan, AlignedPartBelowEofIsDirectAndMerges) {
  EXPECT_EQ(bounce({0, 9000}, 4096, k4K),
            (Fragments{{direct, {0, 8192}}, {buffered, {8192, 9000}}}));
  EXPECT_EQ(bounce({512, 5000}, 4096, k512),
            (Fragments{{direct, {512, 4096}}, {buffered, {4096, 5000}}}));
}

TEST(WritePlan, HoleAcrossEof) {
  EXPECT_EQ(bounce({100000, 110000}, 5000, k4K), (Fragments{{buffered, {100000, 102400}},
                                                            {direct, {102400, 106496}},
                                                            {buffered, {106496, 110000}}}));
}

TEST(WritePlan, WriteOnlyFileIsNeverReadBack) {
  EXPECT_EQ(bounce({100, 1124}, 8192, k4K, false), (Fragments{{buffered, {100, 1124}}}));
  EXPECT_EQ(
      bounce({100, 10000}, kMiB, k512, false),
      (Fragments{{buffered, {100, 4096}}, {direct, {4096, 8192}}, {buffered, {8192, 10000}}}));
}

TEST(WritePlan, SizeIsNeverInflated) {
  // Whatever a poller sees between two fragments is a size that some prefix of the request has.
  const Range request{4999, 13000};
  for (const std::uint64_t size : {0, 100, 4096, 5000, 8191, 8192, 12999, 13000}) {
    std::uint64_t seen = size;
    std::uint64_t next = request.begin;
    for (const WriteFragment& fragment : bounce(request, size, k4K)) {
      EXPECT_EQ(fragment.range.begin, next);
      const bool grows_by_itself = fragment.path != read_modify_write;
      const std::uint64_t reach =
          grows_by_itself ? fragment.range.end : widen(fragment.range, 4096).end;
      EXPECT_TRUE(grows_by_itself || reach <= size) << "padding shows at size " << size;
      seen = std::max(seen, reach);
      EXPECT_LE(seen, std::max<std::uint64_t>(size, fragment.range.end));
      next = fragment.range.end;
    }
    EXPECT_EQ(next, request.end);
  }
}

TEST(WritePlan, FlushOfAMappedTail) {
  // msync of a mapped 5000-byte file: offset 4096, 904 bytes.
  EXPECT_EQ(bounce({4096, 5000}, 5000, k512), (Fragments{{buffered, {4096, 5000}}}));
}

TEST(WritePlan, BackingThatTakesAnythingGetsTheRequestAsItCame) {
  const Geometry tmpfs = make_geometry({Verdict::unproven, 0, 0, 0, 4096}, {});
  for (const auto policy : {UnalignedPolicy::bounce, UnalignedPolicy::split}) {
    const WritePlan plan = plan_write({5001, 9999}, 7000, tmpfs, policy, false);
    EXPECT_EQ(list(plan), (Fragments{{direct, {5001, 9999}}}));
    EXPECT_TRUE(plan.as_it_came());
  }
}

TEST(WritePlan, EndOfTheOffsetRange) {
  const std::uint64_t last_cell = kLastOffset - 4095;
  EXPECT_EQ(bounce({kLastOffset - 10, kLastOffset}, kLastOffset, k4K),
            (Fragments{{buffered, {kLastOffset - 10, kLastOffset}}}));
  EXPECT_EQ(bounce({last_cell - 100, kLastOffset}, kLastOffset, k4K),
            (Fragments{{read_modify_write, {last_cell - 100, last_cell}},
                       {buffered, {last_cell, kLastOffset}}}));
}

TEST(WritePlan, AddDropsEmptyRangesAndMergesEqualPaths) {
  WritePlan plan;
  plan.add(direct, {0, 4096});
  plan.add(buffered, {4096, 4096});
  plan.add(direct, {4096, 8192});
  plan.add(buffered, {8192, 8200});
  EXPECT_EQ(list(plan), (Fragments{{direct, {0, 8192}}, {buffered, {8192, 8200}}}));
  EXPECT_FALSE(plan.as_it_came());
}

bool conflict(const LockNeed& a, const LockNeed& b) {
  const bool overlap = a.range.begin < b.range.end && b.range.begin < a.range.end;
  return overlap && (a.exclusive || b.exclusive);
}

TEST(WriteLock, AlignedSharesItsRange) {
  const LockNeed lock = lock_for_write({4096, 8192}, k4K);
  EXPECT_EQ(lock.range, (Range{4096, 8192}));
  EXPECT_FALSE(lock.exclusive);
}

TEST(WriteLock, UnalignedHoldsWholeCellsAlone) {
  const LockNeed lock = lock_for_write({4196, 4300}, k512);
  EXPECT_EQ(lock.range, (Range{4096, 8192}));
  EXPECT_TRUE(lock.exclusive);
}

TEST(WriteLock, TwoReadModifyWritesInOneBlockExclude) {
  EXPECT_TRUE(conflict(lock_for_write({0, 100}, k4K), lock_for_write({2000, 2100}, k4K)));
}

TEST(WriteLock, AlignedWriterBesideAReadModifyWriteExcludes) {
  EXPECT_TRUE(conflict(lock_for_write({0, 4096}, k4K), lock_for_write({4000, 4100}, k4K)));
  EXPECT_TRUE(conflict(lock_for_write({512, 1024}, k512), lock_for_write({0, 100}, k512)));
  EXPECT_FALSE(conflict(lock_for_write({8192, 12288}, k4K), lock_for_write({4000, 4100}, k4K)));
}

TEST(WriteLock, FragmentsOfOneUnalignedBufferExclude) {
  // The kernel cuts 1 MiB from a buffer at page + 16 into these two.
  EXPECT_TRUE(conflict(lock_for_write({0, 1048560}, k512), lock_for_write({1048560, kMiB}, k512)));
}

}  // namespace
}  // namespace alignfs
