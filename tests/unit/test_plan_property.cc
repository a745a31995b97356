// Plans carried out on a byte-level model of a file, at random, beside a plain pread or pwrite.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <sstream>
#include <string>
#include <vector>

#include "alignfs/align/plan.h"
#include "random_case.h"

namespace alignfs {
namespace {

constexpr int kCases = 20'000;
/// One past the last file offset, INT64_MAX.
constexpr std::uint64_t kOffsets = std::uint64_t{1} << 63;

using Bytes = std::vector<std::uint8_t>;

/// A file of which all bytes from `origin` on are kept; what lies below is never looked at.
struct ModelFile {
  std::uint64_t origin = 0;
  Bytes bytes;

  std::uint64_t size() const { return origin + bytes.size(); }

  /// pwrite(2): exactly these bytes, with a hole of zeroes before them if need be.
  void write(std::uint64_t offset, const std::uint8_t* data, std::uint64_t length) {
    if (length == 0) return;
    bytes.resize(std::max(bytes.size(), offset + length - origin), 0);
    std::copy_n(data, length, bytes.begin() + static_cast<std::ptrdiff_t>(offset - origin));
  }

  /// pread(2): what the file holds of the range.
  Bytes read(std::uint64_t offset, std::uint64_t length) const {
    if (offset >= size()) return {};
    const auto begin = bytes.begin() + static_cast<std::ptrdiff_t>(offset - origin);
    return {begin, begin + static_cast<std::ptrdiff_t>(std::min(length, size() - offset))};
  }
};

/// One random situation: a geometry, a policy, a file's size and a request.
struct Situation {
  Geometry geometry;
  UnalignedPolicy policy = UnalignedPolicy::bounce;
  bool readable = true;
  std::uint64_t origin = 0;  ///< nothing below is looked at; a multiple of every block and cell
  std::uint64_t size = 0;
  Range request;

