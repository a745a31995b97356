// A file that is cut and grown all the time beside its readers and writers, through the mount or by
// somebody on the backing.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <random>
#include <thread>

#include "mount/support/crew.h"
#include "mount/support/fixture.h"
#include "mount/support/marked.h"

namespace alignfs::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

struct Case {
  const char* name;
  const char* options;
  bool outside;  ///< the file is cut on the backing, else through the mount
};

void PrintTo(const Case& one, std::ostream* out) { *out << one.name; }

constexpr Case kInside[] = {{"mapped_inside", "mode=mapped", false},
                            {"buffered_inside", "mode=buffered", false},
                            {"direct_inside", "mode=direct", false}};
// Of direct mode the policy that promises something beside other writers of the backing.
constexpr Case kOutside[] = {{"mapped_outside", "mode=mapped", true},
                             {"buffered_outside", "mode=buffered", true},
                             {"direct_outside", "mode=direct,unaligned=split", true}};

class CutFile : public MountTest,
                public ::testing::WithParamInterface<Case>,
                protected BackingAndMount {
 protected:
  void SetUp() override {
    MountTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    backing_ = std::make_unique<Backing>(LoopDisk::Shape{});
    mount_ = std::make_unique<Mount>(backing_->path(), GetParam().options);
  }
};

const auto case_name = [](const auto& test) { return test.param.name; };
INSTANTIATE_TEST_SUITE_P(Inside, CutFile, ::testing::ValuesIn(kInside), case_name);
INSTANTIATE_TEST_SUITE_P(Outside, CutFile, ::testing::ValuesIn(kOutside), case_name);

constexpr std::size_t kShort = 5000;
constexpr std::size_t kLong = 300'000;
struct Span {
  std::size_t begin;
  std::size_t end;
};
/// Written again and again: within what is never cut off, and in the part that comes and goes.
constexpr Span kKept{1000, 4000}, kCutOff{100'000, 100'900};

/// What is wrong with a piece of the file; "" if nothing is.
std::string find_wrong_byte(std::uint64_t place, std::string_view bytes) {
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const auto here = place + i;
    const bool marked = is_marked(here, bytes[i]);
    const bool in_gap = here < kCutOff.begin || here >= kCutOff.end;
    if (here < kShort ? marked : bytes[i] == '\0' || (!in_gap && marked)) continue;
    return "a wrong byte at " + std::to_string(here) + " of a read at " + std::to_string(place);
  }
  return "";
}

Crew::Work rewrite(const std::string& path, Span span) {
  return [=, fd = std::make_shared<Fd>(open_file(path, O_RDWR))](unsigned round) -> std::string {
    const auto bytes = marked_bytes(span.begin, span.end - span.begin, round);
    const ssize_t put = pwrite(fd->get(), bytes.data(), bytes.size(), off_t(span.begin));
    if (put == ssize_t(bytes.size())) return "";
    return failed_call("pwrite", span.begin, bytes.size(), put);
  };
}

