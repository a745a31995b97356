// What is slow on one file leaves the others alone.

#include <fcntl.h>
#include <linux/stat.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "mount/support/fixture.h"
#include "mount/support/modes.h"
#include "mount/support/trouble.h"

namespace alignfs::test {
namespace {

class SlowBacking : public MountTest, public ::testing::WithParamInterface<Mode> {};

INSTANTIATE_TEST_SUITE_P(Modes, SlowBacking, ::testing::Values(kMapped, kBuffered, kBounce),
                         mode_name);

TEST_P(SlowBacking, ReadsGoOnBesideSlowCallsOnAnotherFile) {
  TempDir disk;
  const std::string content = pattern(64 * 4096, 1);
  write_file(disk / "slow", content);
  write_file(disk / "quick", content);
  // Long against what the reads take, so that their order tells, not their speed.
  TroubleFs trouble(disk.path(), "delay_ms=1000,direct_io");
  Mount mount(trouble.path(), GetParam().options);
  const Fd slow = open_file(mount / "slow", O_RDWR);
  const Fd quick = open_file(mount / "quick", O_RDONLY);

  std::atomic<int> begun{0}, ended{0};
  std::vector<std::thread> callers;
  const auto call_in_thread = [&](auto call) {
    callers.emplace_back([&, call] {
      ++begun;
      EXPECT_EQ(call(), 0) << errno;
      ++ended;
    });
  };
  for (int i = 0; i < 3; ++i) call_in_thread([&] { return fsync(slow.get()); });
  for (int i = 0; i < 3; ++i) {
    call_in_thread([&] {
      struct statx attributes {};
      return statx(slow.get(), "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_SIZE, &attributes);
    });
  }
  while (begun != 6) std::this_thread::yield();
  AlignedBuffer buffer(4096);
  for (int i = 0; i < 100; ++i) {
    const off_t offset = i * 37 % 64 * 4096;
    ASSERT_EQ(pread(quick.get(), buffer.data(), 4096, offset), 4096);
    ASSERT_TRUE(same_bytes(buffer.text(4096), content.substr(std::size_t(offset), 4096)));
  }
  EXPECT_EQ(ended, 0) << "a slow call was over before the reads were";
  for (auto& caller : callers) caller.join();
}

}  // namespace
}  // namespace alignfs::test
