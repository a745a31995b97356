// Eight threads at one file through the mount, each against a model of the bytes it owns.

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <random>
#include <thread>

#include "mount/support/fixture.h"
#include "mount/support/modes.h"

namespace alignfs::test {
namespace {

constexpr unsigned kThreads = 8;
constexpr std::chrono::seconds kDuration{4};

/// The bytes of one thread. Ranges are of odd sizes and lie side by side, so that neighbours meet
/// in blocks and pages. The last one ends where the file ends: its owner alone changes the size.
struct Range {
  off_t begin;
  std::size_t length;
};

std::vector<Range> make_ranges(std::mt19937_64& random) {
  std::vector<Range> ranges;
  off_t begin = 0;
  for (unsigned i = 0; i < kThreads; ++i) {
    const std::size_t length = 200 + random() % 3000;
    ranges.push_back({begin, length});
    begin += static_cast<off_t>(length);
  }
  return ranges;
}

/// One thread's work on its range: every read must give what the model holds.
class Worker {
 public:
  Worker(const std::string& path, int direct, const Range& range, bool resizes, bool maps,
         std::uint64_t seed)
      : range_(range),
        resizes_(resizes),
        maps_(maps),
        random_(seed),
        fd_(open_file(path, O_RDWR | (random_() % 2 == 0 ? direct : 0))),
        model_(range.length, '\0') {}

  void run(const std::atomic<bool>& stop) {
    while (!stop && complaint_.empty()) step();
  }

  const std::string& complaint() const { return complaint_; }
  std::uint64_t steps() const { return steps_; }
  const std::string& model() const { return model_; }
  const Range& range() const { return range_; }

 private:
  void step() {
    ++steps_;
    const unsigned choice = random_() % 100;
    if (choice < 40) return write();
    if (choice < 75) return read();
    if (choice < 86 && maps_) return store();
    if (choice < 88) return punch();
    if (choice < 90 && resizes_) return resize();
    write();
  }

  /// A random piece of the owned range that exists, not empty; length 0 if there is none.
  Range piece() {
    if (model_.empty()) return {range_.begin, 0};
    const std::size_t at = random_() % model_.size();
    const std::size_t most = std::min<std::size_t>(model_.size() - at, 1 + random_() % 12'000);
    return {range_.begin + static_cast<off_t>(at), most};
  }

  std::string::iterator at(const Range& piece) {
    return model_.begin() + (piece.begin - range_.begin);
  }

  void write() {
    const Range place = piece();
    if (place.length == 0) return;
    const std::string bytes = pattern(place.length, random_());
    AlignedBuffer buffer(place.length, random_() % 3 == 0 ? 0 : random_() % 4096);
    buffer.fill(bytes);
    expect(pwrite(fd_.get(), buffer.data(), place.length, place.begin), place, "write");
    std::copy(bytes.begin(), bytes.end(), at(place));
  }

  void read() {
    const Range place = piece();
    if (place.length == 0) return;
    AlignedBuffer buffer(place.length, random_() % 4096);
    expect(pread(fd_.get(), buffer.data(), place.length, place.begin), place, "read");
    compare(buffer.view(place.length), place, "read");
  }

  void store() {
    const Range place = piece();
    if (place.length == 0) return;
    const off_t page = place.begin / 4096 * 4096;
    const std::size_t span = static_cast<std::size_t>(place.begin - page) + place.length;
    void* const map = mmap(nullptr, span, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), page);
    if (map == MAP_FAILED) return complain("mmap", place, errno);
    char* const bytes = static_cast<char*>(map) + (place.begin - page);
    compare({bytes, place.length}, place, "map");
    const std::string fresh = pattern(place.length, random_());
    std::memcpy(bytes, fresh.data(), place.length);
    std::copy(fresh.begin(), fresh.end(), at(place));
    munmap(map, span);
  }

  void punch() {
    const Range place = piece();
    if (place.length == 0) return;
    const int mode = random_() % 2 == 0 ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE;
    if (fallocate(fd_.get(), mode | FALLOC_FL_KEEP_SIZE, place.begin,
                  static_cast<off_t>(place.length)) != 0) {
      return complain("fallocate", place, errno);
    }
    std::fill_n(at(place), place.length, '\0');
  }

