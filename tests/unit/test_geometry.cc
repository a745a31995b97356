#include "alignfs/align/geometry.h"

#include <gtest/gtest.h>

#include <optional>

namespace alignfs {
namespace {

constexpr BackingGeometry kDisk512{Verdict::native, 512, 512, 512, 4096};
constexpr BackingGeometry kDisk4K{Verdict::native, 512, 4096, 4096, 4096};
constexpr BackingGeometry kTmpfs{Verdict::unproven, 0, 0, 0, 4096};
constexpr BackingGeometry kRefused{Verdict::refused, 0, 0, 0, 4096};

AlignmentOptions block(std::uint32_t bytes) { return {.block = bytes, .memory = std::nullopt}; }
AlignmentOptions memory(std::uint32_t bytes) { return {.block = std::nullopt, .memory = bytes}; }

TEST(NativeGeometry, IsTheBackings) {
  const Geometry geometry = make_geometry(kDisk4K, {});
  EXPECT_EQ(geometry.verdict, Verdict::native);
  EXPECT_EQ(geometry.write_block, 4096U);
  EXPECT_EQ(geometry.read_block, 4096U);
  EXPECT_EQ(geometry.judged.memory, (Requirement{512, Source::statx}));
  EXPECT_EQ(geometry.judged.write, (Requirement{4096, Source::statx}));
  EXPECT_EQ(geometry.judged.read, (Requirement{4096, Source::statx}));
}

TEST(NativeGeometry, CoarserOptionWins) {
  const Geometry geometry = make_geometry(kDisk512, block(4096));
  EXPECT_EQ(geometry.write_block, 4096U);
  EXPECT_EQ(geometry.read_block, 4096U);
  EXPECT_EQ(geometry.judged.write, (Requirement{4096, Source::option}));
  EXPECT_EQ(geometry.judged.read, (Requirement{4096, Source::option}));
  EXPECT_EQ(geometry.judged.memory, (Requirement{512, Source::statx}));
}

TEST(NativeGeometry, FinerOptionLoses) {
  const Geometry geometry = make_geometry(kDisk4K, {.block = 512, .memory = 4});
  EXPECT_EQ(geometry.write_block, 4096U);
  EXPECT_EQ(geometry.judged.write, (Requirement{4096, Source::statx}));
  EXPECT_EQ(geometry.judged.memory, (Requirement{512, Source::statx}));
}

TEST(NativeGeometry, EqualOptionIsTheOptions) {
  const Geometry geometry = make_geometry(kDisk512, {.block = 512, .memory = 512});
  EXPECT_EQ(geometry.judged.write, (Requirement{512, Source::option}));
  EXPECT_EQ(geometry.judged.memory, (Requirement{512, Source::option}));
}

TEST(NativeGeometry, ReadsMayBeFinerThanWrites) {
  const BackingGeometry backing{Verdict::native, 512, 4096, 512, 4096};
  const Geometry plain = make_geometry(backing, {});
  EXPECT_EQ(plain.write_block, 4096U);
  EXPECT_EQ(plain.read_block, 512U);
  EXPECT_EQ(plain.judged.read, (Requirement{512, Source::statx}));

  // Between the two, the option makes the boundary of reads and leaves that of writes alone.
  const Geometry between = make_geometry(backing, block(1024));
  EXPECT_EQ(between.judged.write, (Requirement{4096, Source::statx}));
  EXPECT_EQ(between.judged.read, (Requirement{1024, Source::option}));
  EXPECT_EQ(between.read_block, 1024U);
}

TEST(NativeGeometry, MemoryOption) {
  EXPECT_EQ(make_geometry(kDisk512, memory(4096)).judged.memory,
            (Requirement{4096, Source::option}));
  EXPECT_EQ(make_geometry(kDisk512, memory(0)).judged.memory, (Requirement{0, Source::option}));
  const BackingGeometry nvme{Verdict::native, 4, 512, 512, 4096};
  EXPECT_EQ(make_geometry(nvme, {}).judged.memory, (Requirement{4, Source::statx}));
}

TEST(UnprovenGeometry, JudgesByTheFallbackAndWidensNothing) {
  const Geometry geometry = make_geometry(kTmpfs, {});
  EXPECT_EQ(geometry.verdict, Verdict::unproven);
  EXPECT_EQ(geometry.write_block, 1U);
  EXPECT_EQ(geometry.read_block, 1U);
  EXPECT_EQ(geometry.judged.memory, (Requirement{512, Source::fallback}));
  EXPECT_EQ(geometry.judged.write, (Requirement{4096, Source::fallback}));
  EXPECT_EQ(geometry.judged.read, (Requirement{4096, Source::fallback}));
}

TEST(UnprovenGeometry, OptionIsKeptTowardsTheBackingToo) {
  const Geometry geometry = make_geometry(kTmpfs, block(512));
  EXPECT_EQ(geometry.write_block, 512U);
  EXPECT_EQ(geometry.read_block, 512U);
  EXPECT_EQ(geometry.judged.write, (Requirement{512, Source::option}));
  EXPECT_EQ(geometry.judged.read, (Requirement{512, Source::option}));
  EXPECT_EQ(geometry.judged.memory, (Requirement{512, Source::fallback}));
}

TEST(UnprovenGeometry, MemoryOption) {
  EXPECT_EQ(make_geometry(kTmpfs, memory(4)).judged.memory, (Requirement{4, Source::option}));
  EXPECT_EQ(make_geometry(kTmpfs, memory(0)).judged.memory, (Requirement{0, Source::option}));
}

// A strict mount on tmpfs stands in for a 4K-native disk in tests of programs: it must refuse
// neither more nor less.
TEST(UnprovenGeometry, EmulatesA4KDiskExactly) {
  const Boundaries emulated = make_geometry(kTmpfs, block(4096)).judged;
  const Boundaries real = make_geometry(kDisk4K, {}).judged;
  EXPECT_EQ(emulated.memory.bytes, real.memory.bytes);
  EXPECT_EQ(emulated.write.bytes, real.write.bytes);
  EXPECT_EQ(emulated.read.bytes, real.read.bytes);
}

TEST(RefusedGeometry, DoesNothingDirectButJudges) {
  const Geometry plain = make_geometry(kRefused, {});
  EXPECT_EQ(plain.verdict, Verdict::refused);
  EXPECT_EQ(plain.judged.write, (Requirement{4096, Source::fallback}));
  EXPECT_EQ(plain.judged.memory, (Requirement{512, Source::fallback}));

  const Geometry strict = make_geometry(kRefused, {.block = 8192, .memory = 0});
  EXPECT_EQ(strict.write_block, 1U);
  EXPECT_EQ(strict.read_block, 1U);
  EXPECT_EQ(strict.judged.write, (Requirement{8192, Source::option}));
  EXPECT_EQ(strict.judged.read, (Requirement{8192, Source::option}));
  EXPECT_EQ(strict.judged.memory, (Requirement{0, Source::option}));
  EXPECT_EQ(strict.cache_cell, 4096U);
}

TEST(CacheCell, IsAPageABlockOrAFilesystemBlockWhicheverIsLargest) {
  BackingGeometry backing = kDisk512;
  backing.filesystem_block = 1024;
  EXPECT_EQ(make_geometry(backing, {}).cache_cell, 4096U);
  backing.filesystem_block = 65536;
  EXPECT_EQ(make_geometry(backing, {}).cache_cell, 65536U);
  EXPECT_EQ(make_geometry(backing, block(1 << 20)).cache_cell, 1U << 20);
}

TEST(CacheCell, IsAPowerOfTwoWhateverTheFilesystemNames) {
  BackingGeometry backing = kTmpfs;
  backing.filesystem_block = 0;
  EXPECT_EQ(make_geometry(backing, {}).cache_cell, 4096U);
  backing.filesystem_block = 10000;
  EXPECT_EQ(make_geometry(backing, {}).cache_cell, 16384U);
}

TEST(GeometryNames, AreThoseOfTheContract) {
  EXPECT_STREQ(name_of(Source::statx), "statx");
  EXPECT_STREQ(name_of(Source::option), "option");
  EXPECT_STREQ(name_of(Source::fallback), "fallback");
  EXPECT_STREQ(name_of(Verdict::native), "native");
  EXPECT_STREQ(name_of(Verdict::unproven), "unproven");
  EXPECT_STREQ(name_of(Verdict::refused), "refused");
}

}  // namespace
}  // namespace alignfs