  std::string describe() const {
    std::ostringstream out;
    out << "ALIGNFS_SEED=" << test::seed() << ": request [" << request.begin << ", " << request.end
        << ") size " << size << " origin " << origin << " write_block " << geometry.write_block
        << " read_block " << geometry.read_block << " cell " << geometry.cache_cell
        << (policy == UnalignedPolicy::split ? " split" : " bounce")
        << (readable ? "" : " write-only");
    return out.str();
  }
};

Geometry random_geometry(test::Random& random) {
  const auto write = random.pick<std::uint32_t>({1, 512, 512, 1024, 4096, 4096, 65536});
  const auto read = random.one_in(4) ? std::min<std::uint32_t>(write, 512) : write;
  const auto filesystem_block = random.pick<std::uint32_t>({1024, 4096, 4096, 4096, 16384, 65536});
  const Verdict verdict = write == 1 ? Verdict::unproven : Verdict::native;
  return make_geometry({verdict, 512, write, read, filesystem_block}, {});
}

/// A range within `span` bytes from the origin, often at the file's end or beside a boundary.
Range random_request(test::Random& random, const Situation& now, std::uint64_t span) {
  const std::uint64_t unit = random.one_in(2) ? now.geometry.write_block : now.geometry.cache_cell;
  const std::uint64_t begin =
      random.one_in(4) ? now.size - now.origin : random.near_multiple(unit, span);
  const std::uint64_t length = random.near_multiple(unit, span);
  return {now.origin + begin, now.origin + begin + length};
}

Situation random_situation(test::Random& random) {
  Situation now;
  now.geometry = random_geometry(random);
  now.policy = random.pick({UnalignedPolicy::bounce, UnalignedPolicy::split});
  now.readable = !random.one_in(4);
  const std::uint64_t cell = now.geometry.cache_cell;
  const std::uint64_t span = cell * random.between(1, 4);
  const bool at_end = random.one_in(4);
  now.origin = at_end             ? kOffsets - cell * 9
               : random.one_in(4) ? cell * random.between(1, 1'000'000'000)
                                  : 0;
  const std::uint64_t unit = random.one_in(2) ? now.geometry.write_block : cell;
  now.size = now.origin + (random.one_in(10) ? 0 : random.near_multiple(unit, span));
  now.request = random_request(random, now, span);
  if (at_end && random.one_in(2)) {
    // Up to the very last byte that a file can have, with the file's end moved along.
    const std::uint64_t shift = (kOffsets - 1) - now.request.end;
    now.request = {now.request.begin + shift, now.request.end + shift};
    now.size = std::min(now.size + shift, kOffsets - 1);
  }
  return now;
}

/// `count` bytes cut from a pool at random: cheap, and two long cuts hardly ever agree.
Bytes random_bytes(test::Random& random, std::uint64_t count) {
  static const Bytes pool = [] {
    test::Random own;  // so that a seed means the same cases whichever tests are run
    Bytes bytes(std::size_t{1} << 21);
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(own.between(1, 255));
    return bytes;
  }();
  const auto begin =
      pool.begin() + static_cast<std::ptrdiff_t>(random.between(0, pool.size() - count));
  return {begin, begin + static_cast<std::ptrdiff_t>(count)};
}

ModelFile random_file(test::Random& random, const Situation& now) {
  return {now.origin, random_bytes(random, now.size - now.origin)};
}

bool on_blocks(Range range, std::uint64_t block) {
  return range.begin % block == 0 && range.end % block == 0;
}

WritePlan plan_of(const Situation& now) {
  return plan_write(now.request, now.size, now.geometry, now.policy, now.readable);
}

/// Carries out one fragment the way its path does, and refuses what a backing would refuse.
testing::AssertionResult carry_out(const Situation& now, const WriteFragment& fragment,
                                   const Bytes& request, ModelFile& file) {
  const std::uint64_t block = now.geometry.write_block;
  const std::uint8_t* data = request.data() + (fragment.range.begin - now.request.begin);
  if (fragment.path != WritePath::read_modify_write) {
    if (fragment.path == WritePath::direct && !on_blocks(fragment.range, block)) {
      return testing::AssertionFailure() << "EINVAL: direct fragment off the block";
    }
    file.write(fragment.range.begin, data, fragment.range.length());
    return testing::AssertionSuccess();
  }

  if (!now.readable) return testing::AssertionFailure() << "EBADF: file cannot be read";
  const std::uint64_t begin = fragment.range.begin / block * block;
  const std::uint64_t end = (fragment.range.end + block - 1) / block * block;
  if (end > file.size() / block * block) {
    return testing::AssertionFailure() << "window ends at " << end << ", beyond the whole blocks";
  }
  Bytes window = file.read(begin, end - begin);
  std::copy_n(data, fragment.range.length(),
              window.begin() + static_cast<std::ptrdiff_t>(fragment.range.begin - begin));
  file.write(begin, window.data(), window.size());
  return testing::AssertionSuccess();
}

/// The bytes a fragment reads or writes in the backing file.
Range touched(const WriteFragment& fragment, const Geometry& geometry) {
  return fragment.path == WritePath::read_modify_write ? widen(fragment.range, geometry.write_block)
                                                       : fragment.range;
}

TEST(PlanProperty, WriteEqualsPwriteAndShowsOnlyPrefixes) {
  test::Random random;
  for (int i = 0; i < kCases; ++i) {
    const Situation now = random_situation(random);
    SCOPED_TRACE(now.describe());
    const WritePlan plan = plan_of(now);
    ModelFile file = random_file(random, now);
    ModelFile expected = file;
    const Bytes data = random_bytes(random, now.request.length());
    std::uint64_t done = now.request.begin;

    for (const WriteFragment& fragment : plan.fragments()) {
      ASSERT_EQ(fragment.range.begin, done) << "a gap, an overlap or the wrong order";
      ASSERT_FALSE(fragment.range.empty());
      ASSERT_TRUE(carry_out(now, fragment, data, file));
      done = fragment.range.end;
      // A pwrite of just this prefix: its size, its bytes, every byte around it.
      expected.write(now.request.begin, data.data(), done - now.request.begin);
      ASSERT_EQ(file.size(), expected.size()) << "size after the fragment that ends at " << done;
      ASSERT_TRUE(file.bytes == expected.bytes) << "bytes after the fragment that ends at " << done;
      ASSERT_LE(file.size(), std::max(now.size, now.request.end));
    }
    ASSERT_EQ(done, now.request.end);
  }
}

TEST(PlanProperty, WriteTakesTheDirectWayWhereItCan) {
  test::Random random;
  for (int i = 0; i < kCases; ++i) {
    const Situation now = random_situation(random);
    SCOPED_TRACE(now.describe());
    const WritePlan plan = plan_of(now);
    const auto fragments = plan.fragments();
    const bool aligned = on_blocks(now.request, now.geometry.write_block);
    // An empty request has nothing to adapt.
    ASSERT_EQ(plan.as_it_came(), aligned || now.request.empty());
    ASSERT_LE(fragments.size(), 3U);
    for (std::size_t k = 1; k < fragments.size(); ++k) {
      ASSERT_NE(fragments[k - 1].path, fragments[k].path) << "not merged";
    }
    if (aligned) continue;

    const std::uint64_t cell = now.geometry.cache_cell;
    const std::uint64_t inside_end = now.size / cell * cell;
    const bool bounces = now.policy == UnalignedPolicy::bounce && now.readable;
    for (const WriteFragment& fragment : fragments) {
      switch (fragment.path) {
        case WritePath::direct: break;
        case WritePath::read_modify_write:
          ASSERT_TRUE(bounces) << "nothing may be read back";
          ASSERT_LE(fragment.range.end, inside_end);
          ASSERT_FALSE(on_blocks(fragment.range, now.geometry.write_block)) << "needs no reading";
          break;
        case WritePath::buffered:
          if (bounces) {
            ASSERT_GE(fragment.range.begin, inside_end);
          }
          // Whole cells stay out of the page cache: a buffered piece ends where its cell does.
          const std::uint64_t cells =
              (fragment.range.end - 1) / cell - fragment.range.begin / cell + 1;
          const bool whole_first = fragment.range.begin % cell == 0;
          const bool whole_last = fragment.range.end % cell == 0;
          ASSERT_LE(cells, 2U);
          ASSERT_FALSE(whole_first && (cells == 2 || whole_last)) << "a whole cell is buffered";
          ASSERT_FALSE(whole_last && cells == 2) << "a whole cell is buffered";
          break;
      }
    }
  }
}

TEST(PlanProperty, NoCellIsReachedBothWays) {
  test::Random random;
  for (int i = 0; i < kCases; ++i) {
    const Situation now = random_situation(random);
    SCOPED_TRACE(now.describe());
    const WritePlan plan = plan_of(now);
    const std::uint64_t cell = now.geometry.cache_cell;
    for (const WriteFragment& cached : plan.fragments()) {
      if (cached.path != WritePath::buffered) continue;
      const std::uint64_t first = cached.range.begin / cell;
      const std::uint64_t last = (cached.range.end - 1) / cell;
      for (const WriteFragment& direct : plan.fragments()) {
        if (direct.path == WritePath::buffered) continue;
        const Range bytes = touched(direct, now.geometry);
        ASSERT_TRUE((bytes.end - 1) / cell < first || bytes.begin / cell > last)
            << "direct [" << bytes.begin << ", " << bytes.end << ") beside buffered ["
            << cached.range.begin << ", " << cached.range.end << ")";
      }
    }
  }
}

TEST(PlanProperty, LocksKeepWritersOfOneCellApart) {
  test::Random random;
  for (int i = 0; i < kCases; ++i) {
    const Situation now = random_situation(random);
    const std::uint64_t block = now.geometry.write_block;
    const std::uint64_t reach = now.geometry.cache_cell * std::uint64_t{4};
    const std::uint64_t begin = now.origin + random.near_multiple(block, reach);
    const Range other{begin, begin + random.near_multiple(block, reach)};
    SCOPED_TRACE(now.describe());
    SCOPED_TRACE(testing::Message() << "other [" << other.begin << ", " << other.end << ")");

    const LockNeed a = lock_for_write(now.request, now.geometry);
    const LockNeed b = lock_for_write(other, now.geometry);
    const WritePlan plan = plan_of(now);
    for (const WriteFragment& fragment : plan.fragments()) {
      const Range bytes = touched(fragment, now.geometry);
      ASSERT_TRUE(a.range.begin <= bytes.begin && bytes.end <= a.range.end) << "outside the lock";
    }
    // Writers that go down as they came need no lock of ours against each other.
    ASSERT_EQ(a.exclusive, !on_blocks(now.request, block));
    if (now.request.empty() || other.empty() || (!a.exclusive && !b.exclusive)) continue;
    const std::uint64_t cell = now.geometry.cache_cell;
    const bool share_a_cell = now.request.begin / cell <= (other.end - 1) / cell &&
                              other.begin / cell <= (now.request.end - 1) / cell;
    const bool share_a_lock = a.range.begin < b.range.end && b.range.begin < a.range.end;
    if (share_a_cell) {
      ASSERT_TRUE(share_a_lock) << "two writers in one cell at once";
    }
  }
}

TEST(PlanProperty, ReadEqualsPread) {
  test::Random random;
  for (int i = 0; i < kCases; ++i) {
    const Situation now = random_situation(random);
    const std::uint64_t block = now.geometry.read_block;
    const Range wanted = now.request;
    SCOPED_TRACE(now.describe());
    const ReadPlan plan = plan_read(wanted.begin, wanted.length(), now.geometry);
    ASSERT_EQ(plan.length, wanted.length());
    ASSERT_EQ(plan.window.begin + plan.head, wanted.begin);
    ASSERT_EQ(plan.widened(), !wanted.empty() && !on_blocks(wanted, block));
    if (wanted.empty()) {
      ASSERT_TRUE(plan.window.empty());
      continue;
    }
    ASSERT_TRUE(on_blocks(plan.window, block)) << "EINVAL";
    ASSERT_LT(plan.head, block) << "more is read than need be";
    ASSERT_GE(plan.window.end, wanted.end);
    ASSERT_LT(plan.window.end - wanted.end, block) << "more is read than need be";

    const ModelFile file = random_file(random, now);
    const Bytes got = file.read(plan.window.begin, plan.window.length());
    const Bytes full = file.read(wanted.begin, wanted.length());
    ASSERT_EQ(plan.valid(got.size()), full.size());
    ASSERT_TRUE(std::equal(
        full.begin(), full.end(),
        got.begin() + static_cast<std::ptrdiff_t>(std::min<std::uint64_t>(plan.head, got.size()))));

    // A read that stops short anywhere still yields a prefix of the answer.
    const std::uint64_t part = random.between(0, got.size());
    const std::uint64_t valid = plan.valid(part);
    ASSERT_EQ(valid, part > plan.head ? std::min(part - plan.head, wanted.length()) : 0);
    ASSERT_LE(valid, full.size());
  }
}

}  // namespace
}  // namespace alignfs