  /// The last range alone: it shrinks and grows at the end of file.
  void resize() {
    const std::size_t length = random_() % range_.length;
    if (ftruncate(fd_.get(), range_.begin + static_cast<off_t>(length)) != 0) {
      return complain("ftruncate", range_, errno);
    }
    model_.resize(length, '\0');
  }

  void expect(ssize_t result, const Range& place, const char* what) {
    if (result != static_cast<ssize_t>(place.length)) complain(what, place, errno);
  }

  void compare(std::string_view bytes, const Range& place, const char* what) {
    const auto same = same_bytes(bytes, {&*at(place), place.length});
    if (!same) complain(std::string(what) + ": " + same.message(), place, 0);
  }

  void complain(const std::string& what, const Range& place, int error) {
    complaint_ = what + " at " + std::to_string(place.begin) + " x " +
                 std::to_string(place.length) + ", errno " + std::to_string(error) + ", step " +
                 std::to_string(steps_) + " of the owner of " + std::to_string(range_.begin) +
                 " x " + std::to_string(range_.length);
  }

  Range range_;
  bool resizes_, maps_;
  std::mt19937_64 random_;
  Fd fd_;
  std::string model_;
  std::string complaint_;
  std::uint64_t steps_ = 0;
};

struct Case {
  Mode mode;
  unsigned sector = 4096;
  bool maps = true;  ///< stores through maps run beside the writes of others in the same pages

  std::string name() const {
    return mode.name + std::string("_") + std::to_string(sector) + (maps ? "_maps" : "");
  }
};

void PrintTo(const Case& value, std::ostream* out) { *out << value.name(); }

class Stress : public MountTest, public ::testing::WithParamInterface<Case> {};

INSTANTIATE_TEST_SUITE_P(OneFile, Stress,
                         ::testing::Values(Case{kBounce, 4096, false}, Case{kBounce, 512, false},
                                           Case{kSplit, 4096, false}, Case{kBounce}, Case{kSplit},
                                           Case{kMapped}, Case{kBuffered},
                                           Case{kMappedPassthrough}),
                         [](const auto& test) { return test.param.name(); });

std::uint64_t seed_from_environment() {
  const char* const text = std::getenv("ALIGNFS_SEED");
  return text != nullptr ? std::strtoull(text, nullptr, 10) : std::random_device{}();
}

TEST_P(Stress, EveryThreadFindsItsOwnBytes) {
  const std::uint64_t seed = seed_from_environment();
  std::printf("ALIGNFS_SEED=%llu repeats this choice of calls\n",
              static_cast<unsigned long long>(seed));
  std::mt19937_64 random(seed);
  const Backing backing(LoopDisk::Shape{.sector = GetParam().sector});
  const Mount mount(backing.path(), GetParam().mode.options);
  const std::vector<Range> ranges = make_ranges(random);
  const std::size_t size = static_cast<std::size_t>(ranges.back().begin) + ranges.back().length;
  write_file(backing / "file", std::string(size, '\0'));

  std::vector<std::unique_ptr<Worker>> workers;
  for (unsigned i = 0; i < kThreads; ++i) {
    workers.push_back(std::make_unique<Worker>(mount / "file", GetParam().mode.lenient_direct(),
                                               ranges[i], i + 1 == kThreads, GetParam().maps,
                                               random()));
  }
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (auto& worker : workers) threads.emplace_back([&] { worker->run(stop); });
  std::this_thread::sleep_for(kDuration);
  stop = true;
  for (std::thread& thread : threads) thread.join();

  std::string expected;
  std::uint64_t steps = 0;
  for (const auto& worker : workers) {
    EXPECT_EQ(worker->complaint(), "");
    expected += worker->model();
    steps += worker->steps();
  }
  EXPECT_GT(steps, 100u) << "the threads hardly did anything";
  EXPECT_TRUE(same_bytes(read_file(backing / "file"), expected));
}

}  // namespace
}  // namespace alignfs::test