Crew::Work read_anywhere(const std::string& path, unsigned seed) {
  return [fd = std::make_shared<Fd>(open_file(path, O_RDONLY)), random = std::minstd_rand(seed),
          bytes = std::string(60'000, '\0')](unsigned) mutable -> std::string {
    const auto offset = random() % (kCutOff.end + 1000);
    const ssize_t got = pread(fd->get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (got < 0) return failed_call("pread", offset, bytes.size(), got);
    return find_wrong_byte(offset,
                           std::string_view(bytes).substr(0, static_cast<std::size_t>(got)));
  };
}

/// Complains of a size that nobody gave the file.
Crew::Work watch_size(const std::string& path) {
  return [=](unsigned) -> std::string {
    const auto size = static_cast<std::size_t>(size_of(path));
    // The write lies in one page, so that it moves the end of file in one step.
    if (size == kShort || size == kLong || size == kCutOff.end) return "";
    return path + " had " + std::to_string(size) + " bytes";
  };
}

TEST_P(CutFile, ReadersSeeOldBytesNewBytesOrZeroesFromTheGap) {
  write_file(backing("file"), marked_bytes(0, kShort, 0));
  const Fd cutter = open_file(GetParam().outside ? backing("file") : mounted("file"), O_RDWR);
  Crew crew;
  for (unsigned i = 0; i < 3; ++i) crew.add(read_anywhere(mounted("file"), 1 + i));
  crew.add(rewrite(mounted("file"), kKept));
  crew.add(rewrite(mounted("file"), kCutOff));
  crew.add(watch_size(backing("file")));
  crew.add(watch_size(mounted("file")));
  crew.add([&](unsigned round) -> std::string {
    return ftruncate(cutter.get(), round % 2 == 0 ? kLong : kShort) == 0 ? "" : "ftruncate failed";
  });
  crew.work_for(milliseconds(1200));
  EXPECT_EQ(crew.finish(), "");
  EXPECT_EQ(find_wrong_byte(0, read_file(backing("file"))), "");
}

/// A file that was longer once, as the daemon may remember: somebody on the backing has cut it to
/// kMiddle, and makes it longer again at some moment of a call through the mount.
class CutBefore : public CutFile {
 protected:
  static constexpr std::size_t kBegin = 8192, kMiddle = kBegin + 100, kEnd = kBegin + 1000;
  static constexpr unsigned kRounds = 10'000;

  void SetUp() override {
    CutFile::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    write_file(backing("file"), std::string(kEnd, 'o'));
    outside_ = open_file(backing("file"), O_RDWR);
    inside_ = open_file(mounted("file"), O_RDWR);
  }

  /// Each round: `call(round)` here, with `grow()` at some moment of it on another thread.
  void beside_growth(const std::function<void()>& grow, const std::function<void(unsigned)>& call) {
    std::atomic<unsigned> started{0}, grown{0};
    std::thread grower([&] {
      for (unsigned round = 1; round <= kRounds; ++round) {
        while (started < round) std::this_thread::yield();
        const auto moment = steady_clock::now() + std::chrono::nanoseconds(round % 100 * 500);
        while (steady_clock::now() < moment) {
        }
        grow();
        grown = round;
      }
    });
    for (unsigned round = 1; round <= kRounds; ++round) {
      // The daemon knows the whole length now.
      std::string all(kEnd - kBegin, '\0');
      EXPECT_EQ(pread(inside_.get(), all.data(), all.size(), kBegin), ssize_t(all.size()));
      EXPECT_EQ(ftruncate(outside_.get(), kMiddle), 0);
      started = round;
      call(round);
      while (grown < round) std::this_thread::yield();
    }
    grower.join();
  }

  Fd outside_, inside_;
};

INSTANTIATE_TEST_SUITE_P(Outside, CutBefore, ::testing::ValuesIn(kOutside), case_name);

TEST_P(CutBefore, AWriteIsNotLostWhenTheFileGrowsBesideIt) {
  unsigned lost = 0;
  beside_growth([&] { EXPECT_EQ(ftruncate(outside_.get(), kEnd), 0); },
                [&](unsigned round) {
                  const auto bytes = marked_bytes(kBegin, kEnd - kBegin, round);
                  const auto whole = ssize_t(bytes.size());
                  EXPECT_EQ(pwrite(inside_.get(), bytes.data(), bytes.size(), kBegin), whole);
                  std::string found(bytes.size(), '\0');
                  EXPECT_EQ(pread(outside_.get(), found.data(), found.size(), kBegin), whole);
                  lost += found != bytes;
                });
  EXPECT_EQ(lost, 0u) << "writes whose bytes are not in the file, of " << kRounds;
}

TEST_P(CutBefore, AReadShowsNoZeroesWhereTheFileGrowsByAWrite) {
  const std::string more(kEnd - kMiddle, 'n');
  unsigned zeroes = 0;
  beside_growth(
      [&] {
        EXPECT_EQ(pwrite(outside_.get(), more.data(), more.size(), kMiddle), ssize_t(more.size()));
      },
      [&](unsigned) {
        std::string bytes(kEnd - kBegin, '\0');
        const ssize_t got = pread(inside_.get(), bytes.data(), bytes.size(), kBegin);
        EXPECT_GE(got, ssize_t(kMiddle - kBegin));
        zeroes += bytes.substr(0, std::size_t(got)).find('\0') != std::string::npos;
      });
  EXPECT_EQ(zeroes, 0u) << "reads of zeroes that were never in the file, of " << kRounds;
}

}  // namespace
}  // namespace alignfs::test
