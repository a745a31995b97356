#include "alignfs/base/alignment.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>

#include "random_case.h"

namespace alignfs {
namespace {

constexpr std::uint64_t kLastOffset = std::numeric_limits<std::int64_t>::max();

// The functions stand in constants elsewhere, so they must stay usable at compile time.
static_assert(align_down(4097, 4096) == 4096);
static_assert(align_up(4097, 4096) == 8192);
static_assert(excess(4097, 4096) == 1);
static_assert(is_power_of_two(kPageSize));

TEST(Alignment, PowersOfTwo) {
  for (int bit = 0; bit < 64; ++bit) EXPECT_TRUE(is_power_of_two(std::uint64_t{1} << bit)) << bit;
  for (const std::uint64_t n : {0ULL, 3ULL, 6ULL, 511ULL, 513ULL, 4095ULL, 4097ULL, ~0ULL}) {
    EXPECT_FALSE(is_power_of_two(n)) << n;
  }
}

TEST(Alignment, ZeroIsAlignedToEverything) {
  for (const std::uint64_t boundary : {1ULL, 512ULL, 4096ULL, 1ULL << 31}) {
    EXPECT_TRUE(is_aligned(0, boundary));
    EXPECT_EQ(align_down(0, boundary), 0U);
    EXPECT_EQ(align_up(0, boundary), 0U);
  }
}

TEST(Alignment, BesideABoundary) {
  EXPECT_EQ(align_down(4095, 4096), 0U);
  EXPECT_EQ(align_up(4095, 4096), 4096U);
  EXPECT_EQ(excess(4095, 4096), 4095U);
  EXPECT_FALSE(is_aligned(4095, 4096));

  EXPECT_EQ(align_down(4096, 4096), 4096U);
  EXPECT_EQ(align_up(4096, 4096), 4096U);
  EXPECT_TRUE(is_aligned(4096, 4096));

  EXPECT_EQ(align_down(4097, 4096), 4096U);
  EXPECT_EQ(align_up(4097, 4096), 8192U);
  EXPECT_EQ(excess(4097, 4096), 1U);
}

TEST(Alignment, BoundaryOfOneChangesNothing) {
  for (const std::uint64_t value : {std::uint64_t{0}, std::uint64_t{7}, kLastOffset}) {
    EXPECT_TRUE(is_aligned(value, 1));
    EXPECT_EQ(align_down(value, 1), value);
    EXPECT_EQ(align_up(value, 1), value);
  }
}

TEST(Alignment, LastFileOffsetDoesNotWrap) {
  EXPECT_EQ(align_up(kLastOffset, 4096), std::uint64_t{1} << 63);
  EXPECT_EQ(align_down(kLastOffset, 4096), (std::uint64_t{1} << 63) - 4096);
  EXPECT_EQ(excess(kLastOffset, 4096), 4095U);
}

TEST(Alignment, AgreesWithDivision) {
  test::Random random;
  for (int i = 0; i < 20'000; ++i) {
    const std::uint64_t boundary = std::uint64_t{1} << random.between(0, 31);
    const std::uint64_t value = random.near_multiple(boundary, kLastOffset);
    SCOPED_TRACE(testing::Message() << "value " << value << " boundary " << boundary);
    const std::uint64_t whole = value / boundary;
    const std::uint64_t rest = value % boundary;
    ASSERT_EQ(excess(value, boundary), rest);
    ASSERT_EQ(is_aligned(value, boundary), rest == 0);
    ASSERT_EQ(align_down(value, boundary), whole * boundary);
    ASSERT_EQ(align_up(value, boundary), (rest == 0 ? whole : whole + 1) * boundary);
  }
}

}  // namespace
}  // namespace alignfs
