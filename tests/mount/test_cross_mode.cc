// What one mode writes, every other reads; and random operations against a model of the bytes.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "mount/support/fixture.h"
#include "mount/support/modes.h"
#include "mount/support/random_program.h"

namespace alignfs::test {
namespace {

/// The whole file by page-aligned reads, which a strict mount lets through as well.
std::string read_aligned(const std::string& path) {
  constexpr std::size_t kChunk = 1 << 20;
  const Fd fd = open_file(path, O_RDONLY);
  AlignedBuffer buffer(kChunk);
  std::string content;
  while (true) {
    const ssize_t got = pread(fd.get(), buffer.data(), kChunk, off_t(content.size()));
    if (got < 0) throw std::system_error(errno, std::generic_category(), "read " + path);
    content += buffer.view(std::size_t(got));
    if (got < ssize_t(kChunk)) return content;
  }
}

std::string read_by_map(const std::string& path) {
  const Fd fd = open_file(path, O_RDONLY);
  const auto size = std::size_t(size_of(path));
  void* const map = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd.get(), 0);
  if (map == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "mmap " + path);
  std::string content(static_cast<const char*>(map), size);
  munmap(map, size);
  return content;
}

/// One step that writes `bytes` pattern bytes at `offset`.
struct Piece {
  std::size_t offset;
  std::size_t bytes;
};

class CrossMode : public ModeTest {
 protected:
  /// Writes a file at `path` in several steps, among them growth, a hole, a change in place, a
  /// store through a map and a cut; gives what it must hold. Whole blocks alone on a strict mount.
  static std::string write_in_steps(const std::string& path) {
    const std::size_t unit = strict() ? 4096 : 1;
    const auto rounded = [unit](std::size_t value) { return (value + unit - 1) / unit * unit; };
    std::string model;
    const Fd fd = open_file(path, O_RDWR | O_CREAT);
    for (const Piece& step : {Piece{0, 100'001}, Piece{4001, 9000}, Piece{100'001, 77},
                              Piece{2'000'003, 1'300'000}, Piece{99, 1}, Piece{3'400'000, 5}}) {
      const std::size_t offset = rounded(step.offset), bytes = rounded(step.bytes);
      AlignedBuffer buffer(bytes);
      buffer.fill(pattern(bytes, step.offset));
      EXPECT_EQ(pwrite(fd.get(), buffer.data(), bytes, off_t(offset)), ssize_t(bytes));
      if (model.size() < offset + bytes) model.resize(offset + bytes);
      model.replace(offset, bytes, buffer.view(bytes));
    }
    EXPECT_EQ(ftruncate(fd.get(), 3'300'001), 0);
    model.resize(3'300'001);
    void* const map = mmap(nullptr, model.size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    EXPECT_NE(map, MAP_FAILED);
    if (map == MAP_FAILED) return model;
    for (const std::size_t at : {500'000u, 3'300'000u, 5000u}) {
      static_cast<char*>(map)[at] = 'S';
      model[at] = 'S';
    }
    munmap(map, model.size());
    return model;
  }
};

INSTANTIATE_TEST_SUITE_P(Writers, CrossMode, ::testing::ValuesIn(kEveryMode), mode_name);

TEST_P(CrossMode, WhatIsWrittenIsReadInEveryModeAndOnTheBacking) {
  const Backing backing(LoopDisk::Shape{});
  std::string written;
  {
    const Mount mount(backing.path(), GetParam().options);
    written = write_in_steps(mount / "file");
    EXPECT_TRUE(same_bytes(read_aligned(mount / "file"), written)) << "while still mounted";
  }
  for (const Mode& reader : kEveryMode) {
    const Mount mount(backing.path(), reader.options);
    EXPECT_TRUE(same_bytes(read_aligned(mount / "file"), written)) << "read in mode " << reader;
    EXPECT_TRUE(same_bytes(read_by_map(mount / "file"), written)) << "mapped in mode " << reader;
  }
  EXPECT_TRUE(same_bytes(read_file(backing / "file"), written)) << "on the backing";
}

class RandomOperations : public ModeTest {};

constexpr Mode kMappedEagerly{"mapped_eagerly", "mode=mapped,map_populate,map_advice=willneed"};

INSTANTIATE_TEST_SUITE_P(Every, RandomOperations, ::testing::ValuesIn(kEveryMode), mode_name);
INSTANTIATE_TEST_SUITE_P(More, RandomOperations, ::testing::Values(kMappedEagerly), mode_name);

std::string run_on(const std::string& options, const Surroundings& surroundings) {
  const Backing backing(LoopDisk::Shape{});
  const Mount mount(backing.path(), options);
  return run_random_programs(mount.path(), backing.path(), RandomOperations::GetParam(),
                             surroundings);
}

TEST_P(RandomOperations, AgreeWithAModelOfTheBytes) {
  EXPECT_EQ(run_on(GetParam().options, {}), "");
}

TEST_P(RandomOperations, AgreeWithItBesideAnOutsider) {
  EXPECT_EQ(run_on(GetParam().with("attr_timeout=0"), {.outsider = true}), "");
}

/// The other filesystems whose files are mapped.
class MappedOn : public MountTest, public ::testing::WithParamInterface<const char*> {};

INSTANTIATE_TEST_SUITE_P(Filesystems, MappedOn, ::testing::Values("xfs", "btrfs"),
                         [](const auto& test) { return std::string(test.param); });

TEST_P(MappedOn, RandomOperationsAgreeWithAModelOfTheBytes) {
  const Backing backing(LoopDisk::Shape{.filesystem = GetParam()});
  const Mount mount(backing.path(), kMapped.options);
  EXPECT_EQ(run_random_programs(mount.path(), backing.path(), kMapped, {}), "");
  write_file(backing / "file", "x");
  const Fd fd = open_file(mount / "file", O_RDONLY);
  EXPECT_EQ(try_pread(fd, 0, 1), "x");
  // Nobody waits for the kernel to let go of what the programs had open.
  EXPECT_TRUE(eventually([&] { return Stats(mount.path()).gauge("alignfs_mappings") == 1; }))
      << "it was to be mapped";
}

}  // namespace
}  // namespace alignfs::test
