// The thread that serves a caller who is alone may give way to him on his processor
// (share_processor). Nobody may have to wait for it then, and it must come back.

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <thread>
#include <vector>

#include "mount/support/crew.h"
#include "mount/support/fixture.h"

namespace alignfs::test {
namespace {

constexpr std::size_t kBlock = 4096;
constexpr std::size_t kBlocks = 64;

class SharedProcessor : public MountTest {
 protected:
  SharedProcessor() { write_file(backing_ / "file", pattern(kBlocks * kBlock, 1)); }

  /// Reads as one caller, one request after the other.
  static void read_blocks(const Mount& mount, unsigned count) {
    const Fd fd = open_file(mount / "file", O_RDONLY | O_DIRECT);
    AlignedBuffer buffer(kBlock);
    for (unsigned i = 0; i < count; ++i) {
      ASSERT_EQ(pread(fd.get(), buffer.data(), kBlock, off_t(i * 7 % kBlocks * kBlock)),
                ssize_t(kBlock));
    }
  }
  /// Threads of the daemon that give way to everybody.
  static unsigned giving_way(const Mount& mount) {
    unsigned count = 0;
    const auto tasks = "/proc/" + std::to_string(mount.pid()) + "/task";
    for (const auto& task : std::filesystem::directory_iterator(tasks)) {
      count += sched_getscheduler(std::stoi(task.path().filename())) == SCHED_IDLE;
    }
    return count;
  }
  static bool comes_by_io_uring(const Mount& mount) {
    return read_file(mount / ".alignfs/options").find("fuse_uring.effective=on") !=
           std::string::npos;
  }

  const Backing backing_{LoopDisk::Shape{}};
};

TEST_F(SharedProcessor, WhoeverGaveWayComesBackWhenTheCallerIsGone) {
  const Mount mount(backing_.path());
  const bool certain = comes_by_io_uring(mount);
  unsigned seen = 0;
  // By reads of /dev/fuse it depends on what this machine gains.
  for (int i = 0; seen == 0 && (certain || i < 20); ++i) {
    std::atomic<bool> over{false};
    std::thread watcher([&] {
      while (!over && seen == 0) seen = giving_way(mount);
    });
    read_blocks(mount, 2000);
    over = true;
    watcher.join();
  }
  while (giving_way(mount) != 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

TEST_F(SharedProcessor, IsNotSharedWhereThatIsNotWanted) {
  if (read_file(Mount(backing_.path()) / ".alignfs/options").find("share_processor") ==
      std::string::npos) {
    return;  // engine=threads knows nothing of it
  }
  const Mount mount(backing_.path(), "share_processor=off");
  for (int i = 0; i < 20; ++i) {
    read_blocks(mount, 200);
    ASSERT_EQ(giving_way(mount), 0U);
  }
}

TEST_F(SharedProcessor, ItDoesNotGiveWayToProgramsThatNeedTheProcessorForThemselves) {
  const Mount mount(backing_.path());
  Crew busy;
  cpu_set_t all;
  CPU_ZERO(&all);
  ASSERT_EQ(sched_getaffinity(0, sizeof all, &all), 0);
  for (unsigned processor = 0; processor < CPU_SETSIZE; ++processor) {
    if (!CPU_ISSET(processor, &all)) continue;
    busy.add([processor](unsigned round) -> std::string {
      if (round == 0) {
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(processor, &one);
        if (sched_setaffinity(0, sizeof one, &one) != 0) return "cannot be bound";
      }
      const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(1);
      while (std::chrono::steady_clock::now() < end) {
      }
      return {};
    });
  }
  std::atomic<bool> over{false};
  std::thread caller([&] {
    while (!over) read_blocks(mount, 100);
  });
  // It may try, for a few milliseconds; who does not come back by itself is seen each time.
  unsigned seen = 0;
  constexpr unsigned kLooks = 100;
  for (unsigned i = 0; i < kLooks; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(7));
    seen += giving_way(mount) != 0;
  }
  over = true;
  caller.join();
  EXPECT_LT(seen, kLooks / 2);
  EXPECT_EQ(busy.finish(), "");
}

}  // namespace
}  // namespace alignfs::test
