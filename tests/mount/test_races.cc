// Writers that meet in one block, and an observer who looks at the size all the time.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <thread>
#include <vector>

#include "mount/support/fixture.h"
#include "mount/support/modes.h"

namespace alignfs::test {
namespace {

struct Case {
  Mode mode;
  unsigned sector;
};

void PrintTo(const Case& value, std::ostream* out) { *out << value.mode << "_" << value.sector; }

class Races : public MountTest,
              public ::testing::WithParamInterface<Case>,
              protected BackingAndMount {
 protected:
  void SetUp() override {
    MountTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    backing_ = std::make_unique<Backing>(LoopDisk::Shape{.sector = GetParam().sector});
    mount_ = std::make_unique<Mount>(backing_->path(), GetParam().mode.options);
  }
  static int direct() { return GetParam().mode.lenient_direct(); }
};

INSTANTIATE_TEST_SUITE_P(Modes, Races,
                         ::testing::Values(Case{kBounce, 4096}, Case{kBounce, 512},
                                           Case{kSplit, 4096}, Case{kSplit, 512},
                                           Case{kMapped, 4096}, Case{kBuffered, 4096},
                                           Case{kMappedPassthrough, 4096}),
                         [](const auto& test) {
                           return std::string(test.param.mode.name) + "_" +
                                  std::to_string(test.param.sector);
                         });

/// Sizes of a file before and after the write in flight.
struct InFlight {
  std::atomic<std::int64_t> acknowledged{0};
  std::atomic<std::int64_t> announced{0};
};

TEST_P(Races, SizeIsNeverInflatedForAnObserverOfTheBacking) {
  const Fd fd = open_file(mounted("file"), O_RDWR | O_CREAT);
  InFlight size;
  std::atomic<bool> stop{false};
  std::atomic<unsigned> looks{0};
  std::atomic<std::int64_t> low{-1}, high{-1};  // the first size found outside what was allowed
  const std::string path = backing("file");
  std::thread observer([&] {
    while (!stop) {
      const std::int64_t floor = size.acknowledged;
      struct stat status {};
      if (stat(path.c_str(), &status) != 0) continue;
      // A write announced before the look may show; one announced later cannot.
      const std::int64_t ceiling = size.announced;
      if (status.st_size < floor && low < 0) low = status.st_size;
      if (status.st_size > ceiling && high < 0) high = status.st_size;
      ++looks;
    }
  });
  std::int64_t end = 0;
  unsigned writes = 0;
  for (; writes < 2000 || looks < 2000; ++writes) {
    const std::string bytes = pattern(1 + (writes * 997) % 6001, writes);
    size.announced = end + static_cast<std::int64_t>(bytes.size());
    const ssize_t put = pwrite(fd.get(), bytes.data(), bytes.size(), end);
    if (put != static_cast<ssize_t>(bytes.size())) break;
    end += put;
    size.acknowledged = end;
  }
  stop = true;
  observer.join();
  EXPECT_GE(writes, 2000u) << "a write failed";
  EXPECT_EQ(high, -1) << "a size that no write had reached";
  EXPECT_EQ(low, -1) << "a size below what was acknowledged";
  EXPECT_EQ(size_of(path), end);
}

/// One thread's bytes: it alone writes them, again and again, and checks each time that they stay.
struct Owner {
  off_t offset;
  std::size_t length;
  bool direct;
};

/// Returns the number of rounds in which a thread did not find its own last write. `direct` is
/// O_DIRECT, or 0 where it would be a bare disk's.
unsigned write_side_by_side(const std::string& path, int direct, const std::vector<Owner>& owners,
                            unsigned rounds) {
  std::atomic<unsigned> wrong{0};
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < owners.size(); ++i) {
    threads.emplace_back([&, i] {
      const Owner& own = owners[i];
      const Fd fd = open_file(path, O_RDWR | (own.direct ? direct : 0));
      AlignedBuffer out(own.length), in(own.length);
      for (unsigned round = 0; round < rounds; ++round) {
        out.fill(pattern(own.length, round * 100 + i));
        const auto wanted = static_cast<ssize_t>(own.length);
        if (pwrite(fd.get(), out.data(), own.length, own.offset) != wanted ||
            pread(fd.get(), in.data(), own.length, own.offset) != wanted ||
            std::memcmp(out.data(), in.data(), own.length) != 0) {
          ++wrong;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return wrong;
}

/// What the file must hold after write_side_by_side().
std::string final_content(std::string content, const std::vector<Owner>& owners, unsigned rounds) {
  for (std::size_t i = 0; i < owners.size(); ++i) {
    content.replace(static_cast<std::size_t>(owners[i].offset), owners[i].length,
                    pattern(owners[i].length, (rounds - 1) * 100 + i));
  }
  return content;
}

constexpr unsigned kRounds = 2000;

TEST_P(Races, RmwWritersInOneBlockKeepAllBytes) {
  const std::string before = pattern(16384, 1);
  write_file(backing("file"), before);
  const std::vector<Owner> owners = {{4096 + 7, 90, false},
                                     {4096 + 97, 3, false},
                                     {4096 + 100, 412, true},
                                     {4096 + 600, 3000, false}};
  EXPECT_EQ(write_side_by_side(mounted("file"), direct(), owners, kRounds), 0u);
  EXPECT_TRUE(same_bytes(read_file(backing("file")), final_content(before, owners, kRounds)));
}

TEST_P(Races, AlignedWriterBesideAnRmwWriterInOnePage) {
  const std::string before = pattern(16384, 2);
  write_file(backing("file"), before);
  const auto sector = static_cast<off_t>(GetParam().sector);
  // On a 512-byte disk all of these lie in the page that begins at 4096.
  const std::vector<Owner> owners = {{4096, static_cast<std::size_t>(sector), true},
                                     {4096 + sector, 300, false},
                                     {4096 + sector + 300, 211, false},
                                     {4096 + 2 * sector, static_cast<std::size_t>(sector), true}};
  EXPECT_EQ(write_side_by_side(mounted("file"), direct(), owners, kRounds), 0u);
  EXPECT_TRUE(same_bytes(read_file(backing("file")), final_content(before, owners, kRounds)));
}

TEST_P(Races, AlignedWriterBesideATailThatGoesThroughThePageCache) {
  const std::string before = pattern(2 * 4096 + 3000, 3);
  write_file(backing("file"), before);
  const std::vector<Owner> owners = {{4096, 4096, true},
                                     {2 * 4096 - 0, 512, true},
                                     {2 * 4096 + 600, 700, false},
                                     {2 * 4096 + 1300, 1700, false}};
  EXPECT_EQ(write_side_by_side(mounted("file"), direct(), owners, kRounds), 0u);
  EXPECT_TRUE(same_bytes(read_file(backing("file")), final_content(before, owners, kRounds)));
}

TEST_P(Races, AlignedWriterBesideGrowthInTheSamePage) {
  const std::string before = pattern(4096 + 1024, 4);
  write_file(backing("file"), before);
  std::atomic<bool> stop{false};
  std::thread grower([&] {
    const Fd fd = open_file(mounted("file"), O_RDWR);
    while (!stop) {
      for (off_t end = 4096 + 1024; end < 3 * 4096; end += 101) {
        if (pwrite(fd.get(), pattern(101, 9).data(), 101, end) != 101) return;
      }
      if (ftruncate(fd.get(), 4096 + 1024) != 0) return;
    }
  });
  const std::vector<Owner> owners = {{4096, 512, true}, {4096 + 512, 512, true}, {0, 4096, true}};
  EXPECT_EQ(write_side_by_side(mounted("file"), direct(), owners, kRounds / 2), 0u);
  stop = true;
  grower.join();
  EXPECT_TRUE(same_bytes(read_file(backing("file")).substr(0, before.size()),
                         final_content(before, owners, kRounds / 2)));
}

}  // namespace
}  // namespace alignfs::test
