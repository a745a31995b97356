// What is slow on one file leaves the others alone.

#include <fcntl.h>
#include <linux/stat.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <future>
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
  TempDir gate;
  const std::string closed = gate / "closed";
  TroubleFs trouble(disk.path(), "direct_io,hold=" + closed);
  Mount mount(trouble.path(), GetParam().options);
  const Fd slow = open_file(mount / "slow", O_RDWR);
  const Fd quick = open_file(mount / "quick", O_RDONLY);
  write_file(closed, "");

  std::atomic<int> ended{0};
  std::vector<std::thread> callers;
  const auto call_in_thread = [&](auto call) {
    callers.emplace_back([&, call] {
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
  // The kernel hands on one fsync of a file at a time.
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (read_file(closed).size() < 4 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_GE(read_file(closed).size(), 4u) << "the slow calls never arrived";
  auto reads = std::async(std::launch::async, [&] {
    AlignedBuffer buffer(4096);
    for (int i = 0; i < 100; ++i) {
      const off_t offset = i * 37 % 64 * 4096;
      ASSERT_EQ(pread(quick.get(), buffer.data(), 4096, offset), 4096);
      ASSERT_TRUE(same_bytes(buffer.text(4096), content.substr(std::size_t(offset), 4096)));
    }
  });
  EXPECT_EQ(reads.wait_for(kPatience), std::future_status::ready)
      << "the reads waited for the slow calls";
  EXPECT_EQ(ended, 0) << "the slow calls were not slow";
  unlink(closed.c_str());
  reads.get();
  for (auto& caller : callers) caller.join();
}

}  // namespace
}  // namespace alignfs::test
