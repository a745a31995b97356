// A local filesystem that is frozen, as for a snapshot: who writes waits for the thaw. Who reads
// goes on, though the writers have met the daemon on every processor.

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <future>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "mount/support/buffer.h"
#include "mount/support/bytes.h"
#include "mount/support/fixture.h"
#include "mount/support/modes.h"
#include "unit/processors.h"

namespace alignfs::test {
namespace {

using std::chrono::milliseconds;

/// Nothing is written to the filesystem of a directory while one lives.
class Frozen {
 public:
  explicit Frozen(const std::string& directory)
      : directory_(open_file(directory, O_RDONLY | O_DIRECTORY)) {
    if (ioctl(directory_.get(), FIFREEZE, 0) != 0) {
      throw std::system_error(errno, std::generic_category(), "FIFREEZE");
    }
  }
  ~Frozen() { EXPECT_EQ(ioctl(directory_.get(), FITHAW, 0), 0); }
  Frozen(const Frozen&) = delete;
  Frozen& operator=(const Frozen&) = delete;

 private:
  const Fd directory_;
};

class FrozenBacking : public MountTest, public ::testing::WithParamInterface<Mode> {};

INSTANTIATE_TEST_SUITE_P(Modes, FrozenBacking, ::testing::Values(kMapped, kBuffered, kBounce),
                         mode_name);

TEST_P(FrozenBacking, ReadsGoOnBesideWritesThatWait) {
  const Backing backing({4096});
  const std::string content = pattern(64 * 4096, 1);
  write_file(backing / "read", content);
  const Mount mount(backing.path(), GetParam().options);
  const Fd read = open_file(mount / "read", O_RDONLY);
  const auto places = processors();
  if (places.size() < 2) GTEST_SKIP() << "a writer and a reader need a processor each";
  constexpr int kWriters = 4;
  std::vector<Fd> files;
  for (int i = 0; i < kWriters; ++i) {
    files.push_back(open_file(mount / ("written" + std::to_string(i)), O_CREAT | O_RDWR));
  }
  AlignedBuffer buffer(4096);
  const auto read_all = [&] {
    for (off_t offset = 0; offset < off_t(content.size()); offset += 4096) {
      ASSERT_EQ(pread(read.get(), buffer.data(), 4096, offset), 4096);
      ASSERT_TRUE(same_bytes(buffer.text(4096), content.substr(std::size_t(offset), 4096)));
    }
  };
  read_all();

  std::optional<Frozen> frozen(std::in_place, backing.path());
  std::atomic<int> ended{0};
  std::vector<std::thread> writers;
  // The first of them leaves the reader's processor alone, the others do not.
  for (int i = 0; i < kWriters; ++i) {
    writers.emplace_back([&, i] {
      stay_on(places[i == 0 ? 0 : 1]);
      EXPECT_EQ(pwrite(files[std::size_t(i)].get(), "short", 5, 0), 5) << errno;
      ++ended;
    });
    // Each finds those before it in the middle of their writes.
    std::this_thread::sleep_for(milliseconds(100));
  }
  auto reader = std::async(std::launch::async, [&] {
    stay_on(places[1]);
    read_all();
  });
  EXPECT_EQ(reader.wait_for(kPatience), std::future_status::ready) << "it waited for the writers";
  EXPECT_EQ(ended, 0) << "nobody waited for the thaw";
  frozen.reset();
  reader.get();
  for (auto& writer : writers) writer.join();
}

}  // namespace
}  // namespace alignfs::test
